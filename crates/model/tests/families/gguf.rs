//! Models of GGUF files, written as llama.cpp's converter lays them out: the logits of transformers.

use serde_json::Value;
use warpsmith_autograd::no_grad;
use warpsmith_gguf::{Gguf, Kind, Writer};
use warpsmith_model::{
    BertConfig, BertTask, CausalModel, EncoderBatch, Held, Llama, LlamaConfig, LlamaKind, Pooling, Rope,
    Scaling, causal_model, gguf_model, gguf_reader, write_gguf,
};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Seed, Tensor};

use crate::golden::{Tensors, assert_close, ids, json, tensors, weights};

/// The names of tensors without their block, there and at Hugging Face.
const NAMES: [(&str, &str); 35] = [
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("token_embd", "transformer.wte"),
    ("position_embd", "transformer.wpe"),
    ("output_norm", "transformer.ln_f"),
    ("attn_norm", "ln_1"),
    ("attn_qkv", "attn.c_attn"),
    ("attn_output", "attn.c_proj"),
    ("ffn_norm", "ln_2"),
    ("ffn_up", "mlp.c_fc"),
    ("ffn_down", "mlp.c_proj"),
    ("token_embd", "embeddings.word_embeddings"),
    ("position_embd", "embeddings.position_embeddings"),
    ("token_types", "embeddings.token_type_embeddings"),
    ("token_embd_norm", "embeddings.LayerNorm"),
    ("attn_q", "attention.self.query"),
    ("attn_k", "attention.self.key"),
    ("attn_v", "attention.self.value"),
    ("attn_output", "attention.output.dense"),
    ("attn_output_norm", "attention.output.LayerNorm"),
    ("ffn_up", "intermediate.dense"),
    ("ffn_down", "output.dense"),
    ("layer_output_norm", "output.LayerNorm"),
];

fn name(of_transformers: &str) -> String {
    let (bare, end) = of_transformers.rsplit_once('.').unwrap();
    let in_block = ["model.layers.", "transformer.h.", "encoder.layer."]
        .iter()
        .find_map(|start| bare.strip_prefix(start));
    let (block, bare) = match in_block.and_then(|rest| rest.split_once('.')) {
        Some((block, rest)) => (format!("blk.{block}."), rest),
        None => (String::new(), bare),
    };
    let there = NAMES.iter().find(|(_, here)| *here == bare).unwrap().0;
    format!("{block}{there}.{end}")
}

/// Keys of the metadata behind the architecture, and the fields of a config that they are. Some have either name.
const KEYS: [(&str, &str); 12] = [
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("block_count", "num_hidden_layers"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("rope.dimension_count", "head_dim"),
    ("context_length", "n_positions"),
    ("embedding_length", "n_embd"),
    ("block_count", "n_layer"),
    ("attention.head_count", "n_head"),
];

/// Row j·D/2 + i of each head becomes row 2i + j: `reshape(h, 2, D/2, …).swapaxes(1, 2)`.
fn permuted(rows: &[f32], d: usize, width: usize) -> Vec<f32> {
    let mut turned = vec![0.0; rows.len()];
    for (row, numbers) in rows.chunks(width).enumerate() {
        let (head, j, i) = (row / d, row % d / (d / 2), row % d % (d / 2));
        turned[(head * d + 2 * i + j) * width..][..width].copy_from_slice(numbers);
    }
    turned
}

/// The file of a golden model.
fn file(config: &Value, tensors: &Tensors, kind: Kind) -> Vec<u8> {
    let mut writer = Writer::new();
    let architecture = config["model_type"].as_str().unwrap();
    writer.text("general.architecture", architecture);
    for (key, there) in KEYS {
        if let Some(size) = config[there].as_u64() {
            writer.unsigned(&format!("{architecture}.{key}"), size as u32);
        }
    }
    for (key, there) in
        [("rms_epsilon", "rms_norm_eps"), ("epsilon", "layer_norm_epsilon"), ("epsilon", "layer_norm_eps")]
    {
        if let Some(epsilon) = config[there].as_f64() {
            writer.real(&format!("{architecture}.attention.layer_norm_{key}"), epsilon as f32);
        }
    }
    writer.real(&format!("{architecture}.rope.freq_base"), 10_000.0);
    let d = config["head_dim"].as_u64().unwrap_or(0) as usize;
    writer.unsigned(&format!("{architecture}.pooling_type"), 2);
    // llama.cpp's converter leaves the pooler out.
    for (of_transformers, tensor) in tensors.iter().filter(|(name, _)| !name.starts_with("pooler.")) {
        let is_conv1d = of_transformers.contains(".c_") && tensor.rank() == 2;
        let tensor = if is_conv1d { tensor.permute(&[1, 0]).unwrap() } else { tensor.clone() };
        let (dims, mut numbers) = (tensor.dims().to_vec(), tensor.to_vec::<f32>().unwrap());
        let is_turned = of_transformers.contains("q_proj") || of_transformers.contains("k_proj");
        if architecture == "llama" && is_turned {
            numbers = permuted(&numbers, d, dims[1]);
        }
        let kind = if dims.len() == 1 || dims[1] % 32 > 0 { Kind::F32 } else { kind };
        writer.tensor(&name(of_transformers), &dims, kind, &numbers).unwrap();
    }
    writer.finish()
}

fn model(bytes: &[u8], held: Held) -> Box<dyn CausalModel> {
    gguf_model(&Gguf::parse(bytes).unwrap(), held, &Device::Cpu).unwrap()
}

fn logits(model: &dyn CausalModel, ids: &[u32]) -> Tensor {
    let ids = Tensor::from_slice(ids, &[1, ids.len()], &Device::Cpu).unwrap();
    let logits = no_grad(|| model.forward(&ids)).unwrap();
    logits.reshape(&logits.dims()[1..]).unwrap()
}

#[test]
fn files_have_the_logits_of_transformers() {
    let (cases, truth) = (json("causal.json"), tensors("causal.safetensors"));
    for name in ["llama", "qwen3", "gpt2"] {
        let case = &cases["cases"][name];
        let (weights, ids) = (weights(&case["shapes"]), ids(&case["ids"]));
        let whole = file(&case["config"], &weights, Kind::F32);
        assert_close(name, &logits(&*model(&whole, Held::AsF32), &ids), &truth[name], 1e-5);
        // Eight bits keep a number of its block to 1/254 of the largest; two blocks add some of that.
        let rough = file(&case["config"], &weights, Kind::Q8_0);
        assert_close(name, &logits(&*model(&rough, Held::AsF32), &ids), &truth[name], 0.05);
        // The same weights, multiplied as they are: of floats only the order of the sums is another; whole numbers round what
        // they meet to 15 bits, in the four products behind one another that a block has, and in the head.
        let config = &case["config"];
        let blocks = config["num_hidden_layers"].as_u64().or(config["n_layer"].as_u64()).unwrap();
        let rounded = (4 * blocks + 1) as f64 * 2f64.powi(-15);
        for (file, bound) in [(rough, rounded), (file(&case["config"], &weights, Kind::F16), 1e-5)] {
            let quantised = model(&file, Held::AsStored);
            let widened = logits(&*model(&file, Held::AsF32), &ids);
            assert_close(name, &logits(&*quantised, &ids), &widened, bound);
            assert!(quantised.parameters().len() < weights.len(), "{name}: blocks are no parameters");
        }
    }
}

/// Prefill, token by token, and both at once have the same bits, as they have with weights of f32.
#[test]
fn quantised_models_write_the_same_bits_in_pieces() {
    let case = &json("causal.json")["cases"]["llama"];
    let (weights, ids) = (weights(&case["shapes"]), ids(&case["ids"]));
    let model = model(&file(&case["config"], &weights, Kind::Q8_0), Held::AsStored);
    let last = |pieces: &[&[u32]]| {
        let mut cache = model.cache(1, ids.len()).unwrap();
        let of = |piece: &&[u32]| {
            let piece = Tensor::from_slice(piece, &[1, piece.len()], &Device::Cpu).unwrap();
            no_grad(|| model.forward_cached(&piece, &mut cache)).unwrap().to_vec::<f32>().unwrap()
        };
        pieces.iter().map(of).last().unwrap()
    };
    let whole = last(&[&ids]);
    assert_eq!(whole, last(&ids.chunks(1).collect::<Vec<_>>()));
    assert_eq!(whole, last(&[&ids[..3], &ids[3..]]));
}

/// The hidden states of an encoder from a file.
fn hidden(bytes: &[u8], held: Held, [ids, types]: &[Vec<u32>; 2]) -> Tensor {
    let (model, pooling) = gguf_reader(&Gguf::parse(bytes).unwrap(), held, &Device::Cpu).unwrap();
    assert_eq!(pooling, Some(Pooling::First));
    let batch = EncoderBatch::new(&[ids], Some(&[types]), &Device::Cpu).unwrap();
    model.hidden(&batch).unwrap()
}

#[test]
fn encoders_have_the_hidden_states_of_transformers() {
    let (cases, truth) = (json("encoders.json"), tensors("encoders.safetensors"));
    let case = &cases["cases"]["bert"];
    let read = ["ids", "types"].map(|key| ids(&case[key][0]));
    let bytes = file(&case["config"], &weights(&case["shapes"]), Kind::F32);
    let truth = truth["bert.hidden"].slice(0, 0, 1, 1).unwrap();
    assert_close("bert", &hidden(&bytes, Held::AsF32, &read), &truth, 1e-5);
    let error = gguf_model(&Gguf::parse(&bytes).unwrap(), Held::AsStored, &Device::Cpu).map(drop);
    assert!(error.unwrap_err().to_string().contains("embed"));
    // Wide enough for blocks, which round what they meet to 15 bits in four products behind one another.
    let json = r#"{"model_type": "bert", "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 20, "initializer_range": 0.3}"#;
    let (config, task) = BertConfig::from_json(json).unwrap();
    let state = BertTask::new(config, task, &Device::Cpu, Seed(1)).unwrap().state();
    let state = state.into_iter().map(|(name, t)| (name.replace("bert.", ""), t)).collect();
    let bytes = file(&serde_json::from_str(json).unwrap(), &state, Kind::Q8_0);
    let read = [vec![3, 1, 4, 1, 5], vec![0, 0, 0, 1, 1]];
    let [blocks, widened] = [Held::AsStored, Held::AsF32].map(|held| hidden(&bytes, held, &read));
    assert_close("blocks", &blocks, &widened, 4.0 * 2f64.powi(-15));
    assert_ne!(blocks.to_vec::<f32>().unwrap(), widened.to_vec::<f32>().unwrap());
}

/// On a GPU weights of 8 bits are multiplied as the f32 numbers that they stand for, which a model of these numbers has here.
#[cfg(target_os = "linux")]
#[test]
fn blocks_stay_on_a_gpu_and_have_the_logits_of_their_numbers() {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    let device = Device::cuda(0).unwrap();
    let config = LlamaConfig {
        hidden_size: 32,
        head_dim: 8,
        vocab_size: 40,
        initializer_range: 0.3,
        ..LlamaConfig::default()
    };
    let llama = Llama::new(config, &Device::Cpu, Seed(1)).unwrap();
    let file = write_gguf(&llama, Kind::Q8_0).unwrap().finish();
    let there = gguf_model(&Gguf::parse(&file).unwrap(), Held::AsStored, &device).unwrap();
    let here = model(&file, Held::AsF32);
    assert!(there.parameters().iter().all(|p| p.shape().rank() == 1), "matrices are no numbers");
    let ids = |device: &Device| Tensor::from_slice(&[3u32, 1, 4, 1, 5, 9], &[2, 3], device).unwrap();
    let of = |model: &dyn CausalModel, device| no_grad(|| model.forward(&ids(device))).unwrap();
    let found = of(&*there, &device).to_device(&Device::Cpu).unwrap();
    assert_close("blocks", &found, &of(&*here, &Device::Cpu), 1e-5);
}

#[test]
fn files_that_are_of_no_use_are_refused() {
    let cases = json("causal.json");
    let case = &cases["cases"]["llama"];
    let bytes = file(&case["config"], &weights(&case["shapes"]), Kind::F32);
    let refused = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = bytes.clone();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let file = Gguf::parse(&bytes).unwrap();
        gguf_model(&file, Held::AsStored, &Device::Cpu).map(drop).unwrap_err().to_string()
    };
    assert!(
        refused(
            "architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
            "architecture\x08\0\0\0\x05\0\0\0\0\0\0\0mamba"
        )
        .contains("mamba")
    );
    assert!(refused("llama.block_count", "llama.block_caunt").contains("block_count"));
    assert!(
        refused("llama.rope.dimension_count\x04\0\0\0\x08", "llama.rope.dimension_count\x04\0\0\0\x04")
            .contains("in part")
    );
    assert!(refused("blk.0.ffn_gate.weight", "blk.0.ffn_gota.weight").contains("ffn_gota"));
}

/// Llama 3's scaling is a table of divisors there. These are llama.cpp's numbers for heads of width 16.
#[test]
fn llama_3_comes_with_divisors_of_its_frequencies() {
    let published =
        |factor| Scaling::Llama3 { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 8192 };
    let written = |scaling| {
        let config = LlamaConfig {
            hidden_size: 32,
            head_dim: 16,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            rope: Rope { theta: 5e5, scaling },
            rms_norm_eps: 2f64.powi(-17),
            ..LlamaConfig::default()
        };
        let llama = Llama::new(config, &Device::Cpu, Seed(1)).unwrap();
        (write_gguf(&llama, Kind::F32).map(|writer| writer.finish()), llama)
    };
    let (bytes, llama) = written(published(8.0));
    let bytes = bytes.unwrap();
    let table = Gguf::parse(&bytes).unwrap().tensor("rope_freqs.weight").unwrap().numbers().unwrap();
    let truth = [1.0, 1.0, 1.0, 1.0, 2.694_53, 8.0, 8.0, 8.0];
    assert!(table.iter().zip(truth).all(|(ours, truth)| (ours - truth).abs() < 1e-5), "{table:?}");
    let ids: Vec<u32> = (0..24).map(|i| i * 7 % 20).collect();
    let again = model(&bytes, Held::AsF32);
    assert_eq!(again.config_json(), llama.config_json());
    assert_eq!(logits(&*again, &ids).to_vec::<f32>().unwrap(), logits(&llama, &ids).to_vec::<f32>().unwrap());
    // Another table is another way, and what would not come back is not written.
    let mut other = bytes.clone();
    let at = other.windows(4).position(|w| w == table[4].to_le_bytes()).unwrap();
    other[at..at + 4].copy_from_slice(&2.8f32.to_le_bytes());
    let refused = gguf_model(&Gguf::parse(&other).unwrap(), Held::AsF32, &Device::Cpu).map(drop);
    assert!(refused.unwrap_err().to_string().contains("rope_freqs.weight"));
    let odd = Scaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 4096 };
    assert!(written(odd).0.map(drop).unwrap_err().to_string().contains("stretched"));
}

/// What the format has no place for is refused by name; everything else is the same model afterwards, to the bit.
#[test]
fn a_model_written_and_read_is_the_same() {
    let models = json("causal.json");
    let ids = [1, 5, 9, 30, 7];
    let bits = |model: &dyn CausalModel| logits(model, &ids).to_vec::<f32>().unwrap();
    let mut refused = Vec::new();
    for (name, case) in models["cases"].as_object().unwrap() {
        let model =
            causal_model(&case["config"].to_string(), weights(&case["shapes"]), &Device::Cpu).unwrap();
        match write_gguf(&*model, Kind::F32) {
            Err(error) => refused.push((name.as_str(), error.to_string())),
            Ok(writer) => {
                let again = self::model(&writer.finish(), Held::AsStored);
                assert_eq!(bits(&*again), bits(&*model), "{name}");
            }
        }
    }
    let why = [
        ("bias", "mlp"),
        ("dynamic", "stretched"),
        ("llama3", "stretched"),
        ("yarn", "stretched"),
        ("qwen2", "widths"),
    ];
    assert_eq!(refused.len(), why.len(), "{refused:?}");
    for ((name, error), (of_name, mention)) in refused.iter().zip(why) {
        assert!(name.contains(of_name) && error.contains(mention), "{name}: {error}");
    }
    let config = LlamaConfig {
        kind: LlamaKind::Qwen2,
        hidden_size: 32,
        head_dim: 8,
        attention_bias: true,
        initializer_range: 0.3,
        ..LlamaConfig::default()
    };
    let qwen2 = Llama::new(config, &Device::Cpu, Seed(1)).unwrap();
    for p in qwen2.parameters().iter().filter(|p| p.name().ends_with("bias")) {
        p.set(&Tensor::full(p.shape(), 0.25, warpsmith_tensor::DType::F32, &Device::Cpu).unwrap()).unwrap();
    }
    let whole = bits(&*model(&write_gguf(&qwen2, Kind::F32).unwrap().finish(), Held::AsStored));
    assert_eq!(whole, bits(&qwen2));
    // Rounding to f16 leaves half a bit in 11, 8 bits half a step of 127, and a scale that is rounded to f16.
    for (kind, share) in [(Kind::F16, 1.0 / 2048.0), (Kind::Q8_0, 1.0 / 254.0 + 1.0 / 2048.0)] {
        let file = write_gguf(&qwen2, kind).unwrap().finish();
        let parsed = Gguf::parse(&file).unwrap();
        let (there, here) =
            (parsed.tensor("blk.0.attn_v.weight").unwrap(), "model.layers.0.self_attn.v_proj.weight");
        let truth = qwen2.state()[here].to_vec::<f32>().unwrap();
        assert_eq!((there.kind(), parsed.tensor("blk.0.attn_q.bias").unwrap().kind()), (kind, Kind::F32));
        for (block, truth) in there.numbers().unwrap().chunks(32).zip(truth.chunks(32)) {
            let largest = truth.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(block.iter().zip(truth).all(|(a, b)| (a - b).abs() <= share * largest), "{kind:?}");
        }
        assert_ne!(bits(&*model(&file, Held::AsStored)), whole);
    }
}
