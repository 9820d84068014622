//! Questions with several endings: which one the model finds likeliest, as llm.c scores HellaSwag.

use std::path::Path;

use clap::ArgMatches;
use warpsmith::autograd::no_grad;
use warpsmith::data::shard::choices::{Question, read};
use warpsmith::metrics::multiple_choice::{By, OptionLoss, choose};
use warpsmith::model::CausalModel;
use warpsmith::ops::cross_entropy::CrossEntropy;
use warpsmith::ops::prelude::*;
use warpsmith::tensor::Tensor;

use super::super::super::{Failure, flags};
use super::Row;

/// What stands where no token is to be predicted.
const IGNORED: i64 = -100;

/// The shares of questions that are answered right.
pub(super) fn rows(args: &ArgMatches) -> Result<Vec<Row>, Failure> {
    let (Some(_), Some(data)) = (args.get_one::<String>("model"), args.get_one::<String>("data")) else {
        return Err(Failure::Usage("choices needs --model and --data FILE.bin".into()));
    };
    let questions = read(Path::new(data))?;
    let folder = flags::open(args)?;
    let model = &*folder.model;
    let (mut by_sum, mut by_mean) = (0_usize, 0_usize);
    for (number, question) in questions.iter().enumerate() {
        check(question, number, model, data)?;
        let losses = question.endings.iter().map(|ending| loss(model, &question.context, ending));
        let losses = losses.collect::<Result<Vec<_>, Failure>>()?;
        by_sum += usize::from(choose(&losses, By::Sum) == Some(question.answer));
        by_mean += usize::from(choose(&losses, By::Mean) == Some(question.answer));
    }
    let share = |right: usize| right as f64 / questions.len() as f64;
    Ok(vec![
        ("questions".into(), questions.len() as f64),
        ("accuracy by sum".into(), share(by_sum)),
        ("accuracy by mean (acc_norm)".into(), share(by_mean)),
    ])
}

fn check(question: &Question, number: usize, model: &dyn CausalModel, data: &str) -> Result<(), Failure> {
    let vocab_size = model.vocab_size();
    let mut ids = question.context.iter().chain(question.endings.iter().flatten());
    match ids.find(|id| **id as usize >= vocab_size) {
        Some(id) => Err(Failure::Failed(format!(
            "{data}, question {number}: token id {id}, and the model has {vocab_size}: the file was made for another tokenizer"
        ))),
        None => Ok(()),
    }
}

/// The loss of an ending behind its context, of which the beginning is cut off if both are too long for the model.
fn loss(model: &dyn CausalModel, context: &[u32], ending: &[u32]) -> Result<OptionLoss, Failure> {
    let ids = [context, ending].concat();
    let cut = (ids.len() - 1).saturating_sub(model.context());
    let inputs = &ids[cut..ids.len() - 1];
    let first = (context.len() - 1).saturating_sub(cut);
    let target = |i: usize| if i < first { IGNORED } else { i64::from(ids[cut + i + 1]) };
    let targets: Vec<i64> = (0..inputs.len()).map(target).collect();
    let shape = [1, inputs.len()];
    let ids = Tensor::from_slice(inputs, &shape, model.device())?; // (1, T)
    let targets = Tensor::from_slice(&targets, &shape, model.device())?;
    let nats = no_grad(|| model.forward(&ids)?.cross_entropy_with(&targets, CrossEntropy::SUM)?.item())?;
    Ok(OptionLoss { nats, tokens: ending.len().min(inputs.len()) })
}
