//! Characters to tokens.

use super::Mistake;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name, opcode, directive or register; dots and `::` belong to it.
    Word,
    /// Anything that begins with a digit.
    Number,
    /// A string, without its quotes.
    Text,
    /// One character of punctuation.
    Mark(u8),
}

/// A token with the line it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: u32,
}

/// Splits a text into tokens.
///
/// # Errors
///
/// A character that PTX does not use, or a comment or string without an end.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Mistake> {
    let mut lexer = Lexer { text, at: 0, line: 1 };
    let mut found = Vec::with_capacity(text.len() / 4);
    while let Some(token) = lexer.next()? {
        found.push(token);
    }
    Ok(found)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, Mistake> {
        self.skip_blank()?;
        let (start, line) = (self.at, self.line);
        let Some(&first) = self.text.as_bytes().get(start) else { return Ok(None) };
        let kind = match first {
            b'0'..=b'9' => {
                self.skip_while(|c| c.is_ascii_alphanumeric() || c == b'.');
                Kind::Number
            }
            b'.' => {
                // Directives may touch: `.reg.b32` is two.
                self.at += 1;
                self.skip_while(|c| is_word(c) && c != b'.');
                Kind::Word
            }
            c if is_word(c) => {
                self.skip_word();
                Kind::Word
            }
            b'"' => return self.string().map(Some),
            b'{' | b'}' | b'[' | b']' | b'(' | b')' | b',' | b';' | b':' | b'<' | b'>' | b'=' | b'@'
            | b'+' | b'-' | b'|' | b'!' | b'*' => {
                self.at += 1;
                Kind::Mark(first)
            }
            _ => {
                let found = self.text[start..].chars().next().unwrap_or('?');
                return Err(Mistake::at(line, format!("the character {found:?} has no meaning in PTX")));
            }
        };
        Ok(Some(Token { kind, text: &self.text[start..self.at], line }))
    }

    fn skip_word(&mut self) {
        loop {
            self.skip_while(is_word);
            // `L2::128B` is one word, `label:` is two tokens.
            if self.peek(0) == b':' && self.peek(1) == b':' && is_word(self.peek(2)) {
                self.at += 2;
            } else {
                return;
            }
        }
    }

    fn skip_while(&mut self, is_part: impl Fn(u8) -> bool) {
        while self.at < self.text.len() && is_part(self.peek(0)) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Token<'a>, Mistake> {
        let (start, line) = (self.at + 1, self.line);
        let length = self.text.as_bytes()[start..].iter().position(|&c| c == b'"' || c == b'\n');
        let end = start + length.unwrap_or(0);
        if length.is_none() || self.text.as_bytes()[end] == b'\n' {
            return Err(Mistake::at(line, "a string without its closing quote"));
        }
        self.at = end + 1;
        Ok(Token { kind: Kind::Text, text: &self.text[start..end], line })
    }

    fn skip_blank(&mut self) -> Result<(), Mistake> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'\n', _) => {
                    self.line += 1;
                    self.at += 1;
                }
                (b' ' | b'\t' | b'\r', _) => self.at += 1,
                (b'/', b'/') => self.skip_while(|c| c != b'\n'),
                (b'/', b'*') => {
                    let start = self.at + 2;
                    let Some(length) = self.text.as_bytes()[start..].windows(2).position(|w| w == b"*/")
                    else {
                        return Err(Mistake::at(self.line, "a comment without an end"));
                    };
                    let inside = &self.text.as_bytes()[start..start + length];
                    self.line += inside.iter().filter(|&&c| c == b'\n').count() as u32;
                    self.at = start + length + 2;
                }
                _ => return Ok(()),
            }
        }
    }
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).unwrap().iter().map(|token| token.text).collect()
    }

    #[test]
    fn an_instruction_falls_into_its_parts() {
        let line = "@!%p1 ld.global.L2::128B.v2.f32 {%f1, _}, [%rd1+-4]; // tail";
        let parts =
            ["@", "!", "%p1", "ld.global.L2::128B.v2.f32", "{", "%f1", ",", "_", "}", ",", "[", "%rd1", "+"];
        assert_eq!(texts(line)[..13], parts);
        assert_eq!(texts("$L__BB0_1:\nmov.f32 %f1, 0f3F800000;")[..2], ["$L__BB0_1", ":"]);
        assert_eq!(texts(".reg.b32 %a;"), [".reg", ".b32", "%a", ";"]);
    }

    #[test]
    fn lines_are_counted_through_comments() {
        let found = tokens("a /* \n\n */ b // c\n \"d e\"").unwrap();
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn what_never_ends_or_means_nothing_is_a_mistake_with_its_line() {
        for (text, line) in [("a\n\"b\nc\"", 2), ("\n\n/* x", 3), ("a\n#", 2), ("é", 1)] {
            assert_eq!(tokens(text).unwrap_err().line, line, "{text}");
        }
    }
}
