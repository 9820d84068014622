//! Every family that writes text is taken by every command that reads a model folder.

use safetensors::SafeTensors;
use serde_json::Value;
use warpsmith::model::LlamaKind;
use warpsmith::prelude::*;
use warpsmith::train::evaluate_text;
use warpsmith::train::folder::write_model;

use super::{Place, refused, succeeded};
use crate::Checked;

/// A small model of this kind with random weights, in a folder of its name with a tokenizer of bytes.
fn folder(place: &Place, kind: LlamaKind) -> Result<Llama, Box<dyn std::error::Error>> {
    let windowed = matches!(kind, LlamaKind::Mistral | LlamaKind::Qwen2);
    let config = LlamaConfig {
        kind,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        head_dim: 4,
        max_position_embeddings: 32,
        attention_bias: kind == LlamaKind::Qwen2,
        windows: vec![windowed.then_some(5); 2],
        // Large enough for the choice of a token to depend on what came before.
        initializer_range: 0.5,
        ..LlamaConfig::default()
    };
    let model = Llama::new(config, &Device::Cpu, Seed(7))?;
    let dir = place.path(kind.name());
    write_model(&dir, &model)?;
    Tokenizer::byte_level().save(dir.join("tokenizer.json"))?;
    Ok(model)
}

#[test]
fn each_kind_of_llama_writes_as_the_library_does() -> Checked {
    let place = Place::new();
    for kind in LlamaKind::ALL {
        let model = folder(&place, kind)?;
        let words = ["generate", "--model", kind.name(), "--prompt", "line", "--device", "cpu"];
        // Past the context, so that the text goes on over its newest half.
        let flags = ["--temperature", "0", "--max_new_tokens", "40"];
        let told = succeeded(&place.run(&[&words[..], &flags].concat()));
        let sampling = Sampling::greedy().max_new_tokens(40);
        let text = model.generate(&Tokenizer::byte_level(), "line", &sampling)?;
        assert_eq!(told, format!("line{text}\n"), "{}", kind.name());
    }
    Ok(())
}

#[test]
fn eval_and_logits_say_what_the_library_says() -> Checked {
    let place = Place::new();
    for kind in [LlamaKind::Mistral, LlamaKind::Qwen3] {
        let (model, name) = (folder(&place, kind)?, kind.name());
        let words = ["eval", "--model", name, "--data", "text.txt", "--device", "cpu", "--json"];
        let told: Value = serde_json::from_str(&succeeded(&place.run(&words)))?;
        let text = std::fs::read_to_string(place.path("text.txt"))?;
        let truth = evaluate_text(&model, &Tokenizer::byte_level(), &text, 32, 32)?;
        assert_eq!(told, serde_json::to_value(&truth)?, "{name}");
        let words = ["logits", "--model", name, "--ids", "1,2,3", "--device", "cpu", "--out", "l.safetensors"];
        succeeded(&place.run(&words));
        let bytes = std::fs::read(place.path("l.safetensors"))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let ids = Tensor::from_slice(&[1u32, 2, 3], &[1, 3], &Device::Cpu)?;
        let truth = no_grad(|| model.forward(&ids))?.to_vec::<f32>()?;
        let truth: Vec<u8> = truth.into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(file.tensor("logits")?.data(), truth, "{name}");
    }
    Ok(())
}

#[test]
fn a_family_that_writes_no_text_is_refused_before_its_weights_are_read() {
    let place = Place::new();
    for (name, mention) in [("bert", "BertTask"), ("t5", "T5"), ("mamba", "qwen3")] {
        std::fs::create_dir(place.path(name)).expect("the temporary folder can be written");
        let config = format!("{{\"model_type\": \"{name}\"}}");
        place.write(&format!("{name}/config.json"), config.as_bytes());
        let commands: [&[&str]; 3] =
            [&["generate"], &["eval", "--data", "text.txt"], &["logits", "--ids", "1", "--out", "l"]];
        for words in commands {
            let error = refused(&place.run(&[words, &["--model", name]].concat()), 1);
            assert!(error.contains("config.json") && error.contains(mention), "{words:?}: {error}");
        }
    }
}
