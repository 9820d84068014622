//! Just enough of Rust's lexical grammar to tell code from comments and literals.
//!
//! The rules look for words such as `unsafe`; inside a string or a comment the same word means nothing.

/// A Rust source divided line by line into its code and its comments, each blanked where the other stands.
pub struct Source {
    code: Vec<String>,
    comments: Vec<String>,
    tests: Vec<bool>,
}

/// What the characters at a place belong to.
enum Piece {
    Code,
    Comment,
    Literal,
}

impl Source {
    /// Divides `text`. Never fails: what no compiler accepts is divided somehow.
    pub fn parse(text: &str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut comments = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, length) = next_piece(rest, code.chars().last());
            let (taken, left) = rest.split_at(length);
            for character in taken.chars() {
                let blank = if character == '\n' { '\n' } else { ' ' };
                code.push(if matches!(piece, Piece::Code) { character } else { blank });
                comments.push(if matches!(piece, Piece::Comment) { character } else { blank });
            }
            rest = left;
        }
        let tests = test_lines(&code);
        Source { code: owned_lines(&code), comments: owned_lines(&comments), tests }
    }

    /// Line numbers from 1 and the code on each line, literals and comments blanked.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// Line numbers from 1 and the comment on each line.
    pub fn comment_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.comments.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// The code of line `number`, counted from 1; empty outside the file.
    pub fn code(&self, number: usize) -> &str {
        self.code.get(number.wrapping_sub(1)).map_or("", String::as_str)
    }

    /// The comment of line `number`, counted from 1; empty outside the file.
    pub fn comment(&self, number: usize) -> &str {
        self.comments.get(number.wrapping_sub(1)).map_or("", String::as_str)
    }

    /// True if line `number` stands below `#[cfg(test)]`.
    pub fn is_test(&self, number: usize) -> bool {
        self.tests.get(number.wrapping_sub(1)).copied().unwrap_or(false)
    }
}

fn owned_lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The kind and the length in bytes of the piece that begins `rest`, which is not empty.
fn next_piece(rest: &str, before: Option<char>) -> (Piece, usize) {
    if rest.starts_with("//") {
        return (Piece::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Piece::Comment, block_comment(rest));
    }
    let after_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix =
        if after_word { 0 } else { rest.bytes().take_while(|b| matches!(b, b'b' | b'c' | b'r')).count() };
    if prefix <= 2 {
        let body = &rest[prefix..];
        let hashes = body.bytes().take_while(|b| *b == b'#').count();
        if rest[..prefix].ends_with('r') && body[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = prefix + hashes + 1;
            return (Piece::Literal, rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len()));
        }
        if body.starts_with('"') {
            return (Piece::Literal, prefix + quoted(body, '"'));
        }
        if body.starts_with('\'') && is_character_literal(body) {
            return (Piece::Literal, prefix + quoted(body, '\''));
        }
    }
    (Piece::Code, rest.chars().next().map_or(1, char::len_utf8))
}

/// Length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a literal that begins and ends with `quote` and escapes with a backslash.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_character_literal(rest: &str) -> bool {
    let mut inside = rest.chars().skip(1);
    matches!((inside.next(), inside.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}

/// For each line of blanked code, whether it belongs to an item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count()];
    let line_of = |at: usize| code[..at].matches('\n').count();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(code, start);
        for line in line_of(start)..=line_of(end).min(lines.len().saturating_sub(1)) {
            lines[line] = true;
        }
        from = end.max(start + 1);
    }
    lines
}

/// Where the item behind an attribute at `start` ends: at its semicolon, or at the brace that closes it.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, character) in code[start..].char_indices() {
        match character {
            ';' if depth == 0 => return start + at,
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn divides(text: &str, code: &str, comment: &str) {
        let source = Source::parse(text);
        assert_eq!(source.code(1).chars().count(), text.chars().count(), "columns of {text}");
        let words: Vec<&str> = source.code(1).split_whitespace().collect();
        assert_eq!(words.join(" "), code, "code of {text}");
        assert_eq!(source.comment(1).trim(), comment, "comment of {text}");
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        divides("let x = 1; // unsafe", "let x = 1;", "// unsafe");
        divides("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        divides(r#"f("// no \" comment") // yes"#, "f( )", "// yes");
        divides(r###"f(r#"say "unsafe" // no"#)"###, "f( )", "");
        divides(r#"f(b"x", c"y", br"\") // z"#, "f( , , )", "// z");
        divides("f('\"', '\\'', b'/') // z", "f( , , )", "// z");
    }

    #[test]
    fn lifetimes_and_words_that_end_like_prefixes_are_code() {
        divides("fn f<'a>(x: &'a str) {} // z", "fn f<'a>(x: &'a str) {}", "// z");
        divides("for r in abc { r # }", "for r in abc { r # }", "");
        divides("grub!(\"x\")", "grub!( )", "");
    }

    #[test]
    fn a_literal_over_several_lines_keeps_the_line_numbers() {
        let source = Source::parse("let s = \"one\n// two\n\"; // three");
        assert_eq!(source.comment(2).trim(), "");
        assert_eq!(source.comment(3).trim(), "// three");
    }

    #[test]
    fn unfinished_text_is_divided_without_panicking() {
        for text in
            ["\"", "r#\"", "/*", "'", "b'", "'\\", "é\"é", "br", "#[cfg(test)]", "#[cfg(test)] mod a {"]
        {
            Source::parse(text);
        }
    }

    #[test]
    fn lines_under_cfg_test_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { if x { y } }\n}\nfn c() {}\n#[cfg(test)]\nuse d;\nfn e() {}";
        let source = Source::parse(text);
        let tests: Vec<usize> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
    }
}
