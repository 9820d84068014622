//! Text out of HTML: no tag, comment, script or style is left, and every reference is a character.
//!
//! This is a tokenizer after the rules of HTML 5 (section 13.2.5), without its tree: what a page *says* is needed, not how it
//! is built. So badly nested pages do no harm.

use super::entities::{named, numbered};

/// Elements, by which a tag is told from `a <b && c> d` and from `Vec<u8>`. Sorted.
#[rustfmt::skip]
const ELEMENTS: &[&str] = &[
    "a", "abbr", "acronym", "address", "applet", "area", "article", "aside", "audio", "b", "base", "basefont", "bdi", "bdo",
    "big", "blockquote", "body", "br", "button", "canvas", "caption", "center", "cite", "code", "col", "colgroup", "dd", "del",
    "details", "dfn", "dir", "div", "dl", "dt", "em", "embed", "fieldset", "figcaption", "figure", "font", "footer", "form",
    "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "i", "iframe", "img", "input",
    "ins", "kbd", "label", "legend", "li", "link", "main", "map", "mark", "meta", "nav", "noscript", "object", "ol", "optgroup",
    "option", "p", "param", "picture", "pre", "q", "rp", "rt", "ruby", "s", "samp", "script", "section", "select", "small",
    "source", "span", "strike", "strong", "style", "sub", "summary", "sup", "svg", "table", "tbody", "td", "template",
    "textarea", "tfoot", "th", "thead", "time", "title", "tr", "tt", "u", "ul", "var", "video", "wbr",
];

/// Elements whose content nobody reads.
const UNSEEN: &[&str] = &["iframe", "script", "style", "svg", "template"];

/// Elements inside a line; all others begin a new one.
#[rustfmt::skip]
const INLINE: &[&str] = &[
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "button", "cite", "code", "del", "dfn", "em", "font", "i", "img", "ins",
    "input", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "select", "small", "span", "strike", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
];

/// Elements that have no end tag, so that one alone is a sign of HTML.
const VOID: &[&str] = &["br", "hr", "img", "input", "link", "meta", "wbr"];

/// Whether a text is HTML: it has a doctype, a comment, a closing tag of an element that was opened, an element without
/// content, or a character reference.
///
/// Generic types (`Vec<u8>`), comparisons, and e-mail addresses in angle brackets are none of these.
pub fn is_html(text: &str) -> bool {
    let mut open: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['<', '&']) {
        at += found;
        match piece(text, at) {
            Some((_, Piece::Comment | Piece::Character(_))) => return true,
            Some((_, Piece::Open(name))) if VOID.contains(&name.as_str()) => return true,
            Some((_, Piece::Close(name))) if open.contains(&name) => return true,
            Some((end, Piece::Open(name))) => {
                open.push(name);
                at = end;
            }
            _ => at += 1,
        }
    }
    false
}

/// What a page says: its text with tags, comments, scripts and styles left out and references replaced. White space runs
/// become one space, block elements a new line; `pre` keeps its lines.
pub fn text_of(html: &str) -> String {
    let mut out = Text::default();
    let mut at = 0;
    while at < html.len() {
        let next = html[at..].find(['<', '&']).map_or(html.len(), |found| at + found);
        out.text(&html[at..next]);
        at = next;
        match piece(html, at) {
            _ if at == html.len() => break,
            Some((end, Piece::Open(name))) if UNSEEN.contains(&name.as_str()) => {
                at = behind_element(html, end, &name)
            }
            Some((end, Piece::Open(name))) => {
                out.tag(&name, 1);
                at = end;
            }
            Some((end, Piece::Close(name))) => {
                out.tag(&name, -1);
                at = end;
            }
            Some((end, Piece::Comment)) => at = end,
            Some((end, Piece::Character(c))) => {
                out.character(c);
                at = end;
            }
            None => {
                out.text(&html[at..at + 1]);
                at += 1;
            }
        }
    }
    out.finish()
}

enum Piece {
    Open(String),
    Close(String),
    Comment,
    Character(char),
}

/// What begins at a `<` or `&`, and where it ends; `None` if the sign stands for itself.
fn piece(text: &str, at: usize) -> Option<(usize, Piece)> {
    let rest = &text[at..];
    if let Some(reference) = rest.strip_prefix('&') {
        let (length, c) = reference_at(reference)?;
        return Some((at + 1 + length, Piece::Character(c)));
    }
    let inside = rest.strip_prefix('<')?;
    let end = |length: usize| at + length;
    if rest.starts_with("<!--") {
        // `<!-->` and `<!--->` are whole; a comment without end goes to the end.
        let length = rest[2..].find("-->").map_or(rest.len(), |found| 2 + found + 3);
        return Some((end(length), Piece::Comment));
    }
    let is_prefix = |prefix: &str| rest.get(..prefix.len()).is_some_and(|r| r.eq_ignore_ascii_case(prefix));
    if is_prefix("<!doctype") || is_prefix("<?xml") {
        return Some((end(rest.find('>').map_or(rest.len(), |found| found + 1)), Piece::Comment));
    }
    let (is_close, name) = match inside.strip_prefix('/') {
        Some(name) => (true, name),
        None => (false, inside),
    };
    let length = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    let (name, behind) = name.split_at(length);
    let name = name.to_ascii_lowercase();
    ELEMENTS.binary_search(&name.as_str()).ok()?;
    let length = attributes_length(behind)?;
    let length = rest.len() - behind.len() + length;
    Some((end(length), if is_close { Piece::Close(name) } else { Piece::Open(name) }))
}

/// How far it is to behind the `>` that ends a tag: one inside quotes does not. `None` if what stands behind the name cannot
/// be attributes, or the tag has no end.
fn attributes_length(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if !(first.is_ascii_whitespace() || first == '/' || first == '>') {
        return None;
    }
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            // A quote opens a value only behind `=`.
            None if matches!(c, '"' | '\'') && before == '=' => quote = Some(c),
            None if c == '>' => return Some(at + 1),
            None if c == '<' => return None,
            None => {}
        }
        if !c.is_ascii_whitespace() {
            before = c;
        }
    }
    None
}

/// Length and character of a reference behind its `&`. Without its `;` only the oldest five are one.
fn reference_at(text: &str) -> Option<(usize, char)> {
    if let Some(number) = text.strip_prefix('#') {
        let (digits, radix, lead) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 2),
            None => (number, 10, 1),
        };
        let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let is_ended = digits[length..].starts_with(';');
        let code = u32::from_str_radix(&digits[..length], radix).ok().filter(|_| is_ended && length <= 8)?;
        return Some((lead + length + 1, numbered(code)));
    }
    let length = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    match text[length..].starts_with(';') {
        true => named(&text[..length]).map(|c| (length + 1, c)),
        false => matches!(&text[..length], "amp" | "lt" | "gt" | "quot" | "nbsp")
            .then(|| named(&text[..length]))
            .flatten()
            .map(|c| (length, c)),
    }
}

/// Where the content of an element that nobody sees is over: behind its end tag, or at the end.
fn behind_element(html: &str, from: usize, name: &str) -> usize {
    let mut at = from;
    while let Some(found) = html[at..].find("</") {
        at += found;
        let tail = &html[at + 2..];
        let is_it = tail.get(..name.len()).is_some_and(|tail| tail.eq_ignore_ascii_case(name));
        let ends =
            tail.get(name.len()..).is_some_and(|t| !t.starts_with(|c: char| c.is_ascii_alphanumeric()));
        if is_it && ends {
            return html[at..].find('>').map_or(html.len(), |end| at + end + 1);
        }
        at += 2;
    }
    html.len()
}

/// Text in the making.
#[derive(Default)]
struct Text {
    out: String,
    preformatted: i32,
    space: bool,
    line: bool,
}

impl Text {
    fn text(&mut self, text: &str) {
        text.chars().for_each(|c| match c {
            ' ' | '\t' | '\n' | '\r' | '\x0C' if self.preformatted <= 0 => self.space = true,
            _ => self.character(c),
        });
    }

    /// A character that is not white space between words, or was written as a reference.
    fn character(&mut self, c: char) {
        let is_start = self.out.is_empty() || self.out.ends_with('\n');
        if self.line && !is_start {
            self.out.push('\n');
        } else if self.space && !is_start {
            self.out.push(' ');
        }
        (self.line, self.space) = (false, false);
        self.out.push(c);
    }

    fn tag(&mut self, name: &str, change: i32) {
        match name {
            "pre" => {
                self.preformatted = (self.preformatted + change).max(0);
                self.line = true;
            }
            "td" | "th" => self.space = true,
            _ if INLINE.contains(&name) => {}
            _ => self.line = true,
        }
    }

    fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end().len());
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_comments_scripts_and_styles_go() {
        for (html, text) in [
            ("<p>one</p><p>two</p>", "one\ntwo"),
            ("a<br>b<br/>c<hr>d", "a\nb\nc\nd"),
            ("<b>bold</b>, <i class=x>slanted</i>", "bold, slanted"),
            ("a <!-- no > <b> --> b<!-->c<!--->d", "a bcd"),
            ("a<script>if (x < 1) { '</b>' }</script >b<STYLE>p > a {}</STYLE>c", "abc"),
            ("a<script>never ends", "a"),
            ("<a title=\"x > y\" href='z>'>link</a> behind", "link behind"),
            ("<a title=it's>link</a> > end", "link > end"),
            ("<!DOCTYPE html><html><head><title>T</title></head><body>B</body></html>", "T\nB"),
            ("<ul>\n  <li>one\n  <li>two\n</ul>\n", "one\ntwo"),
            ("<tr><td>1</td><td>2</td></tr>", "1 2"),
            ("<pre>  a\n   b</pre>c   d", "  a\n   b\nc d"),
            ("<p>中文<b>网页</b>。</p><div>第二行</div>", "中文网页。\n第二行"),
            ("<p>unclosed <b", "unclosed <b"),
        ] {
            assert_eq!(text_of(html), text, "{html}");
        }
    }

    #[test]
    fn references_become_characters_once() {
        for (html, text) in [
            (
                "Tom &amp; Jerry &lt;b&gt; &quot;x&quot; &#39;y&#39; &apos;z&apos;",
                "Tom & Jerry <b> \"x\" 'y' 'z'",
            ),
            ("&#x4e2d;&#25991; &eacute; &nbsp;| &hellip; &#147;", "中文 é \u{A0}| … “"),
            ("&amp;lt;", "&lt;"),
            ("AT&T, a&b; x&nope; &#xZZ; &# &", "AT&T, a&b; x&nope; &#xZZ; &# &"),
            ("a &amp b &lt5", "a & b &lt5"),
            ("&#0;&#xD800;&#99999999;", "\u{FFFD}\u{FFFD}\u{FFFD}"),
        ] {
            assert_eq!(text_of(html), text, "{html}");
        }
    }

    #[test]
    fn text_that_only_looks_like_html_is_none() {
        for text in [
            "if a <b && c> d { Vec<u8> } else { Option<i> }",
            "x < y > z; 3 <5; <3 ♥",
            "mail <ann@example.org> or <b@example.org>",
            "AT&T & Co. ?a=1&b=2",
            "a <unknown>tag</unknown>",
            "今天 <好> 天气 & 明天",
            "template<class T> struct i; std::map<a, b>",
            "</b> alone",
        ] {
            assert!(!is_html(text), "{text}");
        }
        for text in [
            "x<br>y",
            "<p>x</p>",
            "<P CLASS=a>x</P>",
            "a &amp; b",
            "&#20013;",
            "<!-- x -->",
            "<!doctype html>",
            "中<b>文</b>",
        ] {
            assert!(is_html(text), "{text}");
        }
    }

    #[test]
    fn the_lists_can_be_searched() {
        assert!(ELEMENTS.is_sorted());
        for list in [UNSEEN, INLINE, VOID] {
            assert!(list.iter().all(|name| ELEMENTS.binary_search(name).is_ok()));
        }
    }
}
