//! Words of a text in any script.

/// The words of `text` in order: each character of a script that is written without spaces (Han, kana) by itself, and each
/// longest run of other letters, digits and combining marks. Whatever else there is separates words.
///
/// Scripts without spaces that are spelled (Thai, Khmer) come out as one word for each run.
///
/// ```
/// let words: Vec<&str> = warpsmith_metrics::tokens::words("GPT-2 会写诗。").collect();
/// assert_eq!(words, ["GPT", "2", "会", "写", "诗"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    spans(text).map(|(start, end)| &text[start..end])
}

/// Where the words of [`words`] lie: first byte, and one past the last.
pub fn spans(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (start, first) = text[at..].char_indices().find(|(_, c)| c.is_alphanumeric())?;
        let start = at + start;
        let behind = start + first.len_utf8();
        let length = match is_unspaced(first) {
            true => 0,
            false => text[behind..].find(|c| !continues_word(c)).unwrap_or(text.len() - behind),
        };
        at = behind + length;
        Some((start, at))
    })
}

/// As [`words`], in lower case.
pub fn lower_words(text: &str) -> Vec<String> {
    words(text).map(str::to_lowercase).collect()
}

/// Whether a character is a word by itself: Han (with 々 and 〇), hiragana or katakana.
pub fn is_unspaced(c: char) -> bool {
    is_han(c) || matches!(c, '\u{3041}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{FF66}'..='\u{FF9F}')
}

/// Whether a character is Han, by the blocks of Unicode 16.
pub fn is_han(c: char) -> bool {
    matches!(c,
        '\u{3005}' | '\u{3007}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{2FA1F}' | '\u{30000}'..='\u{323AF}')
}

fn continues_word(c: char) -> bool {
    (c.is_alphanumeric() && !is_unspaced(c)) || matches!(c, '\u{300}'..='\u{36F}' | '\u{20D0}'..='\u{20FF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn each_script_has_its_words() {
        assert_eq!(split("It's  3.5 km—really!"), ["It", "s", "3", "5", "km", "really"]);
        assert_eq!(split("我爱Rust编程"), ["我", "爱", "Rust", "编", "程"]);
        assert_eq!(split("東京タワーへ"), ["東", "京", "タ", "ワ", "ー", "へ"]);
        assert_eq!(split("Привет, мир 안녕 세상"), ["Привет", "мир", "안녕", "세상"]);
        // e and a combining acute accent are one word with what stands around them.
        assert_eq!(split("cafe\u{301}s"), ["cafe\u{301}s"]);
        assert_eq!(split("𠀀𠀁"), ["𠀀", "𠀁"]);
        assert_eq!(split(" \u{301}… \n"), Vec::<&str>::new());
        assert_eq!(split(""), Vec::<&str>::new());
    }
}
