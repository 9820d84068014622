//! The page that tells a reader what a data set is.

use std::fmt::Write;

use crate::manifest::Manifest;

/// Its first line.
pub(crate) const TITLE: &str = "# Data card\n";

/// The data card, in Markdown.
pub fn card(manifest: &Manifest) -> String {
    let mut page = format!("{TITLE}\n");
    // Writing to a string cannot fail.
    let _ = fill(&mut page, manifest);
    page
}

fn fill(page: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let licence = if manifest.licence.is_empty() { "not stated" } else { &manifest.licence };
    writeln!(
        page,
        "Made by {} from the files below. Licence of the sources, as given: {licence}.\n",
        manifest.made_by
    )?;
    writeln!(page, "## Sources\n\n| file | bytes | documents | SHA-256 |\n|---|---:|---:|---|")?;
    const MOST: usize = 20;
    for source in manifest.inputs.iter().take(MOST) {
        let path = source.path.display().to_string().replace('|', "\\|");
        writeln!(page, "| {path} | {} | {} | `{}…` |", source.bytes, source.documents, &source.sha256[..16])?;
    }
    if manifest.inputs.len() > MOST {
        writeln!(page, "\n… and {} more; manifest.json lists them all.", manifest.inputs.len() - MOST)?;
    }
    writeln!(
        page,
        "\n## What was done\n\n| step | documents before | after | changed |\n|---|---:|---:|---:|"
    )?;
    for step in &manifest.steps {
        writeln!(page, "| {} | {} | {} | {} |", step.step, step.before, step.after, step.changed)?;
    }
    writeln!(
        page,
        "\n## Parts\n\n| part | documents | characters | tokens | classes |\n|---|---:|---:|---:|---|"
    )?;
    for part in &manifest.parts {
        let tokens = part.tokens.map_or("-".into(), |tokens| tokens.to_string());
        let classes = part.classes.iter().flat_map(|balance| &balance.counts);
        let classes: Vec<String> =
            classes.map(|(class, count)| format!("{} {count}", class.replace('|', "\\|"))).collect();
        let classes = if classes.is_empty() { "-".into() } else { classes.join(", ") };
        writeln!(
            page,
            "| {} | {} | {} | {tokens} | {classes} |",
            part.name, part.documents, part.characters
        )?;
    }
    let balance = manifest.part("train").and_then(|part| part.classes.as_ref());
    if let Some((ratio, majority)) = balance.and_then(|balance| Some((balance.ratio()?, balance.majority()?)))
    {
        writeln!(
            page,
            "\nThe most frequent class of train has {ratio:.2} times the documents of the least frequent; always naming it \
             is right in {:.2} % of cases.",
            100.0 * majority
        )?;
    }
    if let Some(tokenizer) = &manifest.tokenizer {
        writeln!(
            page,
            "\nTokens: {}, {} ids; between documents {}.",
            tokenizer.name, tokenizer.vocab_size, tokenizer.between
        )?;
    }
    writeln!(page, "\n## Settings\n")?;
    for (flag, value) in &manifest.settings {
        writeln!(
            page,
            "- `--{flag}` {}",
            if value.is_empty() { "(none)".into() } else { format!("`{value}`") }
        )?;
    }
    writeln!(
        page,
        "\nNo document is in two parts. What the texts say, and whom they are about, was not looked at."
    )
}
