//! An LSTM encoder and decoder translates: digits turned round and put in order, or the pairs of a file.
//!
//! `cargo run --release --example translate [STEPS | PAIRS.tsv [EPOCHS [MAP.html]]]`
//!
//! Each line of the file: a text, a tab, its translation; what stands behind another tab is not read. Chinese is cut into
//! characters, all else into words.
//!
//! What printed versions of this program often get wrong:
//! - sources of a batch are padded, and the encoder's last state is taken behind the padding, or attention looks at it;
//! - the padding of targets is scored, so that the loss is mostly about empty places;
//! - accuracy is measured while the decoder is given the truth: one wrong token then spoils nothing behind it. Here it reads what
//!   it wrote itself;
//! - lines are kept back at random. A collection of pairs has many texts twice, with two translations: then the half of what is
//!   asked was learned. Here texts are kept back with all their translations;
//! - BLEU without a word on how Chinese was cut into words: by characters or not at all differs by a factor. Hence the signature.

mod digits;
mod map;
#[path = "../fixtures/pairs.rs"]
mod pair_file;
mod pairs;
#[path = "../fixtures/sequences.rs"]
mod sequences;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => digits::run(200),
        [first, ..] => match first.parse() {
            Ok(steps) => digits::run(steps),
            Err(_) => pairs::run(first, &arguments[1..]),
        },
    }
}
