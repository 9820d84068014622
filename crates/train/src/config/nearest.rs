//! The known key that is spelled most like an unknown one.

use super::{IGNORED, TrainConfig};

/// The nearest known key, or `None` if all are so far away that naming one would mislead.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let known = TrainConfig::fields().iter().map(|field| field.name);
    let ignored = IGNORED.iter().map(|&(name, _)| name);
    let limit = 2.max(key.chars().count() / 3);
    let (far, name) = known.chain(ignored).map(|name| (edit_distance(key, name), name)).min()?;
    // A name that shares no character with the key is no likeness.
    (far <= limit && far < key.chars().count()).then_some(name)
}

/// Levenshtein distance: insertions, deletions and replacements of characters that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_counted_by_hand() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("lr", "rl", 2),
            ("größe", "grösse", 2),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("n_layers"), Some("n_layer"));
        assert_eq!(nearest("learningrate"), Some("learning_rate"));
        assert_eq!(nearest("bloc_size"), Some("block_size"));
        assert_eq!(nearest("max_iter"), Some("max_iters"));
        assert_eq!(nearest("complie"), Some("compile"));
        assert_eq!(nearest("quantum_flux"), None);
        assert_eq!([nearest(""), nearest("xy"), nearest("l3")], [None, None, Some("l1")]);
    }
}
