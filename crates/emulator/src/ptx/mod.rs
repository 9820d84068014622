//! The text: from characters to statements, with nothing resolved yet.

pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod syntax;
mod variable;

/// What is wrong with a text, at a line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: u32,
    pub(crate) sentence: String,
}

impl Mistake {
    pub(crate) fn at(line: u32, sentence: impl Into<String>) -> Mistake {
        Mistake { line, sentence: sentence.into() }
    }
}
