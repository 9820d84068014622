//! Text of tokens that arrive one by one.

use crate::{Result, Tokenizer};

/// Decodes a growing sequence of ids without ever showing half a character.
///
/// The pieces together are [`Tokenizer::decode`] of all ids. A byte becomes U+FFFD as soon as it is certain that no
/// later byte can make it a character, and not before.
///
/// Vocabularies that fall back to single bytes by `<0x..>` tokens decide about a whole run of such tokens at once;
/// there, a run that is no UTF-8 may show other replacement characters than `decode`.
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    /// Number of ids so far, for error messages.
    position: usize,
    /// Bytes of a character that is not complete yet (at most three).
    pending_bytes: Vec<u8>,
    /// Ids whose text depends on their neighbours: the last ones shown, then those held back.
    window: Vec<u32>,
    /// How many of the window have been shown.
    shown: usize,
}

impl StreamDecoder {
    /// A decoder at the start of a text.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, position: 0, pending_bytes: Vec::new(), window: Vec::new(), shown: 0 }
    }

    /// A decoder of the ids behind `before`, which count as shown: where the first token of a text is decoded in a way of its
    /// own, those that follow are not.
    pub(crate) fn after(tokenizer: Tokenizer, before: &[u32]) -> Self {
        // Enough for any character: the text of one more token does not depend on what lies farther back.
        let context = before.len().min(8);
        let window =
            if tokenizer.is_bytewise() { Vec::new() } else { before[before.len() - context..].to_vec() };
        Self { shown: window.len(), window, position: before.len(), ..Self::new(tokenizer) }
    }

    /// Takes the next id and gives the text that has become certain, if any.
    ///
    /// # Errors
    /// [`Error::UnknownId`](crate::Error::UnknownId) if the id names no token; the decoder is as before the call.
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.tokenizer.check(id, self.position)?;
        let piece = if self.tokenizer.is_bytewise() { self.push_bytes(id)? } else { self.push_window(id)? };
        self.position += 1;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// The rest of the text; the decoder is then at the start of a new one.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](crate::Error::Tokenizer) if a loaded tokenizer fails.
    pub fn finish(&mut self) -> Result<Option<String>> {
        let mut rest = String::from_utf8_lossy(&self.pending_bytes).into_owned();
        if self.shown < self.window.len() {
            let (before, now) = self.window_texts()?;
            rest.push_str(now.strip_prefix(before.as_str()).unwrap_or(&now));
        }
        *self = Self::new(self.tokenizer.clone());
        Ok(Some(rest).filter(|rest| !rest.is_empty()))
    }

    fn push_bytes(&mut self, id: u32) -> Result<String> {
        let token = self.tokenizer.decode_bytes(&[id])?;
        self.pending_bytes.extend_from_slice(&token);
        let certain = self.pending_bytes.len() - unfinished_tail(&self.pending_bytes);
        let piece = String::from_utf8_lossy(&self.pending_bytes[..certain]).into_owned();
        self.pending_bytes.drain(..certain);
        Ok(piece)
    }

    fn push_window(&mut self, id: u32) -> Result<String> {
        self.window.push(id);
        let (before, now) = self.window_texts()?;
        let piece = match now.strip_prefix(before.as_str()) {
            Some(piece) if !piece.is_empty() && !piece.ends_with(char::REPLACEMENT_CHARACTER) => {
                piece.to_string()
            }
            _ => return Ok(String::new()),
        };
        self.window.drain(..self.shown);
        self.shown = self.window.len();
        Ok(piece)
    }

    /// The text of the window without and with the ids held back. Decoders treat the first token in a special way
    /// (a leading space is dropped, say), so that the text of the new ids alone would be wrong.
    fn window_texts(&self) -> Result<(String, String)> {
        Ok((self.tokenizer.decode(&self.window[..self.shown])?, self.tokenizer.decode(&self.window)?))
    }
}

/// How many bytes at the end may still become one character.
fn unfinished_tail(bytes: &[u8]) -> usize {
    bytes.utf8_chunks().last().map_or(0, |chunk| {
        let tail = chunk.invalid();
        let may_go_on = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
        if may_go_on { tail.len() } else { 0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<Option<String>> {
        let mut stream = tokenizer.stream();
        let mut pieces: Vec<_> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        pieces.push(stream.finish().unwrap());
        pieces
    }

    #[test]
    fn an_emoji_of_four_byte_tokens_comes_out_whole() {
        let byte = Tokenizer::byte_level();
        let ids = byte.encode("a😀中").unwrap();
        let some = |text: &str| Some(text.to_string());
        let want = [some("a"), None, None, None, some("😀"), None, None, some("中"), None];
        assert_eq!(pieces(&byte, &ids), want);
    }

    #[test]
    fn bad_bytes_are_replaced_when_certain() {
        let byte = Tokenizer::byte_level();
        let some = |text: &str| Some(text.to_string());
        // 0xFF starts nothing; 0xC3 may start something until an ASCII letter follows.
        assert_eq!(pieces(&byte, &[0xFF]), [some("\u{FFFD}"), None]);
        assert_eq!(pieces(&byte, &[0xC3, b'a'.into()]), [None, some("\u{FFFD}a"), None]);
        assert_eq!(pieces(&byte, &[0xF0, 0x9F]), [None, None, some("\u{FFFD}")]);
    }

    #[test]
    fn an_unknown_id_leaves_the_stream_as_it_was() {
        let mut stream = Tokenizer::byte_level().stream();
        assert_eq!(stream.push(0xC3).unwrap(), None);
        assert!(matches!(stream.push(256), Err(Error::UnknownId { id: 256, position: 1, .. })));
        assert_eq!(stream.push(0xA9).unwrap().as_deref(), Some("é"));
        assert_eq!(stream.finish().unwrap(), None);
    }
}
