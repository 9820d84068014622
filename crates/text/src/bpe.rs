//! Training a byte-level BPE vocabulary as GPT-2's (Sennrich et al., 2016; Radford et al., 2019, section 2.2).
//!
//! The text is cut into words by GPT-2's regex, the most frequent pair of neighbouring tokens inside words becomes a
//! token, and so on until the vocabulary is full. Equal counts are settled by the smaller pair of ids, so the same
//! text gives the same vocabulary.

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::subword::{Subword, guarded};
use crate::{Error, Result};

/// Ids fit any tensor's index type with room to spare, and no vocabulary in use is a tenth of it.
pub(crate) const MAX_VOCAB: usize = 1 << 24;
/// Pieces of text handed to the library at once: small enough to be shared among threads.
const CHUNK_BYTES: usize = 1 << 16;

/// Learns a vocabulary of at most `vocab_size` tokens; fewer if the text has no more pairs to merge.
pub(crate) fn train(text: &str, vocab_size: usize) -> Result<Subword> {
    if !(256..=MAX_VOCAB).contains(&vocab_size) {
        return Err(Error::BpeSize { asked: vocab_size });
    }
    if text.is_empty() {
        return Err(Error::NothingToFit { kind: "bpe" });
    }
    // The library counts pairs in 32 bits with a sign.
    if i32::try_from(text.len()).is_err() {
        return Err(Error::BpeText { bytes: text.len() });
    }
    let bytes_as_words = ByteLevel::new(false, false, true);
    let mut tokenizer = tokenizers::Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(bytes_as_words)).with_decoder(Some(bytes_as_words));
    let mut trainer = TrainerWrapper::from(
        BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(crate::byte_level::BYTE_CHARS.into_iter().collect())
            .build(),
    );
    guarded(|| tokenizer.train(&mut trainer, word_safe_chunks(text, CHUNK_BYTES)).map(|_| ()))
        .and_then(|()| Subword::new(tokenizer))
        .map_err(|reason| Error::Tokenizer {
            name: format!("bpe:{vocab_size}"),
            action: "be trained",
            reason,
        })
}

/// Cuts the text, about every `size` bytes, at places where GPT-2's regex cuts it anyway and where neither side can
/// tell that the other is gone: before a newline that follows a character that is no white space.
pub(crate) fn word_safe_chunks(text: &str, size: usize) -> impl Iterator<Item = &str> + Send {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (chunk, tail) = rest.split_at(first_safe_cut(rest, size));
        rest = tail;
        Some(chunk)
    })
}

fn first_safe_cut(text: &str, at_least: usize) -> usize {
    let mut before_is_space = true;
    for (offset, character) in text.char_indices() {
        if character == '\n' && !before_is_space && offset >= at_least {
            return offset;
        }
        before_is_space = character.is_whitespace();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(subword: &Subword) -> Vec<String> {
        (0..subword.vocab_size() as u32).filter_map(|id| subword.token(id)).collect()
    }

    #[test]
    fn the_textbook_example_merges_aa_then_aaab() {
        // Gage (1994): aaabdaaabac; the most frequent pair is aa, then ab (aa on a tie of ids), then the two together.
        let trained = train("aaabdaaabac", 300).unwrap();
        assert_eq!(tokens(&trained)[256..], ["aa", "ab", "aaab"]);
        let ids = trained.encode("aaabdaaabac").unwrap();
        let a = u32::from(b'a' - b'!');
        assert_eq!(ids, [258, a + 3, 258, a, a + 2]);
    }

    #[test]
    fn words_are_those_of_gpt2_and_never_cross_a_space() {
        let trained = train(&"low lower lowest\n".repeat(9), 400).unwrap();
        let learned = tokens(&trained);
        assert!(
            learned.contains(&"Ġlow".to_string()) || learned.contains(&"Ġlower".to_string()),
            "{learned:?}"
        );
        assert!(learned[256..].iter().all(|token| !token.chars().skip(1).any(|c| c == 'Ġ')), "{learned:?}");
    }

    #[test]
    fn training_twice_gives_the_same_file() {
        let text = "the cat sat on the mat, 你好世界 你好, and the dog sat on the log 😀😀\n".repeat(40);
        let first = train(&text, 384).unwrap().to_json().unwrap();
        for _ in 0..4 {
            assert_eq!(train(&text, 384).unwrap().to_json().unwrap(), first);
        }
    }

    #[test]
    fn sizes_out_of_range_and_empty_text_are_errors() {
        assert!(matches!(train("abc", 255), Err(Error::BpeSize { asked: 255 })));
        assert!(matches!(train("abc", MAX_VOCAB + 1), Err(Error::BpeSize { .. })));
        assert!(matches!(train("", 256), Err(Error::NothingToFit { .. })));
        assert_eq!(train("abc", 256).unwrap().vocab_size(), 256);
    }

    proptest! {
        #[test]
        fn chunks_join_to_the_text(text in "[ab \\n\\t你]{0,200}", size in 0_usize..20) {
            let chunks: Vec<&str> = word_safe_chunks(&text, size).collect();
            prop_assert_eq!(chunks.concat(), text);
        }

        #[test]
        fn encoding_by_chunks_is_encoding_whole(text in "[ab' \\n\\r\\t你1]{0,200}", size in 0_usize..20) {
            let trained = train("a b ab \n\n\n  a\n b 你 '' 11 \t\t\r\n\r\n a b ab \n\n\n  a\n b 你 '' 11", 300).unwrap();
            let mut by_chunks = Vec::new();
            for chunk in word_safe_chunks(&text, size) {
                by_chunks.extend(trained.encode_whole(chunk).unwrap());
            }
            prop_assert_eq!(by_chunks, trained.encode_whole(&text).unwrap());
        }
    }
}
