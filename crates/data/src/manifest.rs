//! What a prepared folder holds, where it came from, and what was done to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::balance::Balance;
use crate::card::TITLE;
use crate::files::{Entry, Files, write_bytes};
use crate::read::Source;
use crate::{Error, Result};

/// The file's name; it is written last.
pub const MANIFEST: &str = "manifest.json";
/// The names of the data card and the tokenizer beside it.
pub(crate) const CARD: &str = "card.md";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
const FORMAT: &str = "warpsmith-data";

/// Everything that is known of a prepared folder. It holds no time and no machine, so that the same inputs and settings
/// give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `warpsmith-data`.
    pub format: String,
    /// The program that wrote it.
    pub made_by: String,
    /// The licence of the inputs, as it was given.
    pub licence: String,
    /// All settings that decide what comes out, by their flags.
    pub settings: BTreeMap<String, String>,
    /// The files that were read.
    pub inputs: Vec<Source>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// The parts.
    pub parts: Vec<Part>,
    /// The tokenizer, if there are tokens.
    pub tokenizer: Option<TokenizerNote>,
    /// The files beside this one.
    pub files: Vec<Entry>,
}

/// One step, and what it did to how many documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What was done.
    pub step: String,
    /// Documents before.
    pub before: usize,
    /// Documents after.
    pub after: usize,
    /// How many of these are not as they were before.
    pub changed: usize,
}

/// One part of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// `train`, `val` or `test`.
    pub name: String,
    /// Its files, in order.
    pub files: Vec<String>,
    /// Documents.
    pub documents: usize,
    /// Characters of them.
    pub characters: usize,
    /// Token ids, with those between documents.
    pub tokens: Option<usize>,
    /// Documents of each class, if there are classes.
    pub classes: Option<Balance>,
}

/// How texts became ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerNote {
    /// Its kind and size.
    pub name: String,
    /// Number of ids, one past the largest.
    pub vocab_size: usize,
    /// What stands between documents.
    pub between: String,
}

impl Manifest {
    /// A manifest that has nothing in it yet.
    pub(crate) fn new(licence: &str, settings: BTreeMap<String, String>) -> Self {
        Self {
            format: FORMAT.into(),
            made_by: concat!("warpsmith ", env!("CARGO_PKG_VERSION")).into(),
            licence: licence.into(),
            settings,
            inputs: Vec::new(),
            steps: Vec::new(),
            parts: Vec::new(),
            tokenizer: None,
            files: Vec::new(),
        }
    }

    /// The manifest of a prepared folder, after checking that every file is there and as it was written.
    ///
    /// # Errors
    /// If the folder is none, was not finished, or has changed since.
    pub fn open(folder: &Path, files: &dyn Files) -> Result<Self> {
        let wrong = |problem: String| Error::path(folder, format!("{problem}; prepare it again"));
        let found = Self::read(folder)?.map_err(wrong)?;
        for entry in &found.files {
            // A name that leads out of the folder was not written by us.
            let path = Some(Path::new(&entry.name)).filter(|name| name.file_name() == Some(name.as_os_str()));
            let path =
                path.map(|name| folder.join(name)).ok_or_else(|| wrong(format!("{MANIFEST} is damaged")))?;
            let size =
                std::fs::metadata(&path).map_err(|_| wrong(format!("{} is missing", entry.name)))?.len();
            if size != entry.size || files.sha256(&path).map_err(Error::io("read", &path))? != entry.sha256 {
                return Err(wrong(format!("{} is not as it was written", entry.name)));
            }
        }
        Ok(found)
    }

    /// The manifest of a prepared folder; `None` if nothing in it is of a preparation.
    ///
    /// # Errors
    /// As [`Manifest::open`]; if there is what a preparation leaves and no manifest of ours: such a folder is no plain text.
    pub fn find(folder: &Path, files: &dyn Files) -> Result<Option<Self>> {
        if Self::is_in(folder) {
            return Self::open(folder, files).map(Some);
        }
        match trace(folder) {
            None => Ok(None),
            Some(name) => {
                let problem = format!(
                    "{name} is of prepared data, and {MANIFEST}, which says whether it is whole, is missing or damaged; \
                     remove the folder and prepare it again"
                );
                Err(Error::path(folder, problem))
            }
        }
    }

    /// Whether a folder says that it is prepared, finished or not.
    pub fn is_in(folder: &Path) -> bool {
        std::fs::read_to_string(folder.join(MANIFEST)).is_ok_and(|text| text.contains(FORMAT))
    }

    /// As [`Manifest::is_in`], or the manifest has been lost.
    pub(crate) fn is_or_was_in(folder: &Path) -> bool {
        Self::is_in(folder) || trace(folder).is_some()
    }

    /// The manifest alone; what is wrong with it comes as words.
    fn read(folder: &Path) -> Result<Result<Self, String>> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let unfinished = || "the preparation of this folder was not finished".to_string();
        Ok(match serde_json::from_str::<Self>(&text) {
            Ok(found) if found.format == FORMAT && found.to_json() == text => Ok(found),
            _ if text == unfinished_text() => Err(unfinished()),
            _ => Err(format!("{MANIFEST} is damaged")),
        })
    }

    /// Says that the folder is not finished, until [`Manifest::write`].
    pub(crate) fn begin(folder: &Path, files: &dyn Files) -> Result<()> {
        write_bytes(files, &folder.join(MANIFEST), unfinished_text().as_bytes())
    }

    /// Adds the sizes and hashes of files that have been written, and then itself: the folder is finished.
    pub(crate) fn write(&mut self, folder: &Path, names: &[String], files: &dyn Files) -> Result<()> {
        for name in names {
            let path = folder.join(name);
            let size = std::fs::metadata(&path).map_err(Error::io("read", &path))?.len();
            let sha256 = files.sha256(&path).map_err(Error::io("read", &path))?;
            self.files.push(Entry { name: name.clone(), size, sha256 });
        }
        write_bytes(files, &folder.join(MANIFEST), self.to_json().as_bytes())
    }

    /// The part of a name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The ids of a part, from all its shards.
    ///
    /// # Errors
    /// If there is no such part, it has no tokens, or a file cannot be read.
    pub fn tokens(&self, folder: &Path, part: &str) -> Result<Vec<u32>> {
        let problem = || Error::path(folder, format!("holds no tokens of the part `{part}`"));
        let files = self
            .part(part)
            .filter(|part| part.tokens.is_some())
            .map(|part| &part.files)
            .ok_or_else(problem)?;
        let shards: Vec<Vec<u32>> =
            files.iter().map(|name| crate::shard::read(&folder.join(name))).collect::<Result<_>>()?;
        Ok(shards.concat())
    }

    /// The inputs, without what depends on how they were read.
    pub(crate) fn origin(&self) -> Vec<(PathBuf, String)> {
        self.inputs.iter().map(|source| (source.path.clone(), source.sha256.clone())).collect()
    }

    fn to_json(&self) -> String {
        // Strings and numbers alone always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// A file of a folder that only a preparation leaves there.
fn trace(folder: &Path) -> Option<&'static str> {
    let holds = |name: &str| folder.join(name).is_file();
    let is_card = || std::fs::read_to_string(folder.join(CARD)).is_ok_and(|text| text.starts_with(TITLE));
    let ids = ["train.bin", "train_000000.bin"].into_iter().find(|name| holds(name) && holds(TOKENIZER));
    ids.or_else(|| is_card().then_some(CARD))
}

fn unfinished_text() -> String {
    format!("{{ \"format\": \"{FORMAT}\", \"state\": \"unfinished\" }}\n")
}
