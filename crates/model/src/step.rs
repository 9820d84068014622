//! A step of writing on a GPU: one token in, the next one out, recorded once and launched for each token. What differs from
//! step to step lies in three numbers on the device.

use warpsmith_autograd::no_grad;
use warpsmith_ops::prelude::*;
use warpsmith_ops::sample::Sample;
use warpsmith_tensor::{Device, Replay, Result, Tensor};

use crate::cache::Place;
use crate::{CausalModel, KvCache};

/// Steps of one sequence.
pub(crate) struct Step {
    /// The token that is read, how many positions stand before it, and how many there are with it: (3,) i64.
    numbers: Tensor,
    /// What was drawn: the token and its flag.
    replay: Replay<[Tensor; 2]>,
}

impl Step {
    /// Before the first step.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { numbers: Tensor::from_slice(&[0i64; 3], &[3], device)?, replay: Replay::default() })
    }

    /// Queues the step that puts `token` behind what is in the cache and draws the next: its id and flag, (1, 1) each, as
    /// [`Sample`] gives them. All steps draw alike, but for the number of the draw.
    ///
    /// # Errors
    /// If the cache is full, or the device refuses.
    pub fn queue(
        &mut self,
        model: &dyn CausalModel,
        cache: &mut KvCache,
        token: u32,
        how: Sample,
    ) -> Result<[Tensor; 2]> {
        let past = cache.len() as i64;
        self.numbers.overwrite(&[i64::from(token), past, past + 1])?;
        let (numbers, addresses) = (&self.numbers, cache.addresses()?);
        let work = || forward(numbers, model, cache, how);
        let drawn = self.replay.queue(model.device(), how.draw, addresses, work)?;
        cache.advance(1);
        Ok(drawn)
    }
}

/// The step as work of the device, which reads `numbers`.
fn forward(
    numbers: &Tensor,
    model: &dyn CausalModel,
    cache: &mut KvCache,
    how: Sample,
) -> Result<[Tensor; 2]> {
    let number = |i| numbers.slice(0, i, 1, 1); // (1,)
    let ids = number(0)?.reshape(&[1, 1])?;
    cache.stand_at(Some(Place { position: number(1)?, filled: number(2)? }));
    let logits = no_grad(|| model.forward_cached(&ids, cache)); // (1, 1, V)
    cache.stand_at(None);
    logits?.sample(how)
}
