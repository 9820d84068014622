//! The text to learn from: a file, a folder, standard input, or a string.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::{Error, Fit, Result};

/// What stands between two files of a folder.
const FILE_SEPARATOR: &str = "\n";
const UTF8_BOM: &str = "\u{FEFF}";

/// A text, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    text: String,
    files: usize,
    skipped: Skipped,
}

/// What a folder held besides text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Files with a NUL byte.
    pub binary: usize,
    /// Files and folders whose name starts with a dot.
    pub hidden: usize,
    /// Files of zero bytes.
    pub empty: usize,
}

impl Corpus {
    /// Reads a file, or all UTF-8 text files below a folder.
    ///
    /// A folder is read in the order of its sorted paths, files joined by a newline; hidden and binary entries are
    /// skipped and counted in [`Corpus::skipped`], and links to folders are not followed. A byte order mark at the
    /// start of a file is dropped. A file of white space alone is a text like any other.
    ///
    /// # Errors
    /// If the path is missing or unreadable, the file is empty, binary or not UTF-8, or the folder has no text.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if fs::metadata(path).map_err(|source| io_error(path, source))?.is_dir() {
            return Self::from_folder(path);
        }
        let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
        Self::from_bytes(bytes, path)
    }

    /// Reads to the end of a stream, such as standard input. `name` is what errors call it, `-` by custom.
    ///
    /// # Errors
    /// As for a file in [`Corpus::from_path`].
    pub fn from_reader(mut reader: impl Read, name: &str) -> Result<Self> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|source| io_error(Path::new(name), source))?;
        Self::from_bytes(bytes, Path::new(name))
    }

    /// Takes a text as it is, even an empty one.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { text: text.into(), files: 1, skipped: Skipped::default() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many files went into it.
    pub fn files(&self) -> usize {
        self.files
    }

    /// What was left out of a folder.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Fits the tokenizer if it is a recipe ([`Tokenizer::chars`](crate::Tokenizer::chars) and its kin), and encodes
    /// the text. The first 90 % of the tokens are for training; see [`Dataset::split`].
    ///
    /// # Errors
    /// If the tokenizer cannot be fitted, or cannot encode the text.
    pub fn tokenize(&self, tokenizer: &impl Fit) -> Result<Dataset> {
        let tokenizer = tokenizer.fit(&self.text)?;
        let tokens = tokenizer.encode(&self.text)?;
        Ok(Dataset::new(tokens, tokenizer))
    }

    fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::Empty { path: path.to_path_buf() });
        }
        Ok(Self::from_text(decode_text(bytes, path)?))
    }

    fn from_folder(folder: &Path) -> Result<Self> {
        let mut skipped = Skipped::default();
        let mut paths = Vec::new();
        list_files(folder, &mut paths, &mut skipped)?;
        paths.sort();
        let mut texts = Vec::new();
        for path in &paths {
            let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
            if bytes.is_empty() {
                skipped.empty += 1;
            } else if bytes.contains(&0) {
                skipped.binary += 1;
            } else {
                texts.push(decode_text(bytes, path)?);
            }
        }
        if texts.is_empty() {
            let Skipped { binary, hidden, empty } = skipped;
            return Err(Error::NoText { path: folder.to_path_buf(), binary, hidden, empty });
        }
        Ok(Self { text: texts.join(FILE_SEPARATOR), files: texts.len(), skipped })
    }
}

/// Adds all files below a folder to `paths`, in no order, passing over hidden entries, which are counted, and links to
/// folders.
///
/// # Errors
/// If a folder cannot be read.
pub fn list_files(folder: &Path, paths: &mut Vec<PathBuf>, skipped: &mut Skipped) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|source| io_error(folder, source))? {
        let entry = entry.map_err(|source| io_error(folder, source))?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            skipped.hidden += 1;
        } else if entry.file_type().map_err(|source| io_error(&path, source))?.is_dir() {
            list_files(&path, paths, skipped)?;
        } else if path.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

fn decode_text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        let utf16 = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
        let hint = if utf16 {
            "it starts as UTF-16 does: convert it with `iconv -f UTF-16 -t UTF-8`"
        } else {
            "give UTF-8 text (the byte tokenizer, too, reads text), or extract the text from it first"
        };
        return Err(Error::Binary { path: path.to_path_buf(), offset, hint });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Error::NotUtf8 { path: path.to_path_buf(), offset, byte: error.as_bytes()[offset] }
    })?;
    Ok(text.strip_prefix(UTF8_BOM).map(str::to_string).unwrap_or(text))
}

fn io_error(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        ErrorKind::NotFound => Error::Missing { path: path.to_path_buf() },
        _ => Error::Io { path: path.to_path_buf(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;

    fn message(bytes: &[u8]) -> String {
        Corpus::from_reader(bytes, "-").unwrap_err().to_string()
    }

    #[test]
    fn a_stream_is_read_to_its_end() {
        let corpus = Corpus::from_reader("hello\n世界".as_bytes(), "-").unwrap();
        assert_eq!(corpus.text(), "hello\n世界");
        assert_eq!((corpus.files(), corpus.skipped()), (1, Skipped::default()));
    }

    #[test]
    fn white_space_is_text_and_a_byte_order_mark_is_not() {
        assert_eq!(Corpus::from_reader(&b" \n\t"[..], "-").unwrap().text(), " \n\t");
        assert_eq!(Corpus::from_reader("\u{FEFF}ab\u{FEFF}".as_bytes(), "-").unwrap().text(), "ab\u{FEFF}");
    }

    #[test]
    fn bad_input_is_named_in_one_line() {
        assert_eq!(message(b""), "standard input is empty: give a UTF-8 text with at least one character");
        assert!(message(b"ab\0c").starts_with("- looks binary: NUL byte at offset 2; give UTF-8 text"));
        assert!(message(b"\xFF\xFEa\0").contains("iconv -f UTF-16"));
        assert!(message(b"caf\xE9 au lait").starts_with("- is not UTF-8: byte 0xE9 at offset 3; convert it"));
        // A character cut off at the end of the file.
        assert!(message(b"ab\xE4\xBD").contains("byte 0xE4 at offset 2"));
        for bytes in [&b""[..], b"a\0", b"\xE9"] {
            assert!(!message(bytes).contains('\n'));
        }
    }

    #[test]
    fn a_missing_path_says_so() {
        let error = Corpus::from_path("no/such/input.txt").unwrap_err();
        assert_eq!(error.to_string(), "no/such/input.txt: no such file or folder; check the path");
    }

    #[test]
    fn a_folder_is_read_in_sorted_order_without_hidden_and_binary_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("b.txt", b"second");
        write("a/z.md", "第一".as_bytes());
        write("c/d/e.rs", b"third\n");
        write("c/image.bin", b"\x89PNG\0");
        write("c/nothing", b"");
        write(".hidden", b"never");
        write(".git/config", b"never");
        let corpus = Corpus::from_path(folder.path()).unwrap();
        assert_eq!(corpus.text(), "第一\nsecond\nthird\n");
        assert_eq!(corpus.files(), 3);
        assert_eq!(corpus.skipped(), Skipped { binary: 1, hidden: 2, empty: 1 });
        write("latin1.txt", b"caf\xE9");
        let message = Corpus::from_path(folder.path()).unwrap_err().to_string();
        assert!(message.contains("latin1.txt is not UTF-8"), "{message}");
    }

    #[test]
    fn a_folder_without_text_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".hidden"), "x").unwrap();
        let message = Corpus::from_path(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("no text found (0 binary, 1 hidden and 0 empty entries skipped)"),
            "{message}"
        );
    }

    #[test]
    fn tokenizing_fits_a_recipe_and_keeps_a_tokenizer() {
        let corpus = Corpus::from_text("abcabc");
        let data = corpus.tokenize(&Tokenizer::chars()).unwrap();
        assert_eq!(**data.tokens(), [0, 1, 2, 0, 1, 2]);
        let again = Corpus::from_text("cab").tokenize(data.tokenizer()).unwrap();
        assert_eq!(**again.tokens(), [2, 0, 1]);
        assert!(matches!(
            Corpus::from_text("abd").tokenize(data.tokenizer()),
            Err(Error::UnknownChar { .. })
        ));
    }
}
