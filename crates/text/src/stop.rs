//! Where a text that comes in pieces has to end.

use crate::{Error, Result};

/// Ends a text before that one of some strings which is complete first (of several, the longest), however the text is cut
/// into pieces.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    strings: Vec<String>,
    /// What may still be the beginning of a stop string.
    held: String,
}

/// What [`StopStrings::push`] has to say of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Text that belongs to the answer for certain.
    pub text: String,
    /// Whether a stop string has come: what stands before it has been given, and nothing more belongs to the text.
    pub is_stopped: bool,
}

impl StopStrings {
    /// A watch for these strings; with none of them everything passes.
    ///
    /// # Errors
    /// [`Error::EmptyStop`] if a string is empty, since it would come at once.
    pub fn new(strings: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let strings: Vec<String> = strings.into_iter().map(Into::into).collect();
        match strings.iter().any(String::is_empty) {
            true => Err(Error::EmptyStop),
            false => Ok(Self { strings, held: String::new() }),
        }
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, piece: &str) -> Checked {
        self.held.push_str(piece);
        let places =
            self.strings.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop.len())));
        if let Some((start, _)) = places.min_by_key(|(start, length)| (start + length, *start)) {
            self.held.truncate(start);
            return Checked { text: std::mem::take(&mut self.held), is_stopped: true };
        }
        let certain = self.held.len() - self.unfinished();
        let rest = self.held.split_off(certain);
        Checked { text: std::mem::replace(&mut self.held, rest), is_stopped: false }
    }

    /// What was held back when no more text comes; the watch is then at the start of a new text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// How many bytes at the end may become a stop string.
    fn unfinished(&self) -> usize {
        let begun = |stop: &String| {
            let mut lengths = stop.char_indices().map(|(at, _)| at).rev();
            lengths.find(|&length| self.held.ends_with(&stop[..length])).unwrap_or(0)
        };
        self.strings.iter().map(begun).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer and whether it was stopped, the text being cut before each byte of `cuts` that a character begins at.
    fn answer(strings: &[&str], text: &str, cuts: u32) -> (String, bool) {
        let mut watch = StopStrings::new(strings.iter().copied()).unwrap();
        let mut answer = String::new();
        let mut start = 0;
        let ends = (1..text.len()).filter(|&i| cuts >> i & 1 == 1 && text.is_char_boundary(i));
        for end in ends.chain([text.len()]) {
            let checked = watch.push(&text[start..end]);
            answer.push_str(&checked.text);
            if checked.is_stopped {
                return (answer, true);
            }
            start = end;
        }
        (answer + &watch.finish(), false)
    }

    #[test]
    fn however_the_text_is_cut_it_ends_at_the_same_stop() {
        let cases: [(&[&str], &str, &str, bool); 7] = [
            (&["\n\n"], "one\ntwo\n\nthr", "one\ntwo", true),
            (&["aab"], "aaaab", "aa", true),
            (&["abc", "b"], "xabxabc", "xa", true),
            (&["abcd", "b", "ab"], "xabcd", "x", true),
            (&["停止", "end"], "中停中停止", "中停中", true),
            (&["abcd"], "xyz abc", "xyz abc", false),
            (&[], "anything", "anything", false),
        ];
        for (strings, text, want, is_stopped) in cases {
            for cuts in 0..1 << text.len().min(13) {
                assert_eq!(answer(strings, text, cuts), (want.into(), is_stopped), "{text:?}, cuts {cuts:b}");
            }
        }
    }

    #[test]
    fn text_that_is_certain_is_not_held_back() {
        let mut watch = StopStrings::new(["END"]).unwrap();
        let mut told = |piece: &str| watch.push(piece).text;
        assert_eq!([told("plain "), told("EN"), told("O"), told("E")], ["plain ", "", "ENO", ""]);
        assert_eq!(watch.finish(), "E");
        assert!(StopStrings::new([""]).is_err());
    }
}
