//! What was found, as a committed table, as JSON, and in a sentence.

use super::catalogue::{CLASSES, Kernel, Mutant};
use super::trial::Outcome;

/// One bug and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    kernel: String,
    mutant: String,
    class: String,
    breaks: String,
    /// The outcome's name.
    found: String,
    /// Why no test can notice.
    survives: Option<String>,
}

/// The outcome's name of a bug that no test noticed.
const UNCAUGHT: &str = "uncaught";

impl Row {
    /// A bug's row.
    pub fn new(kernel: &Kernel, mutant: &Mutant, outcome: &Outcome) -> Self {
        Self::with(kernel, mutant, outcome.name())
    }

    fn with(kernel: &Kernel, mutant: &Mutant, found: String) -> Self {
        Self {
            kernel: kernel.name.clone(),
            mutant: mutant.name.clone(),
            class: mutant.class.clone(),
            breaks: mutant.breaks.clone(),
            found,
            survives: mutant.survives.clone(),
        }
    }

    fn is_caught(&self) -> bool {
        self.found != UNCAUGHT
    }

    fn is_by_value(&self) -> bool {
        self.found.ends_with("value")
    }

    fn is_by_check(&self) -> bool {
        self.is_caught() && self.found != "value"
    }
}

/// Bugs that are not caught and do not say why, and bugs that say why and are caught.
pub fn surprises(rows: &[Row]) -> Vec<String> {
    let sentence = |row: &Row| {
        let who = format!("{}/{}", row.kernel, row.mutant);
        match (row.is_caught(), &row.survives) {
            (false, None) => {
                Some(format!("{who} is not caught: strengthen a test, or say why under `survives`"))
            }
            (true, Some(_)) => Some(format!("{who} is caught ({}): take `survives` away", row.found)),
            _ => None,
        }
    };
    rows.iter().filter_map(sentence).collect()
}

/// Planted, caught, by which means, and not caught.
pub fn summary(rows: &[Row]) -> String {
    let count = |of: fn(&Row) -> bool| rows.iter().filter(|row| of(row)).count();
    format!(
        "{} bugs planted, {} caught ({} by a check, {} by value, {} by both), {} not",
        rows.len(),
        count(Row::is_caught),
        count(|row| row.is_by_check() && !row.is_by_value()),
        count(|row| row.is_by_value() && !row.is_by_check()),
        count(|row| row.is_by_value() && row.is_by_check()),
        count(|row| !row.is_caught()),
    )
}

/// What the table says of a bug.
fn committed_outcome<'a>(table: &'a str, kernel: &str, mutant: &str) -> Option<&'a str> {
    let start = format!("| {kernel} | {mutant} | ");
    let (_, all) = table.split_once("\n## All\n")?;
    let line = all.lines().find(|line| line.starts_with(&start))?;
    line.strip_suffix(" |")?.rsplit(" | ").next()
}

/// The rows of all bugs: those that were run, and the committed outcomes of the others.
pub fn merge(committed: &str, rows: &[Row], catalogue: &[Kernel]) -> Vec<Row> {
    let mut merged = Vec::new();
    for (kernel, mutant) in catalogue.iter().flat_map(|k| k.mutants.iter().map(move |m| (k, m))) {
        let run = rows.iter().find(|row| row.kernel == kernel.name && row.mutant == mutant.name);
        let known = || committed_outcome(committed, &kernel.name, &mutant.name);
        merged.extend(run.cloned().or_else(|| Some(Row::with(kernel, mutant, known()?.to_owned()))));
    }
    merged
}

/// Sentences on bugs whose committed outcome is missing, or is of a bug that is gone or another.
#[cfg(test)]
pub fn stale(committed: &str, catalogue: &[Kernel]) -> Vec<String> {
    if render(&merge(committed, &[], catalogue)) != committed {
        return vec![
            "kernels/mutants/RESULTS.md is not of these bugs: run `cargo xtask mutants --write`".to_owned(),
        ];
    }
    let all = catalogue.iter().flat_map(|k| k.mutants.iter().map(move |m| (k, m)));
    let missing = all.filter(|(k, m)| committed_outcome(committed, &k.name, &m.name).is_none());
    missing.map(|(k, m)| format!("{}/{} was never run", k.name, m.name)).collect()
}

/// The committed file.
pub fn render(rows: &[Row]) -> String {
    let mut text = format!(
        "# Planted bugs and what caught them\n\n\
         Written by `cargo xtask mutants --write`. {}.\n\n\
         A word with a capital is a check of the emulator, `value` a result outside its bound or with other bits than promised.\n",
        summary(rows)
    );
    let mut kernels: Vec<&str> = rows.iter().map(|row| row.kernel.as_str()).collect();
    kernels.dedup();
    text += &tally("kernel", rows, kernels.iter().map(|name| (*name, *name)), |row| &row.kernel);
    let classes = CLASSES.iter().map(|(name, about)| (*name, *about));
    text += &tally("class", rows, classes, |row| &row.class);
    text += "\n## Not caught, and why\n\n| kernel | bug | reason |\n|---|---|---|\n";
    for row in rows.iter().filter(|row| !row.is_caught()) {
        let reason = row.survives.as_deref().unwrap_or("**unknown**");
        text += &format!("| {} | {} | {reason} |\n", row.kernel, row.mutant);
    }
    text += "\n## All\n\n| kernel | bug | class | breaks | caught by |\n|---|---|---|---|---|\n";
    for row in rows {
        let Row { kernel, mutant, class, breaks, found, .. } = row;
        text += &format!("| {kernel} | {mutant} | {class} | {breaks} | {found} |\n");
    }
    text
}

/// Counts for each key that has a row; each key comes with how it is shown.
fn tally<'a>(
    what: &str,
    rows: &[Row],
    keys: impl Iterator<Item = (&'a str, &'a str)>,
    key_of: fn(&Row) -> &String,
) -> String {
    let mut text = format!(
        "\n## By {what}\n\n| {what} | planted | caught | by a check | by value |\n|---|--:|--:|--:|--:|\n"
    );
    for (key, shown) in keys {
        let own: Vec<&Row> = rows.iter().filter(|row| key_of(row) == key).collect();
        let count = |of: fn(&Row) -> bool| own.iter().filter(|row| of(row)).count();
        if own.is_empty() {
            continue;
        }
        let name = if shown == key { key.to_owned() } else { format!("{key}: {shown}") };
        let numbers = [own.len(), count(Row::is_caught), count(Row::is_by_check), count(Row::is_by_value)];
        text += &format!("| {name} | {} |\n", numbers.map(|n| n.to_string()).join(" | "));
    }
    text
}

/// The rows as a JSON array of objects.
pub fn json(rows: &[Row]) -> String {
    let object = |row: &Row| {
        let mut pairs = vec![
            ("kernel", &row.kernel),
            ("mutant", &row.mutant),
            ("class", &row.class),
            ("breaks", &row.breaks),
            ("found", &row.found),
        ];
        pairs.extend(row.survives.as_ref().map(|reason| ("survives", reason)));
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("\"{key}\": {}", string(value))).collect();
        format!("  {{{}}}", pairs.join(", "))
    };
    format!("[\n{}\n]\n", rows.iter().map(object).collect::<Vec<_>>().join(",\n"))
}

/// A JSON string.
fn string(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mutant: &str, found: &str, survives: Option<&str>) -> Row {
        Row {
            kernel: "k".to_owned(),
            mutant: mutant.to_owned(),
            class: "bound".to_owned(),
            breaks: "b \"c\"".to_owned(),
            found: found.to_owned(),
            survives: survives.map(str::to_owned),
        }
    }

    #[test]
    fn only_what_was_not_expected_is_a_surprise() {
        let rows = [
            row("a", "Race", None),
            row("b", UNCAUGHT, Some("equal")),
            row("c", UNCAUGHT, None),
            row("d", "value", Some("x")),
        ];
        let found = surprises(&rows);
        assert!(
            found.len() == 2 && found[0].starts_with("k/c is not") && found[1].starts_with("k/d is caught")
        );
        assert_eq!(summary(&rows), "4 bugs planted, 2 caught (1 by a check, 1 by value, 0 by both), 2 not");
    }

    #[test]
    fn the_table_gives_its_outcomes_back() {
        let rows = [row("a", "Race + value", None), row("b", UNCAUGHT, Some("equal"))];
        let text = render(&rows);
        assert_eq!(committed_outcome(&text, "k", "a"), Some("Race + value"));
        assert_eq!(committed_outcome(&text, "k", "b"), Some(UNCAUGHT));
        assert_eq!(committed_outcome(&text, "k", "c"), None);
        assert!(text.contains("| k | b | equal |") && text.contains("| 2 | 1 | 1 | 1 |"));
    }

    #[test]
    fn json_is_escaped() {
        assert!(json(&[row("a", "value", None)]).contains(r#""breaks": "b \"c\"", "found": "value""#));
    }
}
