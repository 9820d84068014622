//! How a kernel of the user's is launched: the `bench:` line.

use warpsmith_autograd::Formula;

use crate::tasks::{Case, KERNEL_TASKS, Pass};
use crate::{Error, Result};

/// What a `bench:` line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geometry {
    /// The task that the kernel computes, if the line says it.
    pub task: Option<&'static str>,
    /// The pass.
    pub pass: Option<Pass>,
    /// The dtype of the floats.
    pub dtype: Option<String>,
    grid: Vec<Formula>,
    block: Vec<Formula>,
    shared: Option<Formula>,
}

const EXPECTED: &str = "expected a line `// bench: TASK PASS DTYPE; grid X, Y, Z; block N; shared BYTES` with formulas over the task's letters";

impl Geometry {
    /// Reads pieces separated by `;`. Of a piece that comes twice the first counts.
    ///
    /// # Errors
    /// If a piece is none, or grid or block is missing.
    pub fn parse(line: &str) -> Result<Self> {
        let mut found = Self::default();
        for piece in line.split(';').map(str::trim).filter(|piece| !piece.is_empty()) {
            let (word, rest) = piece.split_once(' ').unwrap_or((piece, ""));
            match word {
                "grid" if found.grid.is_empty() => found.grid = formulas(rest)?,
                "block" if found.block.is_empty() => found.block = formulas(rest)?,
                "shared" if found.shared.is_none() => found.shared = formulas(rest)?.first().copied(),
                "grid" | "block" | "shared" => {}
                task => found.task_line(task, rest)?,
            }
        }
        if found.grid.is_empty() || found.block.is_empty() {
            return Err(Error::Usage(format!("the kernel does not say its grid and block: {EXPECTED}")));
        }
        Ok(found)
    }

    fn task_line(&mut self, task: &str, rest: &str) -> Result<()> {
        let known = KERNEL_TASKS.into_iter().find(|known| *known == task);
        let Some(task) = known else {
            return Err(Error::Usage(format!("{task:?} in the bench line: {EXPECTED}")));
        };
        let mut words = rest.split_whitespace();
        let pass = match words.next() {
            None => None,
            Some("fwd") => Some(Pass::Forward),
            Some("bwd") => Some(Pass::Backward),
            Some(other) => return Err(Error::Usage(format!("{other:?} is no pass: expected fwd or bwd"))),
        };
        if self.task.is_none() {
            (self.task, self.pass, self.dtype) = (Some(task), pass, words.next().map(str::to_owned));
        }
        Ok(())
    }

    /// Refuses a case that is not what the kernel says it computes.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn require(&self, case: &Case) -> Result<()> {
        let fits = self.task.is_none_or(|task| task == case.work.task())
            && self.pass.is_none_or(|pass| pass == case.pass)
            && self.dtype.as_deref().is_none_or(|dtype| dtype == case.dtype.name());
        if fits {
            return Ok(());
        }
        let words = [self.task, self.pass.map(Pass::name), self.dtype.as_deref()];
        let own = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Err(Error::Unsupported(format!("the kernel says that it computes {own}")))
    }

    /// Blocks in x, y, z.
    ///
    /// # Errors
    /// If a formula names a letter that the task has not, or leaves 32 bits.
    pub fn grid(&self, symbols: &[(&'static str, usize)]) -> Result<[u32; 3]> {
        values(&self.grid, symbols)
    }

    /// Threads of a block in x, y, z.
    ///
    /// # Errors
    /// As [`Geometry::grid`].
    pub fn block(&self, symbols: &[(&'static str, usize)]) -> Result<[u32; 3]> {
        values(&self.block, symbols)
    }

    /// Bytes of dynamic shared memory.
    ///
    /// # Errors
    /// As [`Geometry::grid`].
    pub fn shared(&self, symbols: &[(&'static str, usize)]) -> Result<u32> {
        self.shared.as_ref().map_or(Ok(0), |formula| value(formula, symbols))
    }
}

fn formulas(text: &str) -> Result<Vec<Formula>> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
        return Err(Error::Usage(format!("{text:?} are not one to three formulas: {EXPECTED}")));
    }
    // A formula lives as long as the program; there is a handful of them.
    Ok(parts.into_iter().map(|part| Formula(Box::leak(part.to_owned().into_boxed_str()))).collect())
}

fn values(formulas: &[Formula], symbols: &[(&'static str, usize)]) -> Result<[u32; 3]> {
    let mut sizes = [1; 3];
    for (size, formula) in sizes.iter_mut().zip(formulas) {
        *size = value(formula, symbols)?;
    }
    Ok(sizes)
}

fn value(formula: &Formula, symbols: &[(&'static str, usize)]) -> Result<u32> {
    let letters: Vec<&str> = symbols.iter().map(|(name, _)| *name).collect();
    let bad = |why: &str| Error::Usage(format!("`{formula}` {why}; the letters are {}", letters.join(", ")));
    let value = formula.value(symbols).map_err(|_| bad("is no formula of the task's letters"))?;
    u32::try_from(value).map_err(|_| bad("does not fit 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_computed_and_how_it_is_launched() {
        let line = Geometry::parse("softmax fwd f32; grid (R+3)/4, 2; block 32, 4; shared 4*C").unwrap();
        assert_eq!(
            (line.task, line.pass, line.dtype.as_deref()),
            (Some("softmax"), Some(Pass::Forward), Some("f32"))
        );
        let symbols = [("R", 9), ("C", 100)];
        assert_eq!(line.grid(&symbols).unwrap(), [3, 2, 1]);
        assert_eq!(line.block(&symbols).unwrap(), [32, 4, 1]);
        assert_eq!(line.shared(&symbols).unwrap(), 400);
    }

    #[test]
    fn what_the_command_line_says_goes_first() {
        let line = Geometry::parse("block 64; ; grid R; block 32").unwrap();
        assert_eq!(line.block(&[("R", 1)]).unwrap(), [64, 1, 1]);
        assert_eq!(line.shared(&[]).unwrap(), 0);
    }

    #[test]
    fn mistakes_are_told() {
        for (line, told) in [
            ("grid R", "grid and block"),
            ("block 3; grid 1,2,3,4", "one to three formulas"),
            ("conv fwd; grid 1; block 1", "\"conv\""),
            ("softmax up; grid 1; block 1", "fwd or bwd"),
        ] {
            let error = Geometry::parse(line).unwrap_err().to_string();
            assert!(error.contains(told), "{line}: {error}");
        }
        let line = Geometry::parse("grid Q; block 1").unwrap();
        assert!(line.grid(&[("R", 1), ("C", 2)]).unwrap_err().to_string().contains("the letters are R, C"));
    }
}
