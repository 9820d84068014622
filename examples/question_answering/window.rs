//! A window over a text: tokens, and the bytes that they stand for.

use warpsmith::model::Span;

/// A window over a text.
pub struct Window {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
    /// For each token the bytes of the text that it stands for; nothing for the question and the marks.
    pub bytes: Vec<Option<(usize, usize)>>,
}

impl Window {
    /// The tokens of an answer, if all of it is in the window; else those of none.
    pub fn span(&self, (answer, at): &(String, usize)) -> (usize, usize) {
        // Tokens of the piece that a byte is in.
        let holds = |place: usize| {
            move |bytes: &Option<(usize, usize)>| {
                bytes.is_some_and(|(start, end)| start <= place && place < end)
            }
        };
        let last = at + answer.trim_end().len() - answer.trim_end().chars().last().map_or(0, char::len_utf8);
        let start = self.bytes.iter().position(holds(*at));
        start.zip(self.bytes.iter().rposition(holds(last))).unwrap_or((0, 0))
    }

    /// The tokens that may answer.
    pub fn text(&self) -> std::ops::Range<usize> {
        let first = self.bytes.iter().position(Option::is_some).unwrap_or(0);
        first..self.bytes.iter().rposition(Option::is_some).map_or(first, |last| last + 1)
    }

    /// The part of the text that a span stands for.
    pub fn answer<'a>(&self, context: &'a str, span: Span) -> &'a str {
        match (self.bytes[span.start], self.bytes[span.end]) {
            (Some((start, _)), Some((_, end))) => &context[start..end.max(start)],
            _ => "",
        }
    }
}
