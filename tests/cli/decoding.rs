//! `generate`: what its flags ask for, and what it says of a text.

use serde_json::Value;
use warpsmith::generate::write;
use warpsmith::model::{
    Answers, BeamSearch, Decoder, EncoderDecoder as _, LlamaKind, Marian, MarianConfig, Penalties, T5,
    T5Config, to_safetensors,
};
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
    let mut decoder = Decoder::new(&model, &prompt, &sampling, &[])?;
    let written = write(&mut decoder, &tokenizer, &prompt, &mut |piece| {
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

#[test]
fn several_prompts_are_each_prompt_alone() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Llama)?;
    place.write("prompts.txt", "line\na\nline 1 says that\n".as_bytes());
    let words = ["generate", "--model", "llama", "--device", "cpu", "--json", "--max_new_tokens", "6"];
    let run = |flags: &[&str]| -> Result<Vec<Value>, Box<dyn std::error::Error>> {
        let lines = succeeded(&place.run(&[&words[..], flags].concat()));
        Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let how = ["--top_logprobs", "2", "--num_return_sequences", "2", "--prompt_logprobs", "--stop", "q"];
    let together = run(&[&["--prompts", "prompts.txt", "--batch_size", "4"], &how[..]].concat())?;
    assert_eq!(together.len(), 6);
    for (i, prompt) in ["line", "a", "line 1 says that"].into_iter().enumerate() {
        // One text is written as it comes, and has to be the same.
        let alone = [1337, 1338].map(|seed: u64| {
            run(&[
                "--prompt",
                prompt,
                "--seed",
                &seed.to_string(),
                "--top_logprobs",
                "2",
                "--prompt_logprobs",
                "--stop",
                "q",
            ])
        });
        for (j, alone) in alone.into_iter().enumerate() {
            assert_eq!(together[2 * i + j], alone?[0], "{prompt}");
        }
        let told = &together[2 * i];
        let count = |name: &str| told[name].as_array().map_or(0, Vec::len);
        assert_eq!((count("logprobs"), count("prompt_logprobs")), (count("tokens"), prompt.len() - 1));
        assert_eq!(told["logprobs"][0]["id"], told["tokens"][0]);
    }
    Ok(())
}

#[test]
fn a_prompt_that_is_too_long_is_refused_cut_or_left_to_slide() -> Checked {
    let place = Place::new();
    let model = folder(&place, LlamaKind::Llama)?;
    let long = "line after line ".repeat(4);
    let words = [
        "generate",
        "--model",
        "llama",
        "--prompt",
        &long,
        "--device",
        "cpu",
        "--json",
        "--temperature",
        "0",
    ];
    let run = |flags: &[&str]| place.run(&[&words[..], &["--max_new_tokens", "5"], flags].concat());
    let error = refused(&run(&[]), 1);
    assert!(error.contains("64 tokens, the model sees 32") && error.contains("--long_prompt"), "{error}");
    let ids = Tokenizer::byte_level().encode(&long)?;
    let greedy = |ids: &[u32]| -> Result<Vec<u32>, Box<dyn std::error::Error>> {
        let mut decoder = Decoder::new(&model, ids, &Sampling::greedy().max_new_tokens(5), &[])?;
        while decoder.next_token()?.is_ok() {}
        Ok(decoder.tokens()[ids.len()..].to_vec())
    };
    let told: Value = serde_json::from_str(&succeeded(&run(&["--long_prompt", "truncate"])))?;
    assert_eq!(tokens(&told), greedy(&ids[64 - 27..])?);
    let told: Value = serde_json::from_str(&succeeded(&run(&["--long_prompt", "slide"])))?;
    assert_eq!(tokens(&told), greedy(&ids)?);
    let error = refused(&run(&["--logprobs", "--num_beams", "2"]), 2);
    assert!(error.contains("not of a search") || error.contains("--temperature"), "{error}");
    Ok(())
}

/// A small T5 with random weights, in a folder `t5`.
fn t5(place: &Place) -> Result<T5, Box<dyn std::error::Error>> {
    let config = T5Config {
        vocab_size: 260,
        d_model: 16,
        d_kv: 4,
        d_ff: 24,
        num_layers: 1,
        num_decoder_layers: 2,
        num_heads: 2,
        initializer_factor: 2.0,
        ..T5Config::from_json(
            r#"{"model_type":"t5","vocab_size":9,"d_model":8,"d_kv":4,"d_ff":8,"num_layers":1,"num_heads":2}"#,
        )?
    };
    let model = T5::new(config, &Device::Cpu, Seed(5))?;
    std::fs::create_dir(place.path("t5"))?;
    place.write("t5/config.json", model.config().to_json().as_bytes());
    place.write("t5/model.safetensors", &to_safetensors(&model.state(), &[])?);
    Tokenizer::byte_level().save(place.path("t5/tokenizer.json"))?;
    Ok(model)
}

/// The ids that are no bytes, as `--logit_bias` has them.
fn forbidden() -> Vec<String> {
    (256..260).map(|id| format!("{id}:-inf")).collect()
}

#[test]
fn a_t5_answers() -> Checked {
    let place = Place::new();
    let model = t5(&place)?;
    let forbidden = forbidden();
    let forbidden: Vec<&str> = forbidden.iter().flat_map(|bias| ["--logit_bias", bias.as_str()]).collect();
    let words = [
        "generate",
        "--model",
        "t5",
        "--prompt",
        "line",
        "--device",
        "cpu",
        "--json",
        "--max_new_tokens",
        "6",
    ];
    let answers = Answers::to(&model, &[&Tokenizer::byte_level().encode("line")?])?;
    let penalties = Penalties {
        logit_bias: (256..260).map(|id| (id, f32::NEG_INFINITY)).collect(),
        ..Penalties::default()
    };
    let how =
        BeamSearch { num_beams: 3, max_new_tokens: 6, penalties: penalties.clone(), ..BeamSearch::default() };
    let told = succeeded(&place.run(&[&words[..], &["--num_beams", "3"], &forbidden].concat()));
    let told: Value = serde_json::from_str(&told)?;
    assert_eq!(tokens(&told), how.run(&answers, &[0], &[])?[0].tokens);
    let sampling = Sampling { penalties, ..Sampling::default() }.max_new_tokens(6);
    let mut decoder = Decoder::new(&answers, &[0], &sampling, &[])?;
    while decoder.next_token()?.is_ok() {}
    // The prompt comes twice, and twice the same answer.
    let told = succeeded(&place.run(&[&words[..], &["--prompt", "line", "--logprobs"], &forbidden].concat()));
    for line in told.lines() {
        let told: Value = serde_json::from_str(line)?;
        assert_eq!(tokens(&told), decoder.tokens()[1..]);
        assert_eq!(told["logprobs"].as_array().map_or(0, Vec::len), 6);
    }
    assert_eq!(told.lines().count(), 2);
    Ok(())
}

/// Prompts of several lengths are answered together, each as it is alone.
#[test]
fn a_t5_answers_several_prompts_at_once() -> Checked {
    let place = Place::new();
    t5(&place)?;
    let words =
        ["generate", "--model", "t5", "--device", "cpu", "--max_new_tokens", "6", "--temperature", "2"];
    let forbidden = forbidden();
    let run = |more: &[&str]| -> Result<Vec<Value>, serde_json::Error> {
        let biases = forbidden.iter().flat_map(|bias| ["--logit_bias", bias.as_str()]).collect::<Vec<_>>();
        let told = succeeded(&place.run(&[&words[..], &["--json"], &biases, more].concat()));
        told.lines().map(serde_json::from_str).collect()
    };
    let prompts = ["line", "a much longer line", "?"];
    let flags: Vec<&str> = prompts.iter().flat_map(|prompt| ["--prompt", prompt]).collect();
    let together = run(&flags)?;
    let alone = prompts.map(|prompt| run(&["--prompt", prompt]));
    let alone: Vec<Value> = alone.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    assert_eq!(together, alone);
    assert_ne!(tokens(&together[0]), tokens(&together[1]));
    assert_eq!(run(&[&flags[..], &["--batch_size", "2"]].concat())?, together);
    // What is printed is the answers, without the prompts.
    let text = succeeded(&place.run(&[&words[..], &flags].concat()));
    assert!(!text.contains("line"), "{text}");
    Ok(())
}

/// The original Transformer, through the commands: its folder is looked into, and answers.
#[test]
fn a_marian_answers() -> Checked {
    let place = Place::new();
    let config = MarianConfig {
        init_std: 0.5,
        ..MarianConfig::from_json(
            r#"{"model_type":"marian","vocab_size":260,"d_model":16,"encoder_layers":1,"decoder_layers":2,
            "encoder_attention_heads":2,"decoder_attention_heads":4,"encoder_ffn_dim":24,"decoder_ffn_dim":20,
            "max_position_embeddings":40,"activation_function":"swish","decoder_start_token_id":0}"#,
        )?
    };
    let model = Marian::new(config, &Device::Cpu, Seed(5))?;
    std::fs::create_dir(place.path("marian"))?;
    place.write("marian/config.json", model.config_json().as_bytes());
    place.write("marian/model.safetensors", &to_safetensors(&model.state(), &[])?);
    Tokenizer::byte_level().save(place.path("marian/tokenizer.json"))?;
    let told = succeeded(&place.run(&["inspect", "--model", "marian", "--json"]));
    let told: Value = serde_json::from_str(&told)?;
    assert_eq!((&told["vocab_size"], &told["context"]), (&260.into(), &40.into()), "{told}");

    let words = ["generate", "--model", "marian", "--prompt", "line", "--device", "cpu", "--json"];
    let told =
        succeeded(&place.run(&[&words[..], &["--max_new_tokens", "6", "--temperature", "0"]].concat()));
    let told: Value = serde_json::from_str(&told)?;
    let answers = Answers::to(&model, &[&Tokenizer::byte_level().encode("line")?])?;
    let mut decoder = Decoder::new(&answers, &[0], &Sampling::greedy().max_new_tokens(6), &[])?;
    while decoder.next_token()?.is_ok() {}
    assert_eq!(tokens(&told), decoder.tokens()[1..]);
    let error = refused(&place.run(&["generate", "--model", "marian", "--prompt", &"line ".repeat(9)]), 1);
    assert!(error.contains("45 positions, the model knows 40"), "{error}");
    Ok(())
}

/// Searches of a decoder and of a T5, all at once and some at a time.
#[test]
fn searches_behind_several_prompts_are_each_prompt_alone() -> Checked {
    let place = Place::new();
    t5(&place)?;
    folder(&place, LlamaKind::Llama)?;
    let forbidden = forbidden();
    for model in ["t5", "llama"] {
        let biases = forbidden.iter().filter(|_| model == "t5");
        let biases: Vec<&str> = biases.flat_map(|bias| ["--logit_bias", bias.as_str()]).collect();
        let run = |more: &[&str]| -> Result<Vec<Value>, serde_json::Error> {
            let words = ["generate", "--model", model, "--device", "cpu", "--max_new_tokens", "6", "--json"];
            let beams = ["--num_beams", "3", "--num_return_sequences", "2"];
            let told = succeeded(&place.run(&[&words[..], &beams, &biases, more].concat()));
            told.lines().map(serde_json::from_str).collect()
        };
        let prompts = ["line", "a much longer line", "?"];
        let flags: Vec<&str> = prompts.iter().flat_map(|prompt| ["--prompt", prompt]).collect();
        let alone = prompts.map(|prompt| run(&["--prompt", prompt]));
        let alone: Vec<Value> = alone.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        assert_eq!(alone.len(), 6);
        assert_ne!(tokens(&alone[0]), tokens(&alone[2]), "{model}");
        for batch_size in ["1", "8", "9"] {
            assert_eq!(
                run(&[&flags[..], &["--batch_size", batch_size]].concat())?,
                alone,
                "{model} {batch_size}"
            );
        }
    }
    Ok(())
}
