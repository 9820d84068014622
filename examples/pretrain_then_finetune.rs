//! What learning one text is worth for another: two language models, one that says the next token and one that says masked ones,
//! learn corpus A, are tuned on B, and stand beside models that knew nothing, after as many steps.
//!
//! `cargo run --release --example pretrain_then_finetune [A.txt B.txt [STEPS]]`
//!
//! Without files A is Rust (the sources of a few of this repository's crates), and B its prose. It makes 200 steps on B, and 16, which
//! show little, if it was built without optimisation.
//!
//! What printed versions of this program often get wrong:
//! - the model from scratch gets fewer steps on B, or a rate that suits the other. Here both get the same, and a third model gets the
//!   steps of A on B too: the only fair rival of a model that has been trained for as long;
//! - masked positions are drawn once for the whole corpus, and all positions are scored, of which most stand in the input;
//! - every chosen position shows the mask. Then the model never sees a word that it has to doubt, as it will when it is tuned;
//! - the losses of the two kinds are compared. They answer different questions, and only numbers of one kind stand side by side;
//! - the vocabulary comes from A alone, and what it cuts B into is the result.

#[path = "fixtures/small_bert.rs"]
mod small_bert;

use std::ops::Range;

use warpsmith::model::{BertTask, EncoderBatch, Task};
use warpsmith::ops::cross_entropy::IGNORE_INDEX;
use warpsmith::prelude::*;
use warpsmith::text::Tokens;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROWS: usize = 8;
const TIMES: usize = 32;

/// A model with its question.
enum Learner {
    Causal(Gpt),
    Masked(Box<BertTask>),
}

impl Learner {
    /// A model that knows nothing. The id behind the vocabulary is the mask.
    fn new(is_masked: bool, vocab: usize, device: &Device) -> Outcome<Self> {
        if !is_masked {
            let shape = GptConfig { vocab_size: vocab, block_size: TIMES, n_layer: 2, ..Default::default() };
            return Ok(Self::Causal(Gpt::new(GptConfig { n_embd: 64, ..shape }, device, Seed(1))?));
        }
        let config = small_bert::config(vocab + 1, TIMES);
        Ok(Self::Masked(Box::new(BertTask::new(config, Task::MaskedLm, device, Seed(1))?)))
    }

    fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Causal(model) => model.parameters(),
            Self::Masked(model) => model.parameters(),
        }
    }

    /// The mean loss in nats over what is asked of windows; `rng` draws what is masked.
    fn loss(&self, batch: &TensorBatch, rng: &Rng) -> Outcome<Tensor> {
        let model = match self {
            Self::Causal(model) => return Ok(model.forward(&batch.ids)?.cross_entropy(&batch.targets)?),
            Self::Masked(model) => model,
        };
        let ids: Vec<u32> = batch.ids.to_vec::<u32>()?;
        let mask = model.encoder().config().vocab_size as u32 - 1;
        let (chosen, way, other) = (rng.uniform(ids.len()), rng.uniform(ids.len()), rng.uniform(ids.len()));
        let mut targets = vec![IGNORE_INDEX; ids.len()];
        // Devlin et al., 2018, §3.1: 15 % are asked; of these 80 % are masked, 10 % are any token, 10 % stay.
        let mut asked = ids.clone();
        for i in (0..ids.len()).filter(|&i| chosen[i] < 0.15) {
            targets[i] = i64::from(ids[i]);
            let changed = if way[i] < 0.8 { mask } else { (other[i] * mask as f32) as u32 };
            asked[i] = if way[i] < 0.9 { changed } else { ids[i] };
        }
        let rows: Vec<&[u32]> = asked.chunks(TIMES).collect();
        let logits = model.forward(&EncoderBatch::new(&rows, None, model.encoder().device())?, None)?; // (B, T, V)
        let targets = Tensor::from_vec(targets, &[rows.len(), TIMES], &logits.device())?;
        Ok(logits.cross_entropy(&targets)?)
    }

    /// The loss on windows that are kept back, always with the same masks.
    fn judge(&self, windows: &[TensorBatch]) -> Outcome<f64> {
        let rng = Rng::new(Seed(99));
        let losses = windows.iter().map(|batch| no_grad(|| Ok(self.loss(batch, &rng)?.item()?)));
        Ok(losses.sum::<Outcome<f64>>()? / windows.len() as f64)
    }

    /// Steps `steps` of one run over the windows of a text.
    fn learn(&self, optimizer: &mut AdamW, tokens: &Tokens, steps: Range<u64>) -> Outcome<()> {
        let batches = tokens.batches(ROWS, TIMES, 3)?;
        for step in steps {
            let batch = TensorBatch::new(&batches.at(step), &Device::best()?)?;
            let loss = self.loss(&batch, &Rng::new(Seed(step)))?;
            optimizer.step(loss.backward()?)?;
        }
        Ok(())
    }
}

/// Rust, and prose.
fn of_ourselves() -> [String; 2] {
    let files = warpsmith::corpus::EMBEDDED.split("=== ").filter_map(|part| part.split_once(" ===\n"));
    let (prose, code): (Vec<_>, Vec<_>) = files.partition(|(name, _)| name.ends_with(".md"));
    let text = |files: Vec<(&str, &str)>| {
        files.into_iter().flat_map(|(_, text)| text.chars()).take(100_000).collect()
    };
    [text(code), text(prose)]
}

fn main() -> Outcome<()> {
    let (device, arguments) = (Device::best()?, std::env::args().skip(1).collect::<Vec<_>>());
    let [a, b] = match &arguments[..] {
        [a, b, ..] => [Corpus::from_path(a)?.text().to_string(), Corpus::from_path(b)?.text().to_string()],
        _ => of_ourselves(),
    };
    let usual = if cfg!(debug_assertions) { 16 } else { 200 };
    let steps: u64 = arguments.get(2).map_or(Ok(usual), |steps| steps.parse())?;
    let tokenizer = Tokenizer::from_chars(&format!("{a}{b}"))?;
    let vocab = tokenizer.vocab_size();
    let a = Tokens::from(tokenizer.encode(&a)?);
    let b = Corpus::from_text(b).tokenize(&tokenizer)?;
    let kept_back = b.val().batches(ROWS, TIMES, 5)?;
    let kept_back = (0..16).map(|i| Ok(TensorBatch::new(&kept_back.at(i), &device)?));
    let kept_back = kept_back.collect::<Outcome<Vec<_>>>()?;
    let (half, in_a, in_b) = (steps / 2, a.len(), b.tokens().len());
    println!("{in_a} tokens of A, {in_b} of B; {steps} steps of {ROWS} windows of {TIMES} tokens\n");
    println!("model   learned before   loss on B kept back: now  {half:>4} steps  {steps:>4} steps");
    for (is_masked, name) in [(false, "causal"), (true, "masked")] {
        let mut ends = Vec::new();
        for (first, before) in [(None, "nothing"), (Some(&a), "A"), (Some(&b.train()), "B, as long as A")] {
            let model = Learner::new(is_masked, vocab, &device)?;
            let config = AdamWConfig { learning_rate: 3e-3, weight_decay: 0.01, ..Default::default() };
            let optimizer = || AdamW::new(model.parameters(), config);
            if let Some(tokens) = first {
                model.learn(&mut optimizer()?, tokens, 0..2 * steps)?;
            }
            let (mut optimizer, mut losses) = (optimizer()?, vec![model.judge(&kept_back)?]);
            // Windows that the third model has not had before.
            for part in [2 * steps..2 * steps + half, 2 * steps + half..3 * steps] {
                model.learn(&mut optimizer, &b.train(), part)?;
                losses.push(model.judge(&kept_back)?);
            }
            println!("{name:<7} {before:<15} {:>25.3} {:>11.3} {:>11.3}", losses[0], losses[1], losses[2]);
            ends.push(losses[2]);
        }
        let (by_a, by_b) = (ends[0] - ends[1], ends[0] - ends[2]);
        let word = if by_a > 0.0 { "is worth" } else { "is worth nothing:" };
        println!(
            "{name:<7} after {steps} steps on B, A {word} {by_a:.3} nats, as many steps on B {by_b:.3}\n"
        );
    }
    Ok(())
}
