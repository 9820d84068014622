//! Texts that a flag names: a file, a folder, or standard input.

use std::path::Path;

use warpsmith::PreparedFiles;
use warpsmith::data::manifest::Manifest;
use warpsmith::text::Corpus;

use super::Failure;

/// The text of a file or folder, or of standard input for `-`. What `data prepare` leaves, finished or not, is none: its card and
/// its tokenizer would be read in the place of its ids.
pub fn read(name: &str) -> Result<Corpus, Failure> {
    if name == "-" {
        return Ok(Corpus::from_reader(std::io::stdin().lock(), "-")?);
    }
    if Manifest::find(Path::new(name), &PreparedFiles)?.is_some() {
        let problem =
            "is prepared data, and no text: give what it was made of, or a text that was kept apart";
        return Err(Failure::Failed(format!("{name}: {problem}")));
    }
    Ok(Corpus::from_path(name)?)
}
