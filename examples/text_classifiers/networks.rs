//! The rows of the table: each network with what it reads of a text.

use warpsmith::data::bag::{Bag, Row};
use warpsmith::model::classical::{LinearSvm, Mlp, TextCnn, TextCnnConfig};
use warpsmith::model::{BertConfig, BertTask, EncoderBatch, Task, Weights};
use warpsmith::prelude::*;

use crate::{Outcome, small_bert};

/// The longest text that a network reads, in words.
const LONGEST: usize = 48;
/// Words in the place of one that the training texts have not twice, and behind a text's end.
const MARKS: usize = 2;

/// What is known of all texts.
pub struct Texts {
    /// Words and their TF-IDF in each text.
    pub words: (Bag, Vec<Row>),
    /// The same with pairs of words.
    pub pairs: (Bag, Vec<Row>),
    /// Numbers of words, from 2 on; 0 for an unknown one.
    pub ids: Vec<Vec<u32>>,
    /// Numbers of classes.
    pub truth: Vec<usize>,
}

/// Logits (B, N) of the texts with these numbers; activations are dropped if there is a generator.
pub type Forward<'a> = Box<dyn Fn(&[usize], Option<&Rng>) -> Outcome<Tensor> + 'a>;

/// The loss of the texts with these numbers.
pub type Loss<'a> = Box<dyn Fn(&[usize]) -> Outcome<Tensor> + 'a>;

/// A row of the table.
pub struct Network<'a> {
    pub name: &'static str,
    pub rate: f64,
    pub parameters: Vec<Parameter>,
    pub forward: Forward<'a>,
    /// What is learned in the place of the cross-entropy.
    pub loss: Option<Loss<'a>>,
}

/// Rows of a bag as a matrix (B, K).
fn dense(rows: &[Row], which: &[usize], columns: usize, device: &Device) -> Outcome<Tensor> {
    let mut values = vec![0.0; which.len() * columns];
    for (at, &row) in which.iter().enumerate() {
        rows[row].iter().for_each(|(column, value)| values[at * columns + column] = *value as f32);
    }
    Ok(Tensor::from_vec(values, &[which.len(), columns], device)?)
}

/// All rows, for so many classes.
pub fn networks<'a>(texts: &'a Texts, classes: usize, device: &'a Device) -> Outcome<Vec<Network<'a>>> {
    let Texts { words, pairs, ids, truth } = texts;
    let weights = Weights::random(Seed(1), device);
    let linear = |name, (bag, rows): &'a (Bag, Vec<Row>)| -> Outcome<Network<'a>> {
        let columns = bag.terms().len();
        let model = Mlp::new(&weights.at(name), &[columns, classes])?;
        let parameters = model.parameters();
        let forward: Forward =
            Box::new(move |which, _| Ok(model.forward(&dense(rows, which, columns, device)?)?));
        Ok(Network { name, rate: 1e-2, parameters, forward, loss: None })
    };
    let vocab = MARKS + words.0.terms().len();
    let cnn = TextCnnConfig {
        vocab_size: vocab,
        embedding_size: 64,
        widths: vec![2, 3, 4],
        channels: 64,
        classes,
        dropout: 0.5,
    };
    let cnn = TextCnn::new(&weights.at("cnn"), &cnn)?;
    let labels = (0..classes).map(|class| class.to_string()).collect();
    let bert = BertConfig { labels, hidden_dropout_prob: 0.2, ..small_bert::config(vocab, LONGEST) };
    let bert = BertTask::new(bert, Task::SequenceClassification, device, Seed(1))?;
    let mut found = vec![linear("bag of words", words)?, linear("bag of words and pairs", pairs)?];
    if classes == 2 {
        let (columns, rows) = (pairs.0.terms().len(), &pairs.1);
        let svm = LinearSvm::new(&weights.at("svm"), columns, 1e-5)?;
        let (parameters, other) = (svm.parameters(), svm.clone());
        let forward: Forward = Box::new(move |which, _| {
            let x = svm.forward(&dense(rows, which, columns, device)?)?.unsqueeze(-1)?; // (B, 1)
            Ok(x.neg()?.cat(&[&x], -1)?)
        });
        let loss = move |which: &[usize]| -> Outcome<Tensor> {
            let side: Vec<f32> = which.iter().map(|&i| 2.0 * truth[i] as f32 - 1.0).collect();
            let side = Tensor::from_vec(side, &[which.len()], device)?;
            Ok(other.loss(&dense(rows, which, columns, device)?, &side)?)
        };
        found.push(Network {
            name: "linear SVM, the same",
            rate: 2e-2,
            parameters,
            forward,
            loss: Some(Box::new(loss)),
        });
    }
    let (of_cnn, of_bert) = (cnn.parameters(), bert.parameters());
    let padded = move |which: &[usize], rng: Option<&Rng>| -> Outcome<Tensor> {
        let row = |&i: &usize| (0..LONGEST).map(move |t| ids[i].get(t).copied().unwrap_or(1));
        Ok(cnn.forward(
            &Tensor::from_vec(which.iter().flat_map(row).collect(), &[which.len(), LONGEST], device)?,
            rng,
        )?)
    };
    found.push(Network {
        name: "text-CNN",
        rate: 1e-3,
        parameters: of_cnn,
        forward: Box::new(padded),
        loss: None,
    });
    let ragged = move |which: &[usize], rng: Option<&Rng>| -> Outcome<Tensor> {
        let rows: Vec<&[u32]> = which.iter().map(|&i| &ids[i][..ids[i].len().min(LONGEST)]).collect();
        Ok(bert.forward(&EncoderBatch::new(&rows, None, device)?, rng)?)
    };
    found.push(Network {
        name: "Transformer encoder",
        rate: 2e-3,
        parameters: of_bert,
        forward: Box::new(ragged),
        loss: None,
    });
    Ok(found)
}
