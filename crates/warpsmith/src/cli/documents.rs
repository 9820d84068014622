//! The commands that documents, help and messages name: a reader who types one must not hear that it is wrong.
//!
//! Nothing is run. What stands behind `warpsmith` goes through the parser of the command line; what stands behind `cargo` and
//! `python` must name packages, examples, benches, chores and scripts that exist.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Command;
use clap::error::ErrorKind;

/// A command as somebody reads it: where, and its words.
struct Named {
    place: String,
    words: Vec<String>,
    /// Whether it can be typed as it stands; else it is a mention, which may leave out what it is not about.
    is_whole: bool,
}

#[test]
fn each_command_that_is_named_can_be_typed() -> Result<(), Box<dyn Error>> {
    let mut named = Vec::new();
    for file in files(root())? {
        let place = file.strip_prefix(root())?.display().to_string();
        match file.extension().and_then(|e| e.to_str()) {
            Some("md") => named.extend(in_markdown(&place, &std::fs::read_to_string(&file)?)),
            Some("rs") => named.extend(in_spans(&place, &std::fs::read_to_string(&file)?)),
            _ => {}
        }
    }
    for (name, mut command) in all(super::command(), "warpsmith") {
        let help = command.render_long_help().to_string();
        named.extend(in_spans(&format!("{name} --help"), &help));
        let examples = help.lines().filter(|line| line.starts_with("  warpsmith "));
        named.extend(examples.flat_map(|line| typed(&format!("{name} --help"), line)));
    }
    let wrong: Vec<String> = named.iter().filter_map(complaint).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let of = |program: &str| named.iter().filter(|n| n.words[0] == program).count();
    let found = [of("warpsmith"), of("cargo"), of("python")];
    assert!(found[0] > 150 && found[1] > 50 && found[2] > 8, "too few were found: {found:?}");
    Ok(())
}

/// Flags that the pages for users mention alone, in backticks, belong to some command, or to the script that compares peers.
#[test]
fn each_flag_that_is_mentioned_exists() -> Result<(), Box<dyn Error>> {
    let mut known = BTreeSet::from(["--help".to_owned()]);
    for (_, command) in all(super::command(), "warpsmith") {
        known.extend(command.get_arguments().flat_map(|arg| {
            let names = arg.get_long_and_visible_aliases().unwrap_or_default();
            names.into_iter().map(|name| format!("--{name}")).collect::<Vec<_>>()
        }));
    }
    let script = std::fs::read_to_string(root().join("benches/peers/compare.py"))?;
    for page in ["README.md", "docs/commands.md", "docs/recipes.md"] {
        let text = std::fs::read_to_string(root().join(page))?;
        for (line, span) in spans(&text).filter(|(_, span)| span.starts_with("--")) {
            for flag in span.split_whitespace().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap_or(flag);
                let exists = known.contains(flag) || script.contains(&format!("\"{flag}\""));
                assert!(exists, "{page}:{line}: no command has {flag}");
            }
        }
    }
    Ok(())
}

/// The README's program is the one of the crate's documentation, which `cargo test` compiles.
#[test]
fn the_first_program_is_compiled() -> Result<(), Box<dyn Error>> {
    let page = std::fs::read_to_string(root().join("README.md"))?;
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    let documentation = include_str!("../lib.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let code = documentation.skip_while(|line| !line.starts_with(" ```no_run")).skip(1);
    let code: Vec<&str> =
        code.take_while(|line| *line != " ```").map(|line| line.get(1..).unwrap_or("")).collect();
    assert_eq!(shown.ok_or("the README shows no program")?.trim_end(), code.join("\n"));
    Ok(())
}

#[test]
fn words_are_those_of_a_shell() {
    let text =
        "A=1 warpsmith a 'b c' \\\n  \"d e\"  # f\n{ g \"$@\"; } > h | warpsmith eval --data $i && k '\n' l";
    let shown: Vec<String> = commands(text).iter().map(|words| words.join(",")).collect();
    assert_eq!(shown, ["A=1,warpsmith,a,b c,d e", "{,g,$@", "}", "warpsmith,eval,--data,$i", "k,\n,l"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name.starts_with('.') || name == "target" => {}
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// A command with all that stand below it, by the words that lead there.
fn all(command: Command, name: &str) -> Vec<(String, Command)> {
    let below = command.get_subcommands().cloned().collect::<Vec<_>>();
    let below = below.into_iter().flat_map(|sub| {
        let name = format!("{name} {}", sub.get_name());
        all(sub, &name)
    });
    [(name.to_owned(), command.clone())].into_iter().chain(below).collect()
}

fn in_markdown(place: &str, text: &str) -> Vec<Named> {
    let mut found = in_spans(place, text);
    for (i, block) in text.split("```").enumerate().filter(|(i, _)| i % 2 == 1) {
        let line = 1 + text.split("```").take(i).map(|part| part.matches('\n').count()).sum::<usize>();
        let place = format!("{place}:{line}");
        let (language, code) = block.split_once('\n').unwrap_or_default();
        match language {
            "sh" => found.extend(typed(&place, code)),
            // What was typed beside what came of it.
            "" | "text" => found.extend(code.lines().flat_map(|line| {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                let is_command = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_lowercase());
                let is_typed =
                    ["warpsmith ", "cargo "].iter().any(|p| line.strip_prefix(p).is_some_and(is_command));
                if is_typed { typed(&place, line) } else { Vec::new() }
            })),
            _ => {}
        }
    }
    found
}

/// The commands of a text for a shell, from the program on: settings before it, `then` and braces are left out.
fn typed(place: &str, code: &str) -> Vec<Named> {
    let from_program = |words: Vec<String>| {
        let at =
            words.iter().position(|w| ["warpsmith", "cargo", "python", "python3"].contains(&w.as_str()))?;
        let words = words[at..].iter().map(|w| if w == "python3" { "python".into() } else { w.clone() });
        let words = words.filter(|w| w != "$@").collect();
        Some(Named { place: place.to_owned(), words, is_whole: true })
    };
    commands(code).into_iter().filter_map(from_program).collect()
}

fn in_spans(place: &str, text: &str) -> Vec<Named> {
    let of_span = |(line, span): (usize, &str)| {
        let mut named = typed(&format!("{place}:{line}"), &span.replace("\\|", "|").replace("\\\"", "\""));
        named.iter_mut().for_each(|n| n.is_whole = false);
        named
    };
    let is_command = |span: &str| ["warpsmith ", "cargo ", "python "].iter().any(|p| span.starts_with(p));
    spans(text).filter(|(_, span)| is_command(span)).flat_map(of_span).collect()
}

/// What stands between backticks on one line, with the number of the line.
fn spans(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.contains("```"));
    lines.flat_map(|(i, line)| line.split('`').skip(1).step_by(2).map(move |span| (i + 1, span)))
}

/// The simple commands of a text for a shell, as words without quotes; redirections and comments are left out.
fn commands(code: &str) -> Vec<Vec<String>> {
    let (mut found, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut letters = code.chars().peekable();
    let mut is_target = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = letters.next().filter(|inner| *inner != letter) {
                    let escaped = if letter == '"' && inner == '\\' { letters.next() } else { Some(inner) };
                    word.extend(escaped);
                }
            }
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '#' if word.is_none() => while letters.next_if(|inner| *inner != '\n').is_some() {},
            ' ' | '\t' | '\n' | '|' | '&' | ';' | '>' | '<' => {
                words.extend(word.take().filter(|_| !std::mem::take(&mut is_target)));
                match letter {
                    '>' | '<' => is_target = true,
                    '\n' | '|' | '&' | ';' if !words.is_empty() => found.push(std::mem::take(&mut words)),
                    _ => {}
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word.filter(|_| !is_target));
    found.extend(Some(words).filter(|words| !words.is_empty()));
    found
}

/// What is wrong with a command, in a line.
fn complaint(named: &Named) -> Option<String> {
    let words: Vec<&str> = named.words.iter().map(String::as_str).collect();
    let why = match words[0] {
        "warpsmith" => parsed(&words, named.is_whole),
        "cargo" => cargo(&words, named.is_whole),
        _ => words
            .get(1)
            .filter(|script| script.contains('/') && !root().join(script).is_file())
            .map(|s| format!("no {s}")),
    };
    why.map(|why| format!("{}: {}: {why}", named.place, words.join(" ")))
}

/// Why the parser refuses these words. A mention may lack arguments, and has names in capitals where numbers belong.
fn parsed(words: &[&str], is_whole: bool) -> Option<String> {
    let words = words.iter().filter(|word| is_whole || !["…", "...", "COMMAND"].contains(word));
    let error = super::command().try_get_matches_from(words).err()?;
    let is_name = || {
        error.get(clap::error::ContextKind::InvalidValue).is_some_and(|value| {
            value.to_string().chars().all(|letter| letter.is_ascii_uppercase() || "._{}".contains(letter))
        })
    };
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => !is_whole,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => !is_whole && is_name(),
        _ => false,
    };
    (!is_fine).then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

/// Why cargo would not find what these words name.
fn cargo(words: &[&str], is_whole: bool) -> Option<String> {
    let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let value = |flag: &str| {
        words[..end].iter().position(|word| *word == flag).and_then(|at| words.get(at + 1).copied())
    };
    let exists = |path: String| root().join(path).exists();
    let crates = || std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    if let Some(package) = value("-p") {
        let folder = package.strip_prefix("warpsmith-").unwrap_or(package);
        let is_known = package == "CRATE" || folder == "kernels" || exists(format!("crates/{folder}"));
        return (!is_known).then(|| format!("no package {package}"));
    }
    if let Some(name) = value("--example") {
        let places = crates().map(|entry| entry.path().join("examples")).chain([root().join("examples")]);
        let has = |dir: PathBuf| {
            dir.join(format!("{name}.rs")).is_file() || dir.join(name).join("main.rs").is_file()
        };
        return (!places.into_iter().any(has)).then(|| format!("no example {name}"));
    }
    if let Some(name) = value("--bench") {
        return (!exists(format!("benches/{name}.rs"))).then(|| format!("no bench {name}"));
    }
    match words.get(1) {
        Some(&"xtask") => words
            .get(2)
            .filter(|chore| {
                **chore != "help"
                    && !chore.starts_with('<')
                    && !exists(format!("crates/xtask/src/{chore}.rs"))
            })
            .map(|chore| format!("no chore {chore}")),
        Some(&"run") if end < words.len() => parsed(&[&["warpsmith"], &words[end + 1..]].concat(), is_whole),
        _ => None,
    }
}
