//! Each family on a GPU: the texts and the numbers that the CPU has.

use warpsmith::model::{
    BertConfig, BertTask, Decoder, EncoderBatch, EncoderDecoder as _, HiddenActivation, LlamaKind, Marian,
    MarianConfig, Precision, T5, T5Config, Task, Weights,
};
use warpsmith::prelude::*;
use warpsmith::train::finetune::{Example, FinetuneConfig, LoraConfig, Progress, finetune};

use super::gpu;
use crate::Checked;

/// Both compute in f32, and a GPU adds in another order: some thousand roundings of 2⁻²⁴, as a share of the largest number.
const BOUND: f32 = 1e-4;

fn assert_close(here: &Tensor, there: &Tensor) -> Checked {
    let (here, there) = (here.to_vec::<f32>()?, there.to_vec::<f32>()?);
    let largest = here.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert_eq!(here.len(), there.len());
    assert!(largest > 0.0 && here.iter().zip(&there).all(|(a, b)| (a - b).abs() <= BOUND * largest));
    Ok(())
}

/// A window, shared keys and values, biases; norms of queries and keys.
#[test]
fn llamas_write_what_they_write_on_the_cpu() -> Checked {
    let (_alone, device) = gpu();
    for kind in [LlamaKind::Qwen2, LlamaKind::Qwen3] {
        let config = LlamaConfig {
            kind,
            vocab_size: 40,
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            head_dim: 8,
            max_position_embeddings: 8,
            attention_bias: kind == LlamaKind::Qwen2,
            windows: vec![None, (kind == LlamaKind::Qwen2).then_some(3)],
            initializer_range: 0.5,
            ..LlamaConfig::default()
        };
        let write = |device: &Device| -> Result<Vec<u32>, Box<dyn std::error::Error>> {
            let model = Llama::new(config.clone(), device, Seed(5))?;
            let mut decoder = Decoder::new(&model, &[3, 1, 4], &Sampling::greedy().max_new_tokens(7), &[])?;
            while decoder.next_token()?.is_ok() {}
            Ok(decoder.tokens().to_vec())
        };
        assert_eq!(write(&device)?, write(&Device::Cpu)?, "{}", kind.name());
    }
    Ok(())
}

#[test]
fn encoders_and_what_answers_have_the_numbers_of_the_cpu() -> Checked {
    let (_alone, device) = gpu();
    let bert = BertConfig {
        vocab_size: 20,
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 24,
        max_position_embeddings: 8,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: HiddenActivation::Relu,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.3,
        labels: vec!["no".into(), "yes".into()],
    };
    let t5 = r#"{"model_type": "t5", "vocab_size": 20, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1,
        "num_heads": 2, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16,
        "feed_forward_proj": "gated-gelu"}"#;
    let marian = r#"{"model_type": "marian", "vocab_size": 20, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
        "activation_function": "swish", "scale_embedding": true, "decoder_start_token_id": 0, "init_std": 0.3}"#;
    let run = |device: &Device| -> Result<[Tensor; 3], Box<dyn std::error::Error>> {
        let batch = EncoderBatch::new(&[&[3, 1, 4, 1, 5], &[9, 2]], None, device)?;
        let bert = BertTask::new(bert.clone(), Task::SequenceClassification, device, Seed(5))?;
        let t5 = T5::new(T5Config::from_json(t5)?, device, Seed(6))?;
        let answers = Tensor::from_slice(&[0u32, 7, 8, 0, 9, 10], &[2, 3], device)?;
        let marian = Marian::new(MarianConfig::from_json(marian)?, device, Seed(7))?;
        let answered =
            no_grad(|| [t5.forward(&batch, &answers, None), marian.forward(&batch, &answers, None)]);
        let [t5, marian] = answered;
        Ok([no_grad(|| bert.forward(&batch, None))?, t5?, marian?])
    };
    for (here, there) in run(&Device::Cpu)?.iter().zip(&run(&device)?) {
        assert_close(here, there)?;
    }
    Ok(())
}

/// Losses of 20 steps of fine-tuning. Sizes that fit no tile: three query heads of 10 on one of keys, texts of three lengths.
fn tuned(
    device: &Device,
    precision: Precision,
    lora: Option<LoraConfig>,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let config = LlamaConfig {
        vocab_size: 263,
        hidden_size: 30,
        intermediate_size: 44,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        num_key_value_heads: 1,
        head_dim: 10,
        max_position_embeddings: 40,
        tie_word_embeddings: lora.is_some(),
        windows: vec![None; 2],
        attention_dropout: 0.1,
        initializer_range: 0.2,
        ..LlamaConfig::default()
    };
    let model = Box::new(Llama::build(config, &Weights::random(Seed(5), device).with_precision(precision))?);
    let tokenizer = Tokenizer::byte_level();
    let folder = ModelFolder { model, tokenizer, ends: vec![0], chat_template: None };
    let lines =
        [r#"{"text": "abcabcabcabc"}"#, r#"{"prompt": "ab", "completion": "cab"}"#, r#"{"text": "cabcabc"}"#];
    let examples = Example::read((1..).zip(lines), &folder)?;
    let how =
        FinetuneConfig { epochs: 10, batch_size: 2, learning_rate: 1e-2, lora, ..FinetuneConfig::default() };
    let mut losses = Vec::new();
    finetune(&*folder.model, &examples, &[], &how, &mut |told| {
        if let Progress::Step { loss, .. } = told {
            losses.push(loss);
        }
        true
    })?;
    Ok(losses)
}

/// In f32 a GPU adds in another order, in bf16 it rounds what products read, by 2⁻⁹ of itself at most: the losses of 20 steps stay
/// within 10⁻⁴ and within 2 % of those of the CPU in f32.
#[test]
fn a_llama_is_tuned_as_on_the_cpu() -> Checked {
    let (_alone, device) = gpu();
    for lora in [None, Some(LoraConfig { rank: 3, alpha: 6.0 })] {
        let exact = tuned(&Device::Cpu, Precision::F32, lora)?;
        assert!(exact.len() == 20 && exact[19] < 0.9 * exact[0], "{exact:?}");
        for (precision, bound) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.02)] {
            let there = tuned(&device, precision, lora)?;
            let off = exact.iter().zip(&there).map(|(a, b)| (a - b).abs() / a).fold(0.0, f64::max);
            assert!(off <= bound, "{precision:?}, {lora:?}: off by {off}: {there:?}, {exact:?}");
            assert!(there != exact, "{precision:?}: nothing was computed elsewhere");
        }
    }
    Ok(())
}
