//! Blocks run one after the other, kept or run again in the backward pass: what every family's trunk has in common.

use warpsmith_autograd::recompute;
use warpsmith_tensor::{Result, Rng, Scope, Tensor};

use crate::cache::{KvCache, LayerCache};

/// x (B, T, C) → (B, T, C) through all blocks. With `rng`, each block has a generator of its own to drop activations by;
/// with `again`, a block keeps only its input, and runs a second time in the backward pass.
pub(crate) fn run<B: Clone + Send + Sync + 'static>(
    blocks: &[B],
    mut x: Tensor,
    rng: Option<&Rng>,
    again: bool,
    forward: impl Fn(&B, &Tensor, Option<&Rng>) -> Result<Tensor> + Clone + Send + Sync + 'static,
) -> Result<Tensor> {
    for (i, block) in blocks.iter().enumerate() {
        let _scope = Scope::enter(format!("blocks.{i}"));
        // A generator of the block's own: a second run of the block then drops the same activations.
        let own = rng.map(Rng::child);
        x = if again {
            let (block, forward) = (block.clone(), forward.clone());
            recompute(&[&x], move |x| forward(&block, &x[0], own.as_ref().map(Rng::restart).as_ref()))?
        } else {
            forward(block, &x, own.as_ref())?
        };
    }
    Ok(x)
}

/// x (B, T, C) → (B, T, C) through all blocks, behind what `cache` holds, which then holds these T positions too.
pub(crate) fn run_cached<B>(
    blocks: &[B],
    mut x: Tensor,
    cache: &mut KvCache,
    forward: impl Fn(&B, &Tensor, &mut LayerCache) -> Result<Tensor>,
) -> Result<Tensor> {
    let t = x.dims()[1];
    for (i, block) in blocks.iter().enumerate() {
        let _scope = Scope::enter(format!("blocks.{i}"));
        x = forward(block, &x, cache.layer(i)?)?;
    }
    cache.advance(t);
    Ok(x)
}
