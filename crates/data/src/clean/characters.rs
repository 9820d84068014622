//! Characters that nobody sees, and white space.

use warpsmith_metrics::tokens::is_unspaced;

/// Leaves out control characters, invisible characters and noncharacters.
///
/// Kept: tabs and newlines, variation selectors, and joiners where a script or an emoji needs them, which is behind whatever
/// is neither ASCII nor Han nor kana nor white space.
pub fn without_invisible(text: &str) -> String {
    let mut before = ' ';
    let visible = |&c: &char| {
        let keeps = match c {
            '\u{200C}' | '\u{200D}' => !before.is_ascii() && !is_unspaced(before) && !before.is_whitespace(),
            // A flag of a part of a country is spelled in these.
            '\u{E0020}'..='\u{E007F}' => matches!(before, '\u{1F3F4}' | '\u{E0020}'..='\u{E007F}'),
            _ => !is_invisible(c),
        };
        if keeps {
            before = c;
        }
        keeps
    };
    text.chars().filter(visible).collect()
}

fn is_invisible(c: char) -> bool {
    let is_control = c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0B' | '\x0C' | '\u{85}');
    let is_noncharacter = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE;
    is_control
        || is_noncharacter
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180E}'
            | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0001}')
}

/// Ends of lines become `\n`, other spaces than the ideographic one become plain spaces, lines lose the white space at their
/// ends, more than one blank line becomes one, and none is left around the text. Indentation stays.
pub fn tidy_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    let text = text.replace("\r\n", "\n");
    for line in text.split(['\n', '\r', '\x0B', '\x0C', '\u{85}', '\u{2028}', '\u{2029}']) {
        let line = line.trim_end();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        blank = 0;
        out.extend(line.chars().map(|c| if is_odd_space(c) { ' ' } else { c }));
    }
    out
}

fn is_odd_space(c: char) -> bool {
    matches!(c, '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_nobody_sees_goes_and_what_letters_need_stays() {
        let text = "\u{FEFF}a\u{200B}b\u{AD}c\0\x1Bd\u{202E}e\u{9C}f\u{FFFE}\tg\n";
        assert_eq!(without_invisible(text), "abcdef\tg\n");
        assert_eq!(without_invisible("中\u{200B}\u{200D}文\u{2060}"), "中文");
        for kept in [
            "👨\u{200D}👩\u{200D}👧",
            "می\u{200C}خواهم",
            "क\u{94D}\u{200D}ष",
            "❤\u{FE0F}",
            "🏴\u{E0067}\u{E0062}\u{E007F}",
        ] {
            assert_eq!(without_invisible(kept), kept);
        }
        assert_eq!(without_invisible("a\u{E0067}"), "a");
    }

    #[test]
    fn white_space_is_tidy_and_indentation_stays() {
        assert_eq!(tidy_space("\r\n\n  a \t\r\nb\u{A0}c\n\n\n\n　　中文　\n \n"), "  a\nb c\n\n　　中文");
        assert_eq!(tidy_space("a\u{2028}b\rc\x0Bd"), "a\nb\nc\nd");
        assert_eq!(tidy_space(" \n "), "");
    }

    proptest! {
        #[test]
        fn twice_is_once(text in "[ \\t\\r\\n\u{A0}\u{3000}a中\u{200B}\u{200D}é\u{AD}👨\u{2028}]{0,40}") {
            let once = tidy_space(&without_invisible(&text));
            prop_assert_eq!(tidy_space(&without_invisible(&once)), once);
        }
    }
}
