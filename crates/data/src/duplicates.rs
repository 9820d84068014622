//! Documents that are there twice, or nearly so.
//!
//! Near duplicates are found by MinHash with banding (Broder, "On the resemblance and containment of documents", 1997;
//! Leskovec et al., "Mining of massive datasets", chapter 3), which only proposes pairs. Whether a pair is one is decided by
//! the Jaccard index of the two sets of shingles themselves, so that nothing is removed by chance.

mod minhash;

use std::collections::{HashMap, HashSet};

use minhash::Signature;
use warpsmith_metrics::tokens::words;
use warpsmith_text::mix;

/// Words in a shingle.
const SHINGLE: usize = 5;

/// Which documents to keep: `true` for the first of each text.
pub fn first_of_each(texts: &[&str]) -> Vec<bool> {
    let mut seen = HashSet::with_capacity(texts.len());
    texts.iter().map(|text| seen.insert(*text)).collect()
}

/// A document, and the earlier one that it resembles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Index of the document.
    pub document: usize,
    /// Index of the earlier one.
    pub of: usize,
    /// Jaccard index of their shingles.
    pub jaccard: f64,
}

/// Documents that resemble an earlier one, which is kept, with a Jaccard index of at least `threshold`, in order.
///
/// Shingles are runs of five words, lower-cased; a Han character or kana is a word. A document of fewer words is one shingle,
/// so that short texts are near duplicates only if they differ in case and punctuation alone; one without any word resembles
/// nothing. Of pairs with an index of 0.9 three in ten million are missed, of 0.8 two in a thousand.
///
/// Memory: the shingles of what is kept, 8 bytes a word.
pub fn near(texts: &[&str], threshold: f64) -> Vec<Near> {
    let mut found = Vec::new();
    let mut kept: HashMap<usize, Vec<u64>> = HashMap::new();
    let mut buckets: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
    for (document, text) in texts.iter().enumerate() {
        let shingles = shingles(text);
        if shingles.is_empty() {
            continue;
        }
        let bands = Signature::of(&shingles).bands();
        let candidates = bands.iter().enumerate().filter_map(|(band, &hash)| buckets.get(&(band, hash)));
        let mut candidates: Vec<usize> = candidates.flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let of = candidates.into_iter().find_map(|of| {
            let jaccard = jaccard(&shingles, kept.get(&of)?);
            (jaccard >= threshold).then_some(Near { document, of, jaccard })
        });
        match of {
            Some(near) => found.push(near),
            None => {
                for (band, &hash) in bands.iter().enumerate() {
                    buckets.entry((band, hash)).or_default().push(document);
                }
                kept.insert(document, shingles);
            }
        }
    }
    found
}

/// Hashes of the shingles of a text, sorted, each once.
fn shingles(text: &str) -> Vec<u64> {
    let words: Vec<u64> = words(text).map(word_hash).collect();
    let width = SHINGLE.min(words.len()).max(1);
    let mut shingles: Vec<u64> =
        words.windows(width).map(|run| run.iter().fold(0, |hash, &word| mix(hash ^ word))).collect();
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

/// FNV-1a of a word in lower case.
fn word_hash(word: &str) -> u64 {
    let bytes = |c: char| {
        let mut buffer = [0; 4];
        let length = c.encode_utf8(&mut buffer).len();
        buffer.into_iter().take(length)
    };
    let lower = word.chars().flat_map(char::to_lowercase).flat_map(bytes);
    lower.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// |A ∩ B| / |A ∪ B| of sorted sets.
fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0_usize);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    common as f64 / (a.len() + b.len() - common) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_text::Draws;

    /// A text of `count` words that no other seed has.
    fn text(seed: u64, count: u64) -> Vec<String> {
        (0..count).map(|i| format!("w{}", Draws::new(seed).at(i) % 100_000)).collect()
    }

    #[test]
    fn exact_duplicates_keep_the_first() {
        assert_eq!(first_of_each(&["一", "b", "一", "", "b", ""]), [true, true, false, true, false, false]);
    }

    #[test]
    fn one_changed_word_of_two_hundred_is_a_near_duplicate_and_of_twenty_is_not() {
        let (long, short) = (text(1, 200), text(2, 20));
        let (mut long_changed, mut short_changed) = (long.clone(), short.clone());
        long_changed[100] = "changed".into();
        short_changed[10] = "changed".into();
        let texts = [long, short, long_changed, short_changed].map(|words| words.join(" "));
        let found = near(&texts.each_ref().map(String::as_str), 0.9);
        // Five of 196 shingles differ on each side.
        assert_eq!(found, [Near { document: 2, of: 0, jaccard: 191.0 / 201.0 }]);
    }

    #[test]
    fn the_threshold_is_the_exact_index() {
        let first = text(3, 104);
        let mut second = first.clone();
        // 100 shingles, of which 5 differ: 95 / 105.
        second[50] = "x".into();
        let texts = [first.join(" "), second.join(", ")];
        let texts = texts.each_ref().map(String::as_str);
        assert_eq!(near(&texts, 95.0 / 105.0).len(), 1);
        assert_eq!(near(&texts, 95.0 / 105.0 + 1e-9), []);
    }

    #[test]
    fn chinese_is_compared_by_characters() {
        let verse = "秦川雄帝宅函谷壯皇居綺殿千尋起離宮百雉餘連甍遙接漢飛觀迥凌虛雲日隱層闕風煙出綺疎巖廊罷機務崇文聊駐輦\
                     玉匣啓龍圖金繩披鳳篆韋編斷仍續縹帙舒還卷對此乃淹留欹案觀墳典移步出詞林停輿欣武宴琱弓寫明月駿馬疑流電";
        let pointed: String = verse
            .chars()
            .enumerate()
            .flat_map(|(i, c)| if i % 5 == 4 { vec![c, '，'] } else { vec![c] })
            .collect();
        let changed = verse.replacen('月', "日", 1);
        let found = near(&[verse, &pointed, "移步出詞林停輿欣武宴", &changed], 0.9);
        assert_eq!(found.iter().map(|near| (near.document, near.of)).collect::<Vec<_>>(), [(1, 0), (3, 0)]);
        assert_eq!(found[0].jaccard, 1.0);
    }

    #[test]
    fn a_copy_of_a_copy_is_judged_by_what_is_kept() {
        let words = text(4, 64);
        let mut copies = vec![words.join(" ")];
        let mut changed = words;
        for at in [10, 30, 50] {
            changed[at] = format!("c{at}");
            copies.push(changed.join(" "));
        }
        let texts: Vec<&str> = copies.iter().map(String::as_str).collect();
        // 60 shingles: 55/65 < 0.9 from each to the next, so nothing goes; at 0.8 the second goes, and the third resembles
        // only it.
        assert_eq!(near(&texts, 0.9), []);
        let documents: Vec<usize> = near(&texts, 0.8).iter().map(|near| near.document).collect();
        assert_eq!(documents, [1, 3]);
    }

    #[test]
    fn texts_without_words_resemble_nothing() {
        assert_eq!(near(&["…", "—", "", ""], 0.9), []);
        assert_eq!(near(&["Hi!", "hi", "HI?"], 0.9).len(), 2);
    }
}
