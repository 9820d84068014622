//! Folders of bf16: commands that train nothing hold their matrices as they are.

use serde_json::Value;
use warpsmith::model::to_safetensors;
use warpsmith::prelude::*;
use warpsmith::train::folder::write_model;

use super::gguf::logits;
use super::{Place, succeeded};
use crate::Checked;

/// A small Llama in folders `whole` (f32) and `half` (the same numbers rounded to bf16), with a tokenizer of bytes.
fn folders(place: &Place) -> Result<Llama, Box<dyn std::error::Error>> {
    let config = LlamaConfig {
        hidden_size: 32,
        intermediate_size: 64,
        head_dim: 8,
        vocab_size: 256,
        max_position_embeddings: 32,
        initializer_range: 0.5,
        ..LlamaConfig::default()
    };
    let model = Llama::new(config, &Device::Cpu, Seed(5))?;
    let rounded = |p: &Parameter| Ok((p.name().into(), p.get().detach().to_dtype(DType::BF16)?));
    let halves = model.parameters().iter().map(rounded).collect::<warpsmith::tensor::Result<_>>()?;
    for (p, half) in model.parameters().iter().zip(model.parameters().iter().map(rounded)) {
        let (_, half): (String, Tensor) = half?;
        p.set(&half.to_dtype(DType::F32)?)?;
    }
    for name in ["whole", "half"] {
        write_model(&place.path(name), &model)?;
        Tokenizer::byte_level().save(place.path(name).join("tokenizer.json"))?;
    }
    place.write("half/model.safetensors", &to_safetensors(&halves, &[])?);
    Ok(model)
}

#[test]
fn a_folder_of_bf16_is_held_so_and_says_what_a_gguf_file_of_it_says() -> Checked {
    let place = Place::new();
    let model = folders(&place)?;
    succeeded(&place.run(&["convert", "--from", "half", "--to", "half.gguf", "--type", "bf16"]));
    let [half, file, whole] =
        [logits(&place, "half")?, logits(&place, "half.gguf")?, logits(&place, "whole")?];
    assert_eq!(half, file);
    // The same numbers in f32, whose sums have another order.
    let largest = whole.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(half != whole && half.iter().zip(&whole).all(|(a, b)| (a - b).abs() <= 1e-5 * largest));

    let inspect = |name: &str| -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&succeeded(&place.run(&["inspect", "--model", name, "--json"])))?)
    };
    let (half, whole) = (inspect("half")?, inspect("whole")?);
    let count = |rank: usize| -> usize {
        let shapes = model.parameters().into_iter().map(|p| p.shape());
        shapes.filter(|shape| shape.rank() == rank).map(|shape| shape.numel()).sum()
    };
    assert_eq!(whole["memory"]["weights"], 4 * (count(1) + count(2)));
    assert_eq!(half["memory"]["weights"], 4 * count(1) + 2 * count(2));
    assert_eq!(half["memory"]["training"], whole["memory"]["training"]);
    let names = |told: &Value| -> Vec<(Value, Value)> {
        let rows = told["parameters"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| (row["name"].clone(), row["shape"].clone())).collect()
    };
    assert_eq!(names(&half), names(&whole));
    let row = &half["parameters"][0];
    assert_eq!(
        (&row["name"], &row["dtype"], &row["stored"]),
        (&"model.embed_tokens.weight".into(), &"bf16".into(), &"bf16".into())
    );
    Ok(())
}

/// What trains or writes a folder needs the numbers of all weights.
#[test]
fn a_folder_of_bf16_learns_and_is_converted_whole() -> Checked {
    let place = Place::new();
    let model = folders(&place)?;
    place.write("data.jsonl", b"{\"text\": \"one two three\"}\n");
    let words = ["finetune", "--model", "half", "--data", "data.jsonl", "--out", "tuned", "--device", "cpu"];
    succeeded(&place.run(&[&words[..], &["--epochs", "1", "--batch_size", "1"]].concat()));
    let tuned = warpsmith::train::folder::read_tensors(&place.path("tuned"), &Device::Cpu)?;
    assert_eq!(tuned.len(), model.parameters().len());
    let name = "model.layers.0.mlp.up_proj.weight";
    let before = model.state()[name].to_vec::<f32>()?;
    assert_ne!(tuned[name].to_vec::<f32>()?, before);
    Ok(())
}
