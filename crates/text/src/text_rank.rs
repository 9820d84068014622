//! TextRank: which sentences of a text the others have most in common with.
//!
//! Sentences are the vertices of a graph. Two of them are tied by the words that both have, over the logarithms of their lengths,
//! w = |Sᵢ ∩ Sⱼ| / (ln |Sᵢ| + ln |Sⱼ|), and the rank of each is the sum of what the others pass on,
//! r(i) = 1 − d + d · Σⱼ wⱼᵢ / Σₖ wⱼₖ · r(j), with d = 0.85.
//!
//! Source: Mihalcea and Tarau, *TextRank: Bringing Order into Texts*, EMNLP 2004, §2.2 and §4.

use std::collections::HashSet;
use std::hash::Hash;

/// d: what a sentence passes on.
const DAMPING: f64 = 0.85;
/// Ranks that change by less are settled.
const SETTLED: f64 = 1e-9;
/// Changes shrink by d at each step, so that this many are enough.
const STEPS: usize = 200;

/// The sentences of a text, trimmed: they end behind `.`, `!` or `?` before white space, behind `。`, `！`, `？` or `…`, each with the
/// quotes and brackets that close there, and at an empty line. Abbreviations are not known: "e.g. this" is cut in two.
///
/// ```
/// let text = "Is it 3.5 km? “Yes.” He left\nat once.\n\nA title\n\n他说：“好。”然后走了。";
/// let found = warpsmith_text::sentences(text);
/// assert_eq!(found, ["Is it 3.5 km?", "“Yes.”", "He left\nat once.", "A title", "他说：“好。”", "然后走了。"]);
/// ```
pub fn sentences(text: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let is_empty_line =
            c == '\n' && text[at + 1..].trim_start_matches([' ', '\t', '\r']).starts_with('\n');
        let is_wide = matches!(c, '。' | '！' | '？' | '…');
        if !(is_empty_line || is_wide || matches!(c, '.' | '!' | '?')) {
            continue;
        }
        while rest.next_if(|(_, c)| closes(*c)).is_some() {}
        let end = rest.peek().map_or(text.len(), |(end, _)| *end);
        if is_empty_line || is_wide || text[end..].chars().next().is_none_or(char::is_whitespace) {
            found.push(text[start..end].trim());
            start = end;
        }
    }
    found.push(text[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// Marks that belong to the sentence before them, and more of those that end it.
fn closes(c: char) -> bool {
    matches!(
        c,
        '.' | '!'
            | '?'
            | '。'
            | '！'
            | '？'
            | '…'
            | '"'
            | '\''
            | ')'
            | ']'
            | '”'
            | '’'
            | '」'
            | '』'
            | '）'
            | '》'
    )
}

/// The rank of each sentence, given as its words; the mean of all is 1 unless a sentence shares no word with another. Sentences of
/// one word, whose length has the logarithm 0, are not tied to each other.
pub fn text_rank<T: Eq + Hash>(sentences: &[Vec<T>]) -> Vec<f64> {
    let sets: Vec<HashSet<&T>> = sentences.iter().map(|words| words.iter().collect()).collect();
    let tie = |i: usize, j: usize| {
        let lengths = (sentences[i].len().max(1) as f64).ln() + (sentences[j].len().max(1) as f64).ln();
        if i == j || lengths == 0.0 { 0.0 } else { sets[i].intersection(&sets[j]).count() as f64 / lengths }
    };
    let count = sentences.len();
    let ties: Vec<Vec<f64>> = (0..count).map(|i| (0..count).map(|j| tie(i, j)).collect()).collect();
    let sums: Vec<f64> = ties.iter().map(|row| row.iter().sum()).collect();
    let mut ranks = vec![1.0; count];
    for _ in 0..STEPS {
        let passed = |i: usize| {
            (0..count).filter(|&j| sums[j] > 0.0).map(|j| ties[j][i] / sums[j] * ranks[j]).sum::<f64>()
        };
        let next: Vec<f64> = (0..count).map(|i| 1.0 - DAMPING + DAMPING * passed(i)).collect();
        let change = next.iter().zip(&ranks).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        ranks = next;
        if change < SETTLED {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(texts: &[&str]) -> Vec<f64> {
        text_rank(&texts.iter().map(|text| text.split(' ').collect()).collect::<Vec<_>>())
    }

    #[track_caller]
    fn assert_near(got: &[f64], want: &[f64]) {
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-7), "{got:?}, not {want:?}");
    }

    #[test]
    fn three_sentences_in_a_row_have_the_ranks_of_the_equations() {
        // A and B share two words, B and C one, and all have three: A passes all on to B, and B two thirds back. So
        // B = 0.15 + 0.85·(A + C) = 0.15 + 0.85·(0.3 + 0.85·B), A = 0.15 + 0.85·2/3·B, C = 0.15 + 0.85·1/3·B.
        let b = 0.405 / 0.2775;
        let want = [0.15 + 0.85 * 2.0 / 3.0 * b, b, 0.15 + 0.85 / 3.0 * b];
        assert_near(&ranks(&["a b c", "a b d", "d e f"]), &want);
        // The longer a sentence, the less a shared word is worth: B now leans to A by 1/(2·ln 3) against 1/(ln 3 + ln 9).
        let (short, long) = (1.0 / (2.0 * 3f64.ln()), 1.0 / (3.0 * 3f64.ln()));
        let want = [0.15 + 0.85 * short / (short + long) * b, b, 0.15 + 0.85 * long / (short + long) * b];
        assert_near(&ranks(&["a x y", "a b c", "c d e f g h i j k"]), &want);
    }

    #[test]
    fn what_has_nothing_in_common_has_the_least_rank() {
        assert_near(&ranks(&["a b", "a c", "z y"]), &[1.0, 1.0, 0.15]);
        assert_near(&ranks(&["a", "a"]), &[0.15, 0.15]);
        assert!(text_rank::<&str>(&[]).is_empty());
        assert_near(&text_rank::<&str>(&[vec![], vec!["a", "b"]]), &[0.15, 0.15]);
    }
}
