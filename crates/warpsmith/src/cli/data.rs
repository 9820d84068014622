//! `warpsmith data prepare`: from files to a folder to train from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use warpsmith::PreparedFiles;
use warpsmith::data::Files;
use warpsmith::data::augment::{Augmentation, Edit};
use warpsmith::data::bag::StopWords;
use warpsmith::data::clean::{Cleaning, Form, Html};
use warpsmith::data::manifest::Manifest;
use warpsmith::data::prepare::{Output, Preparation};
use warpsmith::data::read::{Broken, Encoding, ReadOptions, Unit, columns};
use warpsmith::data::split::Shares;
use warpsmith::data::typos::Repair;

use super::Failure;

/// Longest line of a file of words.
const LONGEST_WORD: usize = 1 << 16;

/// A flag with its default and help.
type Flag = (&'static str, &'static str, &'static str, &'static str);

/// Flags that take a value: name, what it is called, default (empty: none), help.
const FLAGS: &[Flag] = &[
    ("text", "NAME", "text", "Field of JSONL or column of a table that holds the text."),
    ("label", "NAME", "", "Field or column that holds the class."),
    ("columns", "A,B,...", "", "Names of the columns of tables without a header line."),
    ("unit", "file|paragraph|line", "file", "What a document of a plain text file is."),
    (
        "encoding",
        "NAME",
        "",
        "Encoding of files without a byte order mark: gb18030, big5, ... [default: utf-8]",
    ),
    ("broken", "refuse|replace|remove", "refuse", "Bytes that mean nothing in the encoding."),
    ("empty", "refuse|drop", "refuse", "Documents without a character."),
    ("max_bytes", "N", "67108864", "Longest line, row or document."),
    ("html", "auto|strip|keep", "auto", "auto: take the text of documents that are HTML."),
    ("form", "nfc|nfkc|keep", "nfc", "Normal form of Unicode."),
    ("min_chars", "N", "1", "Drop documents of fewer characters."),
    ("near", "X", "0.9", "Drop near duplicates from this Jaccard index on; 0: keep them."),
    ("lexicon", "FILE", "", "Words that are right, one a line, for --repair_typos."),
    ("stop_words", "FILE|english|chinese", "", "Words to leave out; not for language models."),
    (
        "augment",
        "N",
        "0",
        "Make so many new texts of each one to train on: words swapped or left out, two texts of a class joined; not for language models.",
    ),
    (
        "synonyms",
        "FILE",
        "",
        "Words that mean the same, between tabs, a group a line: --augment then replaces and inserts them, too.",
    ),
    ("split", "A,B,C", "0.9,0.1", "Shares of train, val and test."),
    ("seed", "N", "1337", "Decides which document goes where."),
    ("format", "nanogpt|llmc|jsonl", "nanogpt", "Token ids as nanoGPT or llm.c has them, or texts."),
    ("tokenizer", "NAME", "char", "byte, char, bpe:N or a tokenizer.json."),
    ("shard_tokens", "N", "100000000", "Most ids in one file of llm.c."),
    ("licence", "TEXT", "", "Licence of the inputs, for the record."),
];

/// The flags.
pub fn command() -> Command {
    let flags = FLAGS.iter().map(|(name, value, default, help)| {
        let arg = Arg::new(*name).long(*name).value_name(*value).help(*help);
        if default.is_empty() { arg } else { arg.default_value(*default) }
    });
    let switch = |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let prepare = Command::new("prepare")
        .about("Cleans, deduplicates, splits and tokenises files; running it again changes nothing")
        .arg(
            Arg::new("inputs")
                .value_name("IN")
                .num_args(1..)
                .required(true)
                .help("Files and folders: text, JSONL, CSV, TSV."),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .required(true)
                .help("The folder to write; `train --data DIR` takes it."),
        )
        .args(flags)
        .arg(switch(
            "repair_typos",
            "Repair misspelled words: rare ones, one edit from a frequent one, that are likelier a slip than a word. Of English \
             texts of a megabyte 7 to 8 in 10 slips were repaired, and 2 in 10 repairs changed a right word; --lexicon protects those.",
        ))
        .arg(switch("force", "Write over a folder that was prepared otherwise."));
    Command::new("data").about("Makes data sets of files").subcommand_required(true).subcommand(prepare)
}

/// `warpsmith data`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let Some(("prepare", args)) = args.subcommand() else {
        return Err(Failure::Usage("write `data prepare IN... --out DIR`".into()));
    };
    let job = preparation(args)?;
    let (manifest, is_new) = job.run(&PreparedFiles)?;
    report(&manifest)?;
    let out = job.out.display();
    match is_new {
        true => say!("\n{out}: prepared; {out}/card.md tells what it is"),
        false => {
            say!("\n{out}: was prepared already from the same inputs by the same settings; nothing to do")
        }
    }
}

fn text<'a>(args: &'a ArgMatches, name: &str) -> &'a str {
    args.get_one::<String>(name).map_or("", String::as_str)
}

fn given(args: &ArgMatches, name: &str) -> Option<String> {
    args.get_one::<String>(name).filter(|value| !value.is_empty()).cloned()
}

/// A number, or a word that stands for a value.
fn number<T: std::str::FromStr>(args: &ArgMatches, name: &str) -> Result<T, Failure> {
    let value = text(args, name);
    value.parse().map_err(|_| Failure::Usage(format!("--{name}: expected a number, got `{value}`")))
}

fn choice<T: Copy>(args: &ArgMatches, name: &str, choices: &[(&str, T)]) -> Result<T, Failure> {
    let value = text(args, name);
    let found = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    found
        .ok_or_else(|| Failure::Usage(format!("--{name}: choose one of {}, not `{value}`", words.join(", "))))
}

fn preparation(args: &ArgMatches) -> Result<Preparation, Failure> {
    let inputs = args.get_many::<String>("inputs").into_iter().flatten().map(PathBuf::from).collect();
    let near: f64 = number(args, "near")?;
    let html = [("auto", Html::Auto), ("strip", Html::Strip), ("keep", Html::Keep)];
    let form = [("nfc", Form::Nfc), ("nfkc", Form::Nfkc), ("keep", Form::Keep)];
    let output = [("nanogpt", Output::NanoGpt), ("llmc", Output::LlmC), ("jsonl", Output::Jsonl)];
    Ok(Preparation {
        read: read_options(args)?,
        cleaning: Cleaning {
            html: choice(args, "html", &html)?,
            form: choice(args, "form", &form)?,
            ..Cleaning::default()
        },
        repair: repair(args)?,
        min_chars: number(args, "min_chars")?,
        near: (near != 0.0).then_some(near),
        shares: Shares::parse(text(args, "split"))
            .map_err(|problem| Failure::Usage(format!("--split {problem}")))?,
        seed: number(args, "seed")?,
        output: choice(args, "format", &output)?,
        tokenizer: text(args, "tokenizer").parse()?,
        shard_tokens: number(args, "shard_tokens")?,
        stop_words: stop_words(args)?,
        augment: augment(args)?,
        licence: text(args, "licence").into(),
        settings: settings(args),
        force: args.get_flag("force"),
        ..Preparation::new(inputs, PathBuf::from(text(args, "out")))
    })
}

fn read_options(args: &ArgMatches) -> Result<ReadOptions, Failure> {
    let unit = [("file", Unit::File), ("paragraph", Unit::Paragraph), ("line", Unit::Line)];
    let broken = [("refuse", Broken::Refuse), ("replace", Broken::Replace), ("remove", Broken::Remove)];
    let unknown =
        |name: String| Failure::Usage(format!("--encoding: `{name}` is no encoding of the WHATWG's list"));
    let encoding =
        given(args, "encoding").map(|name| Encoding::for_label(name.as_bytes()).ok_or_else(|| unknown(name)));
    Ok(ReadOptions {
        text: text(args, "text").into(),
        label: given(args, "label"),
        columns: given(args, "columns")
            .map(|names| names.split(',').map(|name| name.trim().into()).collect()),
        unit: choice(args, "unit", &unit)?,
        encoding: encoding.transpose()?,
        broken: choice(args, "broken", &broken)?,
        drop_empty: choice(args, "empty", &[("refuse", false), ("drop", true)])?,
        max_bytes: number(args, "max_bytes")?,
        except: None,
    })
}

/// The words of a file, one a line.
fn word_file(path: &str) -> Result<Vec<String>, Failure> {
    Ok(columns::lines(path.as_ref(), LONGEST_WORD)?
        .into_iter()
        .map(|(_, word)| word.trim().to_string())
        .collect())
}

fn augment(args: &ArgMatches) -> Result<Option<(Augmentation, usize)>, Failure> {
    let (copies, path) = (number(args, "augment")?, given(args, "synonyms"));
    let mut rule = Augmentation { seed: number(args, "seed")?, ..Augmentation::default() };
    match (copies, path) {
        (0, Some(_)) => return Err(Failure::Usage("--synonyms is for --augment: give both".into())),
        (0, None) => return Ok(None),
        (_, None) => {}
        (_, Some(path)) => {
            rule.synonyms = synonyms(&path)?;
            rule.edits.extend([Edit::Synonym, Edit::Insert]);
        }
    }
    Ok(Some((rule, copies)))
}

/// Each word of a file of groups, with the others of its groups.
fn synonyms(path: &str) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, line) in columns::lines(path.as_ref(), LONGEST_WORD)? {
        let words: Vec<&str> = line.split('\t').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.len() == 1 {
            let problem = "one word: write what means the same behind it, with tabs between";
            return Err(Failure::Failed(format!("{path}, line {number}: {problem}")));
        }
        for word in &words {
            let others = words.iter().filter(|other| *other != word).map(|other| other.to_string());
            found.entry(word.to_string()).or_default().extend(others);
        }
    }
    Ok(found)
}

fn repair(args: &ArgMatches) -> Result<Option<Repair>, Failure> {
    let lexicon = given(args, "lexicon");
    if !args.get_flag("repair_typos") {
        return match lexicon {
            Some(_) => Err(Failure::Usage("--lexicon is for --repair_typos: give both".into())),
            None => Ok(None),
        };
    }
    let lexicon = lexicon.map_or(Ok(Vec::new()), |path| word_file(&path))?;
    Ok(Some(Repair {
        lexicon: lexicon.into_iter().filter(|word| !word.is_empty()).collect(),
        ..Repair::default()
    }))
}

fn stop_words(args: &ArgMatches) -> Result<Option<StopWords>, Failure> {
    Ok(match text(args, "stop_words") {
        "" => None,
        "english" => Some(StopWords::english()),
        "chinese" => Some(StopWords::chinese()),
        path => Some(StopWords::new(word_file(path)?)),
    })
}

/// What decides what comes out, for the record.
fn settings(args: &ArgMatches) -> BTreeMap<String, String> {
    let flags = FLAGS.iter().filter(|(name, ..)| *name != "licence");
    let mut settings: BTreeMap<String, String> =
        flags.map(|(name, ..)| (name.to_string(), text(args, name).to_string())).collect();
    // What files say decides, not what they are called.
    for name in ["lexicon", "stop_words", "synonyms", "tokenizer"] {
        let path = Path::new(text(args, name));
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        if let Some(digest) = path.is_file().then(|| PreparedFiles.sha256(&path).ok()).flatten() {
            settings.entry(name.into()).or_default().push_str(&format!(" (SHA-256 {digest})"));
        }
    }
    settings.insert("repair_typos".into(), args.get_flag("repair_typos").to_string());
    settings
}

fn report(manifest: &Manifest) -> Result<(), Failure> {
    say!("{:<40} {:>9} {:>9} {:>9}", "step", "before", "after", "changed")?;
    for step in &manifest.steps {
        say!("{:<40} {:>9} {:>9} {:>9}", step.step, step.before, step.after, step.changed)?;
    }
    say!("\n{:<6} {:>10} {:>12} {:>12}", "part", "documents", "characters", "tokens")?;
    for part in &manifest.parts {
        let tokens = part.tokens.map_or("-".into(), |tokens| tokens.to_string());
        say!("{:<6} {:>10} {:>12} {tokens:>12}", part.name, part.documents, part.characters)?;
    }
    Ok(())
}
