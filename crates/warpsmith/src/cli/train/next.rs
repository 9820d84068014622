//! What can be done with a run that has ended: commands for this very run, to be taken as they are.

use std::path::Path;

use warpsmith::train::config::{TaskKind, TrainConfig};
use warpsmith::train::{Ending, Outcome, Run, TrainData, runs};

/// How many characters of a text a prompt shows at most.
const LONGEST: usize = 12;
/// How many tokens of the validation text are looked through for a word.
const LOOKED_AT: usize = 400;

/// Three commands, for a shell.
pub fn commands(run: &Run, outcome: &Outcome) -> Vec<String> {
    let config = run.trainer().config();
    let dir = quoted(&config.out_dir);
    let prompt = prompt(run.trainer().data(), config);
    let prompt = prompt.map_or(String::new(), |prompt| format!(" --prompt {}", quoted(&prompt)));
    let judge = match Path::new(&config.data) {
        _ if outcome.ending == Ending::Interrupted => format!("warpsmith train --resume {dir}"),
        // A file of ids is no text.
        text if config.task == TaskKind::None
            && text.is_file()
            && text.extension().is_none_or(|e| e != "bin") =>
        {
            format!("warpsmith eval --model {dir} --data {}", quoted(&config.data))
        }
        _ => format!("warpsmith inspect --model {dir}"),
    };
    let other = match config.task {
        TaskKind::None => {
            let sort = runs::first_of("runs/sort", |dir| runs::check_vacant(dir).is_ok());
            format!(
                "warpsmith train --task sort --n_layer 2 --n_head 2 --n_embd 64 --block_size 32 --max_iters 500 --out {sort}"
            )
        }
        _ => format!("warpsmith train --resume {dir} --max_iters {}", 2 * config.max_iters),
    };
    vec![format!("warpsmith generate --model {dir}{prompt} --max_new_tokens 300"), judge, other]
}

/// Something that the model has letters for and sees whole: a problem of its task, or a word of its text; `None` if there is
/// none, and a line break has to do.
fn prompt(data: &TrainData, config: &TrainConfig) -> Option<String> {
    let fits = |prompt: &str| {
        let ids = data.tokenizer().encode(prompt);
        ids.is_ok_and(|ids| (1..=config.block_size).contains(&ids.len()))
    };
    let usual = data.prompt(config).ok().filter(|prompt| prompt != "\n" && fits(prompt));
    let TrainData::Text(text) = data else { return usual };
    if config.data.is_empty() && fits("fn main") {
        return Some("fn main".into());
    }
    let val = text.val();
    let start = text.tokenizer().decode(&val[..val.len().min(LOOKED_AT)]).unwrap_or_default();
    let words = start.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words = words.map(|word| word.chars().take(LONGEST).collect::<String>());
    words.find(|word| fits(word)).or(usual)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_the_word() {
        for (word, shown) in [
            ("runs/quick-2", "runs/quick-2"),
            ("fn main", "'fn main'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
