//! What is kept of a trial.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json};
use warpsmith_selection::sampler::Observation;
use warpsmith_selection::space::{Domain, Space, Value};

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The best validation loss in nats per token; with folds their mean.
    pub val_loss: f64,
    /// The standard deviation over the folds, if there are any.
    pub sd: Option<f64>,
    /// The best validation loss of each fold; without folds there is one.
    pub val_losses: Vec<f64>,
    /// The same loss in bits per byte of text, if it is a text.
    pub bits_per_byte: Option<f64>,
    /// Numbers that the model learns.
    pub parameters: usize,
    /// Optimiser steps made, over all folds.
    pub steps: usize,
    /// Tokens learned from, over all folds.
    pub tokens: u64,
    /// Seconds of training and evaluation.
    pub seconds: f64,
}

/// A trial that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number, from 0.
    pub trial: usize,
    /// The searched settings and their values.
    pub settings: Map<String, Json>,
    /// What it came to, if it came to its end.
    pub measured: Option<Measured>,
    /// Why it did not, if it did not: it diverged, or its settings do not fit together.
    pub problem: Option<String>,
}

impl Record {
    /// The record of trial number `trial` of a point.
    pub fn new(trial: usize, space: &Space, point: &[Value], result: Result<Measured, String>) -> Self {
        let named = space.parameters().iter().zip(point);
        let settings = named.map(|((name, _), value)| (name.clone(), json(value))).collect();
        let (measured, problem) = match result {
            Ok(measured) => (Some(measured), None),
            Err(problem) => (None, Some(problem)),
        };
        Self { trial, settings, measured, problem }
    }

    /// The validation loss, if there is one.
    pub fn val_loss(&self) -> Option<f64> {
        self.measured.as_ref().map(|measured| measured.val_loss)
    }

    /// Its values in the order of a space, if it is a point of that space.
    pub fn point(&self, space: &Space) -> Option<Vec<Value>> {
        let value = |(name, domain): &(String, Domain)| {
            self.settings.get(name).and_then(value).filter(|value| domain.contains(value))
        };
        let point: Option<Vec<Value>> = space.parameters().iter().map(value).collect();
        point.filter(|point| point.len() == self.settings.len())
    }

    /// What a sampler learns from it.
    pub(crate) fn observation(&self, space: &Space) -> Option<Observation> {
        Some(Observation { point: self.point(space)?, loss: self.val_loss() })
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Whole(number) => Json::from(*number),
        Value::Real(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Word(word) => Json::from(word.clone()),
    }
}

fn value(json: &Json) -> Option<Value> {
    match json {
        Json::Number(number) => match number.as_u64() {
            Some(number) => Some(Value::Whole(number)),
            None => number.as_f64().map(Value::Real),
        },
        Json::String(word) => Some(Value::Word(word.clone())),
        _ => None,
    }
}
