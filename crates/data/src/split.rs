//! Documents to train on, to choose by, and to judge by: none in two of them.

use std::collections::BTreeMap;

use warpsmith_text::{Draws, mix};

use crate::read::Document;
use crate::{Error, Result};

/// Names of the parts, in order.
pub const PARTS: [&str; 3] = ["train", "val", "test"];

/// Shares of the parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares(pub [f64; 3]);

impl Default for Shares {
    fn default() -> Self {
        Self([0.9, 0.1, 0.0])
    }
}

impl Shares {
    /// Reads `0.8,0.1,0.1`, or two shares, the third being 0.
    ///
    /// # Errors
    /// Unless they are two or three, not negative, the first more than 0, and add up to 1.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}`: give the shares of train, val and test, which add up to 1: 0.8,0.1,0.1");
        let given: Vec<f64> =
            text.split(',').map(|s| s.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        let shares = match given[..] {
            [train, val] => [train, val, 0.0],
            [train, val, test] => [train, val, test],
            _ => return Err(wrong()),
        };
        let is_split = shares.iter().all(|&share| share >= 0.0) && shares[0] > 0.0;
        let adds_up = (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9;
        if is_split && adds_up { Ok(Self(shares)) } else { Err(wrong()) }
    }
}

/// Documents of the same text, in an order that the seed decides.
type Groups<'t> = BTreeMap<(u64, &'t str), Vec<usize>>;

/// The part of each document, an index into [`PARTS`]: of each class as near to its share as whole documents allow.
///
/// Documents of the same text and class go together. Who goes where depends on the seed and the texts, not on their order.
///
/// # Errors
/// If a part with a share gets no document, or the same text has two classes.
pub fn stratified(documents: &[Document], shares: Shares, seed: u64) -> Result<Vec<usize>> {
    let mut classes: BTreeMap<Option<&str>, Groups> = BTreeMap::new();
    let draws = Draws::new(seed);
    for (text, group) in same_texts(documents)? {
        let class = classes.entry(documents[group[0]].label.as_deref()).or_default();
        class.insert((draws.at(hash(text)), text), group);
    }
    let mut parts = vec![0; documents.len()];
    for groups in classes.values() {
        let total: usize = groups.values().map(Vec::len).sum();
        let ends = ends(total, shares);
        let mut before = 0;
        for group in groups.values() {
            let part = ends.iter().position(|&end| before < end).unwrap_or(0);
            group.iter().for_each(|&index| parts[index] = part);
            before += group.len();
        }
    }
    check(&parts, documents.len(), shares)?;
    Ok(parts)
}

/// The numbers of the documents of each text.
///
/// # Errors
/// If the same text has two classes.
pub fn same_texts(documents: &[Document]) -> Result<BTreeMap<&str, Vec<usize>>> {
    let mut same: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, document) in documents.iter().enumerate() {
        let group = same.entry(&document.text).or_default();
        if let Some(&first) = group.first()
            && documents[first].label != document.label
        {
            return Err(two_classes(&documents[first], document));
        }
        group.push(index);
    }
    Ok(same)
}

/// Where each part of `total` documents ends: by largest remainder, so that the counts add up. The first of several equal
/// remainders goes first.
fn ends(total: usize, shares: Shares) -> [usize; 3] {
    // Shares such as 0.1 are not exact in binary: 30 · 0.1 must be 3.
    let exact = shares.0.map(|share| (total as f64 * share * 1e9).round() / 1e9);
    let mut counts = exact.map(|count| count.floor() as usize);
    while counts.iter().sum::<usize>() < total {
        let lag = |i: usize| exact[i] - counts[i] as f64;
        let most = (0..3).rev().max_by(|&a, &b| lag(a).total_cmp(&lag(b))).unwrap_or(0);
        counts[most] += 1;
    }
    [counts[0], counts[0] + counts[1], total]
}

fn check(parts: &[usize], documents: usize, shares: Shares) -> Result<()> {
    let lacks = |part: usize| shares.0[part] > 0.0 && !parts.contains(&part);
    match (0..3).find(|&part| lacks(part)) {
        None => Ok(()),
        Some(part) => Err(Error::Request(format!(
            "{documents} documents leave none for {}, whose share is {}: give more documents, smaller units (--unit paragraph \
             or line), or other shares (--split)",
            PARTS[part], shares.0[part]
        ))),
    }
}

fn two_classes(a: &Document, b: &Document) -> Error {
    let name = |document: &Document| document.label.clone().unwrap_or_default();
    let start: String = a.text.chars().take(40).collect();
    Error::Request(format!(
        "the text `{start}` has two classes, {} (line {}) and {} (line {}): a document cannot be in two splits, so decide on one",
        name(a),
        a.line,
        name(b),
        b.line
    ))
}

fn hash(text: &str) -> u64 {
    let words = text.as_bytes().chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    words.fold(mix(text.len() as u64), |hash, word| mix(hash ^ word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(count: usize, label: impl Fn(usize) -> Option<&'static str>) -> Vec<Document> {
        let label = |i| label(i).map(str::to_string);
        (0..count)
            .map(|i| Document { text: format!("文本 {i}"), label: label(i), file: 0, line: 1 })
            .collect()
    }

    fn counts(documents: &[Document], parts: &[usize], label: Option<&str>) -> [usize; 3] {
        let mut counts = [0; 3];
        let of_label = documents.iter().zip(parts).filter(|(document, _)| document.label.as_deref() == label);
        of_label.for_each(|(_, &part)| counts[part] += 1);
        counts
    }

    #[test]
    fn each_class_has_its_shares() {
        let all = documents(130, |i| Some(if i % 13 == 0 { "rare" } else { "frequent" }));
        let parts = stratified(&all, Shares([0.8, 0.1, 0.1]), 7).unwrap();
        assert_eq!(counts(&all, &parts, Some("rare")), [8, 1, 1]);
        assert_eq!(counts(&all, &parts, Some("frequent")), [96, 12, 12]);
    }

    #[test]
    fn the_split_depends_on_seed_and_text_and_not_on_the_order() {
        let all = documents(100, |_| None);
        let split = |all: &[Document], seed| stratified(all, Shares::default(), seed).unwrap();
        let mut reversed = all.clone();
        reversed.reverse();
        let mut back = split(&reversed, 1);
        back.reverse();
        assert_eq!(split(&all, 1), back);
        assert_ne!(split(&all, 1), split(&all, 2));
    }

    #[test]
    fn the_same_text_is_in_one_part() {
        let mut all = documents(50, |_| None);
        all.extend(all.clone());
        let parts = stratified(&all, Shares([0.5, 0.3, 0.2]), 3).unwrap();
        assert_eq!(parts[..50], parts[50..]);
        assert_eq!(counts(&all, &parts, None), [50, 30, 20]);
    }

    #[test]
    fn remainders_go_to_the_parts_that_lag_most() {
        assert_eq!(ends(30, Shares([0.8, 0.1, 0.1])), [24, 27, 30]);
        assert_eq!(ends(7, Shares([0.5, 0.25, 0.25])), [3, 5, 7]);
        assert_eq!(ends(1, Shares::default()), [1, 1, 1]);
        assert_eq!(ends(0, Shares::default()), [0, 0, 0]);
    }

    #[test]
    fn what_cannot_be_split_says_why() {
        let why = |all: &[Document]| stratified(all, Shares([0.8, 0.1, 0.1]), 0).unwrap_err().to_string();
        assert!(
            why(&documents(1, |_| None)).starts_with("1 documents leave none for val, whose share is 0.1")
        );
        let mut all = documents(20, |_| Some("a"));
        all.push(Document { label: Some("b".into()), line: 9, ..all[3].clone() });
        assert!(why(&all).contains("has two classes, a (line 1) and b (line 9)"));
        for text in ["1", "0.5,0.6", "-0.1,1.1", "0,1", "a,b", "0.2,0.2,0.2,0.4"] {
            assert!(Shares::parse(text).is_err(), "{text}");
        }
        assert_eq!(Shares::parse("0.9, 0.1").unwrap(), Shares::default());
    }
}
