//! BLEU and ROUGE.

use serde_json::Value;
use warpsmith_metrics::bleu::{Bleu, Smoothing, Tokenizer};
use warpsmith_metrics::rouge::{self, Words, rouge};

use crate::{assert_near, golden, number, numbers};

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn every_pair_has_the_scores_of_sacrebleu_and_rouge_score() {
    let pairs = golden("pairs");
    assert_eq!(pairs.len(), 500);
    for pair in pairs {
        let pair = pair.as_array().expect("a row");
        let (hypothesis, reference) = (text(&pair[0]), text(&pair[1]));
        let mut got: Vec<f64> = [Tokenizer::Mteval13a, Tokenizer::Zh]
            .map(|tokenizer| Bleu { tokenizer, effective_order: true, ..Bleu::default() })
            .map(|bleu| bleu.sentence(hypothesis, &[reference]).score)
            .to_vec();
        for words in [Words::English, Words::Unicode] {
            let found = rouge(hypothesis, reference, words);
            got.extend([found.one, found.two, found.l].iter().flat_map(|s| [s.precision, s.f1]));
        }
        let mut want: Vec<f64> = pair[2..].iter().map(number).collect();
        if want.len() == 8 {
            want.extend_from_within(2..);
        }
        assert_near(&got, &want, &format!("{hypothesis:?} for {reference:?}"));
    }
}

#[test]
fn recall_is_precision_with_the_texts_exchanged() {
    for pair in golden("pairs") {
        let there = rouge(text(&pair[0]), text(&pair[1]), Words::Unicode);
        let back = rouge(text(&pair[1]), text(&pair[0]), Words::Unicode);
        let swapped = |s: rouge::Score| rouge::Score { precision: s.recall, recall: s.precision, ..s };
        assert_eq!([back.one, back.two, back.l], [there.one, there.two, there.l].map(swapped), "{pair}");
    }
}

/// The BLEU that keyword arguments of sacrebleu ask for.
fn bleu(option: &Value) -> Bleu {
    let tokenizer = option["tokenize"].as_str().unwrap_or("13a");
    let value = option["smooth_value"].as_f64();
    Bleu {
        tokenizer: Tokenizer::ALL.into_iter().find(|t| t.name() == tokenizer).expect("a tokenizer of ours"),
        smoothing: match option["smooth_method"].as_str() {
            Some("none") => Smoothing::None,
            Some("floor") => Smoothing::Floor(value.unwrap_or(0.1)),
            Some("add-k") => Smoothing::AddK(value.unwrap_or(1.0)),
            _ => Smoothing::Exp,
        },
        lowercase: option["lowercase"] == true,
        effective_order: option["effective_order"] == true,
    }
}

#[test]
fn corpora_have_the_scores_and_signatures_of_sacrebleu() {
    let pairs = golden("pairs");
    let cases = golden("corpora");
    assert_eq!(cases.len(), 140);
    for case in cases {
        let span: Vec<usize> = crate::ids(&case["span"]);
        let part: Vec<&Value> = pairs[span[0]..span[1]].iter().step_by(span[2]).collect();
        let hypotheses: Vec<&str> = part.iter().map(|pair| text(&pair[0])).collect();
        let mut references = vec![part.iter().map(|pair| text(&pair[1])).collect::<Vec<_>>()];
        if case["references"] == 2 {
            let mut other = references[0].clone();
            other.rotate_left(1);
            references.push(other);
        }
        let bleu = bleu(&case["option"]);
        let found = bleu.corpus(&hypotheses, &references).expect("as many references");
        let what = format!("{} {}", case["span"], case["option"]);
        assert_near(
            &[found.score, found.brevity_penalty],
            &[number(&case["score"]), number(&case["bp"])],
            &what,
        );
        assert_near(&found.precisions, &numbers(&case["precisions"]), &what);
        assert_eq!(bleu.signature(references.len()), text(&case["signature"]), "{what}");
    }
}
