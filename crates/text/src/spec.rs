//! Which tokenizer to use, before there is a text to fit it on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Error, Result, Tokenizer};

/// A recipe for a tokenizer: `byte`, `char`, `bpe:N`, or the path of a `tokenizer.json`.
///
/// Parsing is by form alone: what ends in `.json` or has a `/` or `\` in it is a path (of a file, or of a model
/// folder that holds a `tokenizer.json`), so a misspelled kind is an error and not a missing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerSpec {
    /// One id per byte.
    Byte,
    /// One id per character of the text.
    Char,
    /// Byte-level BPE with a vocabulary of this size, learned from the text.
    Bpe(usize),
    /// A `tokenizer.json`, or a folder with one.
    File(PathBuf),
}

/// What [`Corpus::tokenize`](crate::Corpus::tokenize) takes: a tokenizer, or a recipe for one.
pub trait Fit {
    /// The tokenizer to use on `text`.
    ///
    /// # Errors
    /// If it cannot be fitted on the text, or its file cannot be read.
    fn fit(&self, text: &str) -> Result<Tokenizer>;
}

impl Fit for TokenizerSpec {
    fn fit(&self, text: &str) -> Result<Tokenizer> {
        match self {
            Self::Byte => Ok(Tokenizer::byte_level()),
            Self::Char => Tokenizer::from_chars(text),
            Self::Bpe(vocab_size) => Tokenizer::train_bpe(text, *vocab_size),
            Self::File(path) => Tokenizer::from_file(path),
        }
    }
}

impl Fit for Tokenizer {
    fn fit(&self, _text: &str) -> Result<Tokenizer> {
        Ok(self.clone())
    }
}

impl FromStr for TokenizerSpec {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let unknown = || Error::UnknownSpec { given: given.to_string() };
        match given {
            "byte" => Ok(Self::Byte),
            "char" => Ok(Self::Char),
            _ if given.starts_with("bpe:") => given[4..].parse().map(Self::Bpe).map_err(|_| unknown()),
            _ if given.ends_with(".json") || given.contains(['/', '\\']) => Ok(Self::File(given.into())),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for TokenizerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte => f.write_str("byte"),
            Self::Char => f.write_str("char"),
            Self::Bpe(vocab_size) => write!(f, "bpe:{vocab_size}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_parses_and_prints_back() {
        for given in ["byte", "char", "bpe:512", "tokenizer.json", "model/tokenizer.json", "./model"] {
            assert_eq!(given.parse::<TokenizerSpec>().unwrap().to_string(), given);
        }
        assert_eq!("bpe:512".parse::<TokenizerSpec>().unwrap(), Tokenizer::bpe(512));
        assert_eq!("./model".parse::<TokenizerSpec>().unwrap(), TokenizerSpec::File("./model".into()));
    }

    #[test]
    fn anything_else_lists_the_choices() {
        for given in ["", "chars", "bpe", "bpe:", "bpe:-1", "bpe:many", "Byte"] {
            let message = given.parse::<TokenizerSpec>().unwrap_err().to_string();
            assert!(message.contains(&format!("{given:?}")), "{message}");
            assert!(message.contains("choose byte, char, bpe:N"), "{message}");
        }
    }

    #[test]
    fn fitting_uses_the_text() {
        let char = Tokenizer::chars().fit("hello").unwrap();
        assert_eq!(char.encode("hello").unwrap(), [1, 0, 2, 2, 3]);
        assert_eq!(Tokenizer::bytes().fit("").unwrap().vocab_size(), 256);
        assert_eq!(char.fit("other text").unwrap().vocab_size(), 4);
        assert!(matches!(Tokenizer::chars().fit(""), Err(Error::NothingToFit { kind: "char" })));
    }
}
