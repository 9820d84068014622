//! Questions with several endings, in the file that llm.c makes of HellaSwag and MMLU.
//!
//! 256 × i32 of header (20240522, 1, number of questions, bytes of the longest), then u16 numbers. For each question: 65535,
//! its bytes, its index, the right ending, the number of endings; then the context and each ending, every one a count and
//! its ids.

use std::path::Path;

use super::HEADER_WORDS;
use crate::{Error, Result};

const MAGIC: i32 = 20_240_522;
const VERSION: i32 = 1;
const START: u16 = 65_535;

/// A context, and endings of which one is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Token ids of what all endings go on from.
    pub context: Vec<u32>,
    /// Token ids of each ending.
    pub endings: Vec<Vec<u32>>,
    /// Index of the right one.
    pub answer: usize,
}

/// Reads a file of questions.
///
/// # Errors
/// If the file is missing, cut, or not of this layout, naming the question.
pub fn read(path: &Path) -> Result<Vec<Question>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    parse(&bytes).map_err(|problem| Error::path(path, problem))
}

/// The bytes of a file of questions.
///
/// # Errors
/// If an id, a question or their number does not fit the layout.
pub fn to_bytes(questions: &[Question]) -> Result<Vec<u8>> {
    let mut numbers: Vec<u16> = Vec::new();
    let mut longest = 0;
    for (index, question) in questions.iter().enumerate() {
        let problem = format!("question {index} does not fit: ids, counts and bytes must be below {START}");
        let small = |n: usize| {
            u16::try_from(n).ok().filter(|&n| n < START).ok_or_else(|| Error::Request(problem.clone()))
        };
        let begin = numbers.len();
        numbers.extend([START, 0, small(index)?, small(question.answer)?, small(question.endings.len())?]);
        for run in std::iter::once(&question.context).chain(&question.endings) {
            numbers.push(small(run.len())?);
            for &id in run {
                numbers.push(small(id as usize)?);
            }
        }
        let bytes = small(2 * (numbers.len() - begin))?;
        numbers[begin + 1] = bytes;
        longest = longest.max(i32::from(bytes));
    }
    let mut header = [0_i32; HEADER_WORDS];
    header[..4].copy_from_slice(&[MAGIC, VERSION, questions.len() as i32, longest]);
    let mut bytes = header.map(i32::to_le_bytes).concat();
    bytes.extend(numbers.into_iter().flat_map(u16::to_le_bytes));
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Vec<Question>, String> {
    let (header, body) =
        bytes.split_at_checked(4 * HEADER_WORDS).ok_or("the file is cut inside its header")?;
    let word = |i: usize| {
        i32::from_le_bytes([header[4 * i], header[4 * i + 1], header[4 * i + 2], header[4 * i + 3]])
    };
    if (word(0), word(1)) != (MAGIC, VERSION) {
        let (first, second) = (word(0), word(1));
        return Err(format!(
            "no questions in llm.c's layout: it begins with {first} and {second}, not {MAGIC} and {VERSION}"
        ));
    }
    if body.len() % 2 != 0 {
        return Err("the file ends inside a number".into());
    }
    let numbers: Vec<u16> = body.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    let mut rest = numbers.as_slice();
    let mut questions = Vec::new();
    while !rest.is_empty() {
        let (first, behind) =
            first(rest).ok_or_else(|| format!("question {} is cut or damaged", questions.len()))?;
        questions.push(first);
        rest = behind;
    }
    match usize::try_from(word(2)) {
        Ok(count) if count == questions.len() => Ok(questions),
        _ => Err(format!("the header says {} questions, the file has {}", word(2), questions.len())),
    }
}

/// The first question of `numbers`, and what stands behind it.
fn first(numbers: &[u16]) -> Option<(Question, &[u16])> {
    let &[START, bytes, _, answer, endings, ..] = numbers else { return None };
    let (own, behind) = numbers.split_at_checked(usize::from(bytes) / 2)?;
    let mut rest = own.get(5..)?;
    let mut run = || {
        let (&count, behind) = rest.split_first()?;
        let (ids, behind) = behind.split_at_checked(usize::from(count))?;
        rest = behind;
        Some(ids.iter().map(|&id| u32::from(id)).collect::<Vec<u32>>())
    };
    let context = run()?;
    let endings = (0..endings).map(|_| run()).collect::<Option<Vec<_>>>()?;
    let answer = usize::from(answer);
    let is_scorable =
        answer < endings.len() && !context.is_empty() && endings.iter().all(|ending| !ending.is_empty());
    let is_whole = rest.is_empty() && bytes % 2 == 0;
    (is_whole && is_scorable).then_some((Question { context, endings, answer }, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> Vec<Question> {
        let question = |n: u32| Question {
            context: vec![n, 2, 3],
            endings: vec![vec![4], vec![5, 6], vec![n], vec![50_000]],
            answer: n as usize % 4,
        };
        (0..3).map(question).collect()
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = to_bytes(&questions()).unwrap();
        assert_eq!(parse(&bytes).unwrap(), questions());
        // As llm.c's writer lays out the first: 18 numbers, 36 bytes.
        let first: Vec<u16> = bytes[1024..1060].chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(first, [65_535, 36, 0, 0, 4, 3, 0, 2, 3, 1, 4, 2, 5, 6, 1, 0, 1, 50_000]);
        assert_eq!(bytes[12], 36);
    }

    #[test]
    fn every_cut_and_every_changed_count_is_refused() {
        let bytes = to_bytes(&questions()).unwrap();
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
        for at in [0, 4, 8, 1024, 1026, 1032, 1034] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(parse(&changed).is_err(), "{at}");
        }
        let big = Question { context: vec![70_000], ..questions()[0].clone() };
        assert!(to_bytes(&[big]).is_err());
    }
}
