//! `generate`: what its flags ask for, and what it says of a text.

use serde_json::Value;
use warpsmith::generate::write;
use warpsmith::model::{BeamSearch, Decoder, LlamaKind, Penalties};
use warpsmith::prelude::*;

use super::families::folder;
use super::{Place, refused, stderr, succeeded};
use crate::Checked;

/// The texts that the command tells of as JSON.
fn told(place: &Place, flags: &[&str]) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let words = ["generate", "--model", "llama", "--prompt", "line", "--device", "cpu", "--json"];
    let lines = succeeded(&place.run(&[&words[..], flags].concat()));
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn tokens(text: &Value) -> Vec<u32> {
    let tokens = text["tokens"].as_array().into_iter().flatten();
    tokens.filter_map(|id| id.as_u64()).map(|id| id as u32).collect()
}

#[test]
fn beams_are_those_of_the_library() -> Checked {
    let place = Place::new();
    let model = folder(&place, LlamaKind::Llama)?;
    let flags = ["--num_beams", "3", "--num_return_sequences", "2", "--max_new_tokens", "6"];
    let more = ["--length_penalty", "-0.5", "--early_stopping", "never", "--no_repeat_ngram_size", "2"];
    let told = told(&place, &[&flags[..], &more].concat())?;
    let how = BeamSearch {
        num_beams: 3,
        max_new_tokens: 6,
        length_penalty: -0.5,
        early_stopping: warpsmith::model::EarlyStopping::Never,
        num_return_sequences: 2,
        penalties: Penalties { no_repeat_ngram_size: 2, ..Penalties::default() },
    };
    let found = how.run(&model, &[108, 105, 110, 101], &[])?;
    assert_eq!(told.len(), 2);
    for (told, found) in told.iter().zip(&found) {
        assert_eq!(tokens(told), found.tokens);
        assert_eq!(told["score"].as_f64().map(|score| score as f32), Some(found.score));
        assert_eq!(told["text"], Tokenizer::byte_level().decode(&found.tokens)?);
        assert_eq!((&told["finish_reason"], &told["prompt"]), (&"length".into(), &"line".into()));
    }
    Ok(())
}

#[test]
fn a_text_ends_before_its_stop_string() -> Checked {
    let place = Place::new();
    let model = folder(&place, LlamaKind::Llama)?;
    let penalties = Penalties { repetition_penalty: 1.3, presence_penalty: 0.2, ..Penalties::default() };
    let sampling = Sampling { penalties, typical_p: 0.9, ..Sampling::default() }.max_new_tokens(30);
    let (tokenizer, mut whole) = (Tokenizer::byte_level(), String::new());
    let prompt = tokenizer.encode("line")?;
    let written = write(Decoder::new(&model, &prompt, &sampling, &[])?, &tokenizer, &prompt, &mut |piece| {
        whole.push_str(piece);
        true
    })?;
    let flags = ["--repetition_penalty", "1.3", "--presence_penalty", "0.2", "--typical_p", "0.9"];
    let flags = [&flags[..], &["--max_new_tokens", "30"]].concat();
    let all = told(&place, &flags)?;
    assert_eq!((&all[0]["text"], tokens(&all[0])), (&whole.as_str().into(), written.tokens));
    assert_eq!((&all[0]["finish_reason"], &all[0]["seed"]), (&"length".into(), &1337.into()));
    let stop: String = whole.chars().skip(9).take(2).collect();
    let place_of_stop = whole.find(&stop).ok_or("the text has its own characters")?;
    let cut = told(&place, &[&flags[..], &["--stop", "never in it", "--stop", &stop]].concat())?;
    assert_eq!(cut[0]["text"], whole[..place_of_stop]);
    assert_eq!(cut[0]["finish_reason"], "stop");
    Ok(())
}

#[test]
fn the_steps_are_told_and_what_contradicts_is_refused() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Llama)?;
    let run = |flags: &[&str]| {
        let words = ["generate", "--model", "llama", "--max_new_tokens", "2", "--device", "cpu"];
        place.run(&[&words[..], flags].concat())
    };
    let drawn = run(&["--top_k", "5", "--frequency_penalty", "0.5"]);
    succeeded(&drawn);
    assert!(
        stderr(&drawn).contains("sampler: frequency_penalty 0.5 → top_k 5 → a draw"),
        "{}",
        stderr(&drawn)
    );
    let cases: [(&[&str], &str); 7] = [
        (&["--num_beams", "2", "--top_k", "5"], "--top_k is for texts drawn"),
        (&["--length_penalty", "2"], "--length_penalty is for a search"),
        (&["--num_beams", "2", "--do_sample", "true"], "leave out --do_sample"),
        (&["--do_sample", "false", "--temperature", "0.5"], "contradict"),
        (&["--num_beams", "2", "--num_return_sequences", "3"], "num_return_sequences = 3"),
        (&["--stop", ""], "stop string is empty"),
        (&["--typical_p", "0"], "typical_p"),
    ];
    for (flags, mention) in cases {
        let error = refused(&run(flags), 2);
        assert!(error.contains(mention), "{flags:?}: {error}");
    }
    Ok(())
}
