//! From files to a folder to train from: read, clean, drop duplicates, split, tokenise, write.

mod output;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

pub use output::Output;
use warpsmith_text::TokenizerSpec;

use crate::augment::Augmentation;
use crate::bag::StopWords;
use crate::balance::Balance;
use crate::clean::{Changed, Cleaning};
use crate::manifest::{CARD, MANIFEST, Manifest, Step, TOKENIZER};
use crate::read::{Document, ReadOptions, Reading, read_sources, sources};
use crate::split::{Shares, stratified};
use crate::typos::Repair;
use crate::{Error, Files, Result, duplicates};

/// What to prepare, and how.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// Files and folders to read.
    pub inputs: Vec<PathBuf>,
    /// The folder to write.
    pub out: PathBuf,
    /// How to read.
    pub read: ReadOptions,
    /// What to clean.
    pub cleaning: Cleaning,
    /// Repair misspelled words, if given.
    pub repair: Option<Repair>,
    /// Documents of fewer characters are dropped; at least 1.
    pub min_chars: usize,
    /// The Jaccard index from which on documents are near duplicates; `None`: they are kept.
    pub near: Option<f64>,
    /// Shares of train, val and test.
    pub shares: Shares,
    /// Decides which document goes where.
    pub seed: u64,
    /// What is written.
    pub output: Output,
    /// How texts become ids.
    pub tokenizer: TokenizerSpec,
    /// Most ids in one file of llm.c.
    pub shard_tokens: usize,
    /// Words that are left out of every text; refused for tokens.
    pub stop_words: Option<StopWords>,
    /// So many new texts of each text to train on; refused for tokens.
    pub augment: Option<(Augmentation, usize)>,
    /// The licence of the inputs, for the record.
    pub licence: String,
    /// Settings by their flags, for the record; whatever decides what comes out.
    pub settings: BTreeMap<String, String>,
    /// Whether to write over a folder that was prepared otherwise.
    pub force: bool,
}

impl Preparation {
    /// The usual settings.
    pub fn new(inputs: Vec<PathBuf>, out: PathBuf) -> Self {
        Self {
            inputs,
            out,
            read: ReadOptions::default(),
            cleaning: Cleaning::default(),
            repair: None,
            min_chars: 1,
            near: Some(0.9),
            shares: Shares::default(),
            seed: 1337,
            output: Output::NanoGpt,
            tokenizer: TokenizerSpec::Char,
            shard_tokens: 100_000_000,
            stop_words: None,
            augment: None,
            licence: String::new(),
            settings: BTreeMap::new(),
            force: false,
        }
    }

    /// Prepares the folder. The second value is `false` if it was there already, made from the same inputs by the same
    /// settings, and whole; then nothing is written.
    ///
    /// The manifest is written last: before that, the folder says that it is not finished.
    ///
    /// Memory: the texts of all inputs, and some copies.
    ///
    /// # Errors
    /// If an input is wrong (see [`crate::read::read`]), no document is left, a part gets none, the tokenizer fails, the
    /// folder holds something else, or cannot be written.
    pub fn run(&self, files: &dyn Files) -> Result<(Manifest, bool)> {
        self.check()?;
        let read = ReadOptions { except: Some(self.out.clone()), ..self.read.clone() };
        let reading = sources(&self.inputs, &read, files)?;
        if let Some(found) = self.already(&reading, files)? {
            return Ok((found, false));
        }
        let mut manifest = Manifest::new(&self.licence, self.settings.clone());
        let reading = read_sources(reading, &read)?;
        manifest.inputs = reading.files.clone();
        let split = |reading, steps: &mut Vec<Step>| {
            let documents = self.documents(reading, steps)?;
            if self.output == Output::Jsonl && self.read.label.is_some() {
                Balance::of(documents.iter().filter_map(|document| document.label.as_deref())).check()?;
            }
            let parts = stratified(&documents, self.shares, self.seed)?;
            self.augmented(documents, parts, steps)
        };
        let (documents, parts) = split(reading, &mut manifest.steps).map_err(Error::about(&self.inputs))?;
        std::fs::create_dir_all(&self.out).map_err(Error::io("create", &self.out))?;
        Manifest::begin(&self.out, files)?;
        remove_old(&self.out)?;
        output::write(self, &documents, &parts, &mut manifest, files)?;
        Ok((manifest, true))
    }

    fn check(&self) -> Result<()> {
        if self.stop_words.is_some() && self.output != Output::Jsonl {
            let problem = "stop words are left out of bags of words, and a language model needs every word: choose --format jsonl, or \
                           leave --stop_words out";
            return Err(Error::Request(problem.into()));
        }
        if self.augment.is_some() && self.output != Output::Jsonl {
            let problem = "new texts are for classifiers, and a language model would learn the order of their words: choose --format \
                           jsonl, or leave --augment out";
            return Err(Error::Request(problem.into()));
        }
        if let Some(near) = self.near.filter(|near| !(*near > 0.0 && *near <= 1.0)) {
            return Err(Error::Request(format!(
                "--near {near}: a Jaccard index lies above 0 and at most at 1; 0 keeps all"
            )));
        }
        match self.shard_tokens {
            0 => Err(Error::Request("--shard_tokens must be at least 1".into())),
            _ => Ok(()),
        }
    }

    /// The manifest of the folder if nothing is to do. An error if the folder is not ours to write over.
    fn already(&self, reading: &Reading, files: &dyn Files) -> Result<Option<Manifest>> {
        let mut entries = match std::fs::read_dir(&self.out) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(Error::io("read", &self.out))?,
        };
        if entries.next().is_none() {
            return Ok(None);
        }
        if !Manifest::is_in(&self.out) {
            return Err(Error::path(&self.out, "holds files and no prepared data: give another --out"));
        }
        // One that is unfinished or damaged is written over.
        let Ok(found) = Manifest::open(&self.out, files) else { return Ok(None) };
        let origin: Vec<_> =
            reading.files.iter().map(|file| (file.path.clone(), file.sha256.clone())).collect();
        let wanted = Manifest::new(&self.licence, self.settings.clone());
        let same = found.origin() == origin
            && (&found.settings, &found.licence, &found.made_by)
                == (&wanted.settings, &wanted.licence, &wanted.made_by);
        match (same, self.force) {
            (true, _) => Ok(Some(found)),
            (false, true) => Ok(None),
            (false, false) => {
                let problem =
                    "was prepared from other inputs or by other settings: give another --out, or --force";
                Err(Error::path(&self.out, problem))
            }
        }
    }

    /// All steps between reading and splitting.
    fn documents(&self, reading: Reading, steps: &mut Vec<Step>) -> Result<Vec<Document>> {
        let mut documents = reading.documents;
        let read = documents.len();
        let mut note = |step: &str, before, after, changed| {
            steps.push(Step { step: step.into(), before, after, changed })
        };
        note("read", read + reading.empty, read, 0);
        note("decode (broken sequences of bytes)", read, read, reading.malformed as usize);
        let mut changed = Changed::default();
        for document in &mut documents {
            document.text = self.cleaning.clean(std::mem::take(&mut document.text), &mut changed);
        }
        note("HTML", read, read, changed.html);
        note("invisible characters", read, read, changed.invisible);
        note("Unicode form", read, read, changed.form);
        note("white space", read, read, changed.space);
        if let Some(repair) = &self.repair {
            let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
            let repaired = repair.texts(&texts);
            let mut changed = 0;
            for (document, (text, count)) in documents.iter_mut().zip(repaired) {
                changed += usize::from(count > 0);
                document.text = text;
            }
            note("misspelled words", read, read, changed);
        }
        if let Some(stop_words) = &self.stop_words {
            let before: Vec<usize> = documents.iter().map(|document| document.text.len()).collect();
            documents.iter_mut().for_each(|document| document.text = stop_words.strip(&document.text));
            let changed = documents
                .iter()
                .zip(before)
                .filter(|(document, before)| document.text.len() != *before)
                .count();
            note("stop words", read, read, changed);
        }
        documents.retain(|document| {
            document.text.chars().take(self.min_chars.max(1)).count() >= self.min_chars.max(1)
        });
        let long = documents.len();
        note("too short", read, long, 0);
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        let keep = duplicates::first_of_each(&texts);
        self.check_classes(&documents, &keep)?;
        retain(&mut documents, &keep);
        let unique = documents.len();
        note("exact duplicates", long, unique, 0);
        if let Some(threshold) = self.near {
            let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
            let mut keep = vec![true; unique];
            duplicates::near(&texts, threshold).iter().for_each(|near| keep[near.document] = false);
            retain(&mut documents, &keep);
            note("near duplicates", unique, documents.len(), 0);
        }
        match documents.is_empty() {
            true => Err(Error::Request("no document is left after cleaning".into())),
            false => Ok(documents),
        }
    }

    /// With new texts behind the others. One that there is already, in whatever part, is left out: no text is in two.
    fn augmented(
        &self,
        mut documents: Vec<Document>,
        mut parts: Vec<usize>,
        steps: &mut Vec<Step>,
    ) -> Result<(Vec<Document>, Vec<usize>)> {
        let Some((rule, copies)) = &self.augment else { return Ok((documents, parts)) };
        let of_train = documents.iter().zip(&parts).filter(|(_, part)| **part == 0);
        let train: Vec<Document> = of_train.map(|(document, _)| document.clone()).collect();
        let mut known: HashSet<String> = documents.iter().map(|document| document.text.clone()).collect();
        let before = documents.len();
        for mut made in rule.make(&train, *copies)? {
            made.text = self.cleaning.clean(made.text, &mut Changed::default());
            if !made.text.is_empty() && known.insert(made.text.clone()) {
                documents.push(made);
            }
        }
        parts.resize(documents.len(), 0);
        steps.push(Step { step: "new texts to train on".into(), before, after: documents.len(), changed: 0 });
        Ok((documents, parts))
    }

    /// An error if the same text has two classes, which dropping one of them would hide.
    fn check_classes(&self, documents: &[Document], keep: &[bool]) -> Result<()> {
        if self.read.label.is_none() || keep.iter().all(|&keep| keep) {
            return Ok(());
        }
        // Splitting looks for it; the split itself is not wanted here.
        stratified(documents, Shares([1.0, 0.0, 0.0]), self.seed).map(drop)
    }
}

fn retain(documents: &mut Vec<Document>, keep: &[bool]) {
    let mut keep = keep.iter();
    documents.retain(|_| keep.next().copied().unwrap_or(true));
}

/// Removes what an earlier preparation has written, but for the manifest, which says by now that it is not finished.
fn remove_old(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = ["train", "val", "test", TOKENIZER, CARD].iter().any(|start| name.starts_with(start));
        let is_left = name.starts_with(MANIFEST) && name != MANIFEST;
        if (is_ours || is_left) && entry.path().is_file() {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}
