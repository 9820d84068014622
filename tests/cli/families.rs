//! Every family that writes text is taken by every command that reads a model folder.

use safetensors::SafeTensors;
use serde_json::Value;
use warpsmith::model::{BertConfig, BertTask, HiddenActivation, LlamaKind, Task, to_safetensors};
use warpsmith::prelude::*;
use warpsmith::train::folder::write_model;
use warpsmith::train::{SentenceEncoder, evaluate_text};

use super::{Place, refused, succeeded};
use crate::Checked;

/// A small model of this kind with random weights, in a folder of its name with a tokenizer of bytes.
pub(super) fn folder(place: &Place, kind: LlamaKind) -> Result<Llama, Box<dyn std::error::Error>> {
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
    place.write("short.txt", "A text of some windows, each of 32 bytes. ".repeat(4).as_bytes());
    for kind in [LlamaKind::Mistral, LlamaKind::Qwen3] {
        let (model, name) = (folder(&place, kind)?, kind.name());
        let words = ["eval", "--model", name, "--data", "short.txt", "--device", "cpu", "--json"];
        let told: Value = serde_json::from_str(&succeeded(&place.run(&words)))?;
        let text = std::fs::read_to_string(place.path("short.txt"))?;
        let truth = evaluate_text(&model, &Tokenizer::byte_level(), &text, 32, 32)?;
        assert_eq!(told, serde_json::to_value(&truth)?, "{name}");
        let words =
            ["logits", "--model", name, "--ids", "1,2,3", "--device", "cpu", "--out", "l.safetensors"];
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
    for (name, mention) in
        [("bert", "warpsmith embed"), ("t5", "T5"), ("marian", "Marian"), ("mamba", "qwen3")]
    {
        std::fs::create_dir(place.path(name)).expect("the temporary folder can be written");
        let config = format!("{{\"model_type\": \"{name}\"}}");
        place.write(&format!("{name}/config.json"), config.as_bytes());
        let commands: [&[&str]; 3] =
            [&["generate"], &["eval", "--data", "text.txt"], &["logits", "--ids", "1", "--out", "l"]];
        // Who answers is taken by `generate`.
        for words in commands.into_iter().skip(usize::from(["t5", "marian"].contains(&name))) {
            let error = refused(&place.run(&[words, &["--model", name]].concat()), 1);
            assert!(error.contains("config.json") && error.contains(mention), "{words:?}: {error}");
        }
    }
}

/// A BERT over three words that asks for [CLS] and [SEP], as sentence-transformers lays it out.
pub(super) fn encoder(place: &Place) -> Checked {
    let config = BertConfig {
        vocab_size: 8,
        hidden_size: 12,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 16,
        max_position_embeddings: 9,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: HiddenActivation::Relu,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        initializer_range: 0.5,
        labels: vec!["no".into(), "yes".into()],
    };
    let model = BertTask::new(config, Task::Encode, &Device::Cpu, Seed(3))?;
    std::fs::create_dir_all(place.path("bert/1_Pooling"))?;
    place.write("bert/config.json", model.config_json().as_bytes());
    place.write("bert/model.safetensors", &to_safetensors(&model.state(), &[])?);
    place.write("bert/sentence_bert_config.json", br#"{"max_seq_length": 6}"#);
    place.write("bert/1_Pooling/config.json", br#"{"pooling_mode_mean_tokens": true}"#);
    place.write("bert/modules.json", br#"[{"type": "sentence_transformers.models.Normalize"}]"#);
    let special = |id: usize, text: &str| {
        serde_json::json!({
            "id": id, "content": text, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let of = |text: &str| serde_json::json!({ "SpecialToken": { "id": text, "type_id": 0 } });
    let sign = |id: usize, text: &str| serde_json::json!({ "id": text, "ids": [id], "tokens": [text] });
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "added_tokens": [special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [of("[CLS]"), { "Sequence": { "id": "A", "type_id": 0 } }, of("[SEP]")],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 0 } }],
            "special_tokens": { "[CLS]": sign(2, "[CLS]"), "[SEP]": sign(3, "[SEP]") },
        },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": { "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "one": 4, "two": 5, "three": 6 },
        },
    });
    place.write("bert/tokenizer.json", tokenizer.to_string().as_bytes());
    Ok(())
}

#[test]
fn embed_says_what_the_library_says_and_what_it_cut_off() -> Checked {
    let place = Place::new();
    encoder(&place)?;
    let texts = ["one two", "three", "two two two one one one", ""];
    let words = ["embed", "--model", "bert", "--device", "cpu"];
    let told = place.run(&[&words[..], &["--json"], &texts].concat());
    let encoder = SentenceEncoder::open(&place.path("bert"), Held::AsStored, &Device::Cpu)?;
    let found = encoder.embed(&texts)?;
    let lines: Vec<Value> = succeeded(&told).lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 4);
    for ((line, found), text) in lines.iter().zip(&found).zip(texts) {
        let vector: Vec<f32> = serde_json::from_value(line["embedding"].clone())?;
        assert_eq!((&vector, &line["text"]), (&found.vector, &text.into()));
        let length: f32 = vector.iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    // [CLS], four words and [SEP] of six.
    assert_eq!(found.iter().map(|f| (f.tokens, f.cut)).collect::<Vec<_>>(), [(4, 0), (3, 0), (6, 2), (2, 0)]);
    assert!(super::stderr(&told).contains("2 tokens"), "{}", super::stderr(&told));
    assert_eq!(found[2].vector, encoder.embed(&["two two two one"])?[0].vector);
    let table = succeeded(&place.run(&[&words[..], &["one two", "one two"]].concat()));
    assert_eq!(table.matches("1.0000").count(), 4, "{table}");
    let refusal = refused(&place.run(&["embed", "--model", "llama", "x"]), 1);
    assert!(refusal.contains("llama does not exist"), "{refusal}");
    Ok(())
}

#[test]
fn inspect_tells_of_parameters_memory_and_tokenizer() -> Checked {
    let place = Place::new();
    let model = folder(&place, LlamaKind::Llama)?;
    encoder(&place)?;
    let words = ["inspect", "--model", "llama"];
    let told: Value = serde_json::from_str(&succeeded(&place.run(&[&words[..], &["--json"]].concat())))?;
    let numbers: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
    let rows = told["parameters"].as_array().ok_or("a table")?;
    assert_eq!(rows.len(), model.parameters().len());
    assert_eq!(rows.iter().filter_map(|row| row["numbers"].as_u64()).sum::<u64>(), numbers as u64);
    // Two layers of keys and of values, two heads of four numbers each, four bytes a number.
    assert_eq!(told["memory"]["cache_per_position"], 2 * 2 * 2 * 4 * 4);
    assert_eq!(told["memory"]["cache_of_context"], 32 * 2 * 2 * 2 * 4 * 4);
    assert_eq!(told["memory"]["weights"], 4 * numbers);
    assert_eq!((&told["tokenizer"]["name"], &told["tokenizer"]["vocab_size"]), (&"byte".into(), &256.into()));
    let table = succeeded(&place.run(&words));
    assert!(table.contains("model.layers.1.mlp.up_proj.weight") && table.contains("[24, 16]"), "{table}");
    assert!(table.contains(&format!("Llama: {numbers} parameters, 256 ids, context 32")), "{table}");
    let bert = succeeded(&place.run(&["inspect", "--model", "bert"]));
    assert!(bert.contains("an empty text is [2, 3]") && !bert.contains("another name"), "{bert}");
    Ok(())
}

#[test]
fn a_folder_goes_on_learning_and_is_a_folder_again() -> Checked {
    let place = Place::new();
    let model = folder(&place, LlamaKind::Qwen2)?;
    let lines = ["one", "two", "three"].map(|word| {
        format!("{}\n", serde_json::json!({ "prompt": format!("say {word}: "), "completion": word }))
    });
    place.write("data.jsonl", lines.concat().as_bytes());
    let words = [
        "finetune",
        "--model",
        "qwen2",
        "--data",
        "data.jsonl",
        "--out",
        "tuned",
        "--device",
        "cpu",
        "--json",
    ];
    let how = ["--epochs", "6", "--batch_size", "3", "--learning_rate", "0.02", "--val_data", "data.jsonl"];
    let more = ["--freeze", "model.layers.0", "--lora", "2", "--lora_alpha", "8", "--patience", "5"];
    let told = succeeded(&place.run(&[&words[..], &how, &more].concat()));
    let lines: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 6 + 6 + 1, "{told}");
    let last = &lines[12];
    assert!(
        lines[10]["loss"].as_f64() < lines[0]["loss"].as_f64() && last["best_epoch"].as_u64() > Some(1),
        "{told}"
    );
    let tuned = ModelFolder::open(&place.path("tuned"), Held::AsF32, &Device::Cpu)?;
    for (name, values) in model.state() {
        let (before, after) = (values.to_vec::<f32>()?, tuned.model.state()[&name].to_vec::<f32>()?);
        let is_adapted = name.starts_with("model.layers.1.") && name.ends_with("_proj.weight");
        assert_eq!(before != after, is_adapted, "{name}");
    }
    succeeded(&place.run(&["generate", "--model", "tuned", "--device", "cpu", "--max_new_tokens", "2"]));
    place.write("data.jsonl", b"{\"text\": 1}");
    let error = refused(&place.run(&words), 1);
    assert!(error.contains("data.jsonl, line 1"), "{error}");
    let error = refused(&place.run(&[&words[..], &["--lora_alpha", "2"]].concat()), 2);
    assert!(error.contains("--lora RANK"), "{error}");
    Ok(())
}

/// `--dtype bfloat16` rounds what products read, so that every number is another, and near.
#[test]
fn products_are_rounded_where_that_is_asked() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Qwen2)?;
    place.write("data.jsonl", b"{\"text\": \"abcabc\"}\n{\"text\": \"bcabca\"}\n");
    place.write("data.tsv", b"text\tlabel\nabc\ta\ncba\tb\nabd\ta\ncbb\tb\n");
    let judged = ["--val_data", "data.tsv", "--task", "classify"];
    // The first number that a command tells of itself in JSON.
    let told = |words: &[&str], more: &[&str], key: &str| -> Result<f64, Box<dyn std::error::Error>> {
        let common = ["--model", "qwen2", "--device", "cpu", "--json"];
        let text = succeeded(&place.run(&[words, &common, more].concat()));
        let first: Value = serde_json::from_str(text.lines().next().unwrap_or(&text))
            .or_else(|_| serde_json::from_str(&text))?;
        first[key].as_f64().ok_or_else(|| format!("{words:?}: no {key} in {text}").into())
    };
    let commands: [(&[&str], &[&str], &str); 3] = [
        (&["finetune", "--data", "data.jsonl"], &["--epochs", "1"], "loss"),
        (&["finetune", "--data", "data.tsv"], &[&judged[..], &["--epochs", "1"]].concat(), "loss"),
        (&["eval", "--data", "data.jsonl"], &[], "loss"),
    ];
    for (i, (words, more, key)) in commands.into_iter().enumerate() {
        let run = |dtype: &str| {
            let out = format!("{dtype}-{i}");
            let place = if words[0] == "finetune" { vec!["--out", &out] } else { Vec::new() };
            told(words, &[more, &["--dtype", dtype], &place].concat(), key)
        };
        let (exact, rounded) = (run("float32")?, run("bfloat16")?);
        assert!(exact != rounded, "{words:?}: nothing was rounded");
        assert!((exact - rounded).abs() <= 0.02 * exact, "{words:?}: {rounded}, {exact} in float32");
    }
    let words =
        ["logits", "--model", "qwen2", "--ids", "1,2", "--out", "l.safetensors", "--dtype", "float16"];
    let error = refused(&place.run(&words), 2);
    assert!(error.contains("float32, bfloat16"), "{error}");
    Ok(())
}
