//! What an op costs, as formulas: the number that tests compare and the text that the docs print are one thing.

use std::fmt;

use warpsmith_tensor::{Error, Result};

use crate::{Meta, Op};

/// An arithmetic formula over named sizes, such as `2*M*N*K + M*N`: integers, names, `+ - * /` and parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formula(pub &'static str);

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Formula {
    /// The value of the formula where each name has the value that `symbols` gives it (the first, if several).
    ///
    /// # Errors
    /// If it is more than a u64 holds.
    pub fn value(&self, symbols: &[(&str, usize)]) -> Result<u64> {
        let mut parser = Parser { text: self.0, rest: self.0, symbols };
        let value = parser.sum()?;
        if !parser.rest.trim().is_empty() {
            return Err(parser.expected("an operator"));
        }
        u64::try_from(value).map_err(|_| parser.too_large())
    }
}

/// Computes in u128: what is divided may be larger than what comes of it.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    symbols: &'a [(&'a str, usize)],
}

impl Parser<'_> {
    fn expected(&self, wanted: &str) -> Error {
        Error::internal("cost", format!("formula `{}`: expected {wanted} at `{}`", self.text, self.rest))
    }

    fn too_large(&self) -> Error {
        Error::value("cost", format!("`{}` is more than 2^64 for these sizes", self.text))
    }

    fn eat(&mut self, c: char) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Result<u128> {
        let mut value = self.product()?;
        loop {
            if self.eat('+') {
                value = value.checked_add(self.product()?).ok_or_else(|| self.too_large())?;
            } else if self.eat('-') {
                value = value.saturating_sub(self.product()?);
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<u128> {
        let mut value = self.atom()?;
        loop {
            if self.eat('*') {
                value = value.checked_mul(self.atom()?).ok_or_else(|| self.too_large())?;
            } else if self.eat('/') {
                value /= self.atom()?.max(1);
            } else {
                return Ok(value);
            }
        }
    }

    fn atom(&mut self) -> Result<u128> {
        if self.eat('(') {
            let value = self.sum()?;
            return if self.eat(')') { Ok(value) } else { Err(self.expected("`)`")) };
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = match word.parse::<u128>() {
            Ok(number) => Some(number),
            Err(_) => self.symbols.iter().find(|(name, _)| *name == word).map(|(_, v)| *v as u128),
        };
        let value = value.ok_or_else(|| self.expected("a number or a known name"))?;
        self.rest = rest;
        Ok(value)
    }
}

/// Bytes moved and arithmetic done by one call, each tensor counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Bytes read from memory.
    pub read: Formula,
    /// Bytes written to memory.
    pub written: Formula,
    /// Floating-point operations; a transcendental function counts as one.
    pub flops: Formula,
}

impl Cost {
    /// The three formulas.
    pub const fn new(read: &'static str, written: &'static str, flops: &'static str) -> Self {
        Self { read: Formula(read), written: Formula(written), flops: Formula(flops) }
    }

    /// A view: nothing moves.
    pub const VIEW: Self = Self::new("0", "0", "0");

    /// (bytes read, bytes written, flops) of `op` on these inputs.
    pub fn values(&self, op: &dyn Op, x: &[Meta]) -> Result<(u64, u64, u64)> {
        let mut symbols = op.symbols(x);
        if let Some(first) = x.first() {
            symbols.extend([("s", first.dtype.size()), ("N", first.shape.numel())]);
        }
        Ok((self.read.value(&symbols)?, self.written.value(&symbols)?, self.flops.value(&symbols)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_have_the_usual_precedence() {
        let symbols = [("M", 2), ("K_2", 3)];
        let value = |text| Formula(text).value(&symbols).unwrap();
        assert_eq!(value("1 + 2*M*K_2"), 13);
        assert_eq!(value("(1+2)*M - 4/2"), 4);
        for broken in ["", "1 +", "(1", "1 2", "Q"] {
            assert!(Formula(Box::leak(broken.into())).value(&symbols).is_err(), "{broken}");
        }
    }

    #[test]
    fn more_than_a_number_holds_is_an_error_and_a_quotient_of_it_is_not() {
        let symbols = [("T", 1 << 40)];
        let value = |text| Formula(text).value(&symbols);
        assert_eq!(value("T*T/T").unwrap(), 1 << 40);
        for large in ["T*T", "T*T*T*T", "T*T*T*(T*T + T)"] {
            let error = value(large).unwrap_err().to_string();
            assert!(error.contains(large) && error.contains("2^64"), "{error}");
        }
    }
}
