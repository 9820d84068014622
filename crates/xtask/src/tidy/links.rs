//! Links of the Markdown files: a reader who follows one must arrive.

use super::{Offence, tree::Tree};

/// Relative links to files that do not exist, and fragments that no heading of the file has.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.extension() == "md") {
        for (line, text) in unfenced(&file.text) {
            for target in targets(&without_code(text)) {
                found.extend(complaint(tree, &file.path, target).map(|m| Offence::at(&file.path, line, m)));
            }
        }
    }
    found
}

fn complaint(tree: &Tree, from: &str, target: &str) -> Option<String> {
    let is_address = target.contains("://") || target.starts_with("mailto:");
    if is_address {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let resolved = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, path) };
    let Some(resolved) = resolved else { return Some(format!("the link {target} leaves the repository")) };
    if !tree.has(&resolved) {
        return Some(format!("the link {target} leads nowhere: there is no {resolved}"));
    }
    let headed = tree.file(&resolved).filter(|file| file.extension() == "md" && !fragment.is_empty())?;
    let has_heading = anchors(&headed.text).iter().any(|anchor| anchor == fragment);
    (!has_heading).then(|| format!("the link {target} leads nowhere: {resolved} has no such heading"))
}

/// The path from the root that `target`, seen from the file `from`, means; `None` above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Numbered lines outside fenced code.
fn unfenced(text: &str) -> Vec<(usize, &str)> {
    let mut fence = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => lines.push((index + 1, line)),
            (Some(_), _) => {}
        }
    }
    lines
}

fn without_code(line: &str) -> String {
    // Odd pieces stand between backticks; the last one does not if its backtick is never closed.
    let pieces: Vec<&str> = line.split('`').collect();
    let last = pieces.len() - 1;
    let keep = |(index, piece): (usize, &&str)| (index % 2 == 0 || index == last).then(|| piece.to_string());
    pieces.iter().enumerate().filter_map(keep).collect()
}

/// The targets of inline links and images, and of reference definitions.
fn targets(line: &str) -> Vec<&str> {
    let mut found: Vec<&str> =
        line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).collect();
    if let Some((_, rest)) = line.split_once("]: ").filter(|_| line.starts_with('[')) {
        found.extend(rest.split_whitespace().next());
    }
    found
        .into_iter()
        .map(|target| target.trim_matches(['<', '>']))
        .filter(|target| !target.is_empty())
        .collect()
}

/// The fragments by which the headings of a Markdown text can be reached. The second of one name has `-1` behind it.
fn anchors(text: &str) -> Vec<String> {
    let (mut found, mut titles) = (Vec::new(), Vec::new());
    for (_, line) in unfenced(text).into_iter().filter(|(_, line)| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let repeats = titles.iter().filter(|earlier| **earlier == anchor).count();
        found.push(if repeats == 0 { anchor.clone() } else { format!("{anchor}-{repeats}") });
        titles.push(anchor);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<usize> {
        let tree = [
            ("docs/page.md", text),
            (
                "docs/other.md",
                "# A Heading, `with code`\n\n# Thrice\n\n# Thrice\n\n# Thrice\n\n```sh\n# no heading\n```\n",
            ),
            ("README.md", "# Top"),
            ("crates/ops/src/add.rs", ""),
        ];
        check(&Tree::of(&tree)).iter().map(|o| o.line).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(broken("\n[x](missing.md)"), [2]);
        assert_eq!(broken("[x](other.md) ![y](plot.png \"title\")"), [1]);
        assert_eq!(broken("[x](../../outside.md)"), [1]);
        assert_eq!(broken("[x](other.md#no-heading)"), [1]);
        assert_eq!(broken("[x]: ../gone.md"), [1]);
        assert_eq!(broken("an ` unclosed backtick [x](missing.md)"), [1]);
        assert_eq!(broken("```\n```\n[x](missing.md)"), [3]);
    }

    #[test]
    fn links_that_arrive_pass() {
        assert_eq!(
            broken("[a](other.md) [b](../README.md#top) [c](../crates/ops) [d](/README.md) [e](#h)\n# H"),
            []
        );
        assert_eq!(
            broken("[a](other.md#a-heading-with-code) [b](other.md#thrice-1) [c](other.md#thrice-2)"),
            []
        );
        assert_eq!(broken("[a](https://example.org/x) [b](mailto:a@example.org)"), []);
        assert_eq!(broken("`[x](missing.md)`\n```rust\na[0](missing)\n```"), []);
    }
}
