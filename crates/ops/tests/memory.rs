//! What ops take of the arena. In a process of its own, one test after the other: the arena is one for all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use warpsmith_autograd::{TensorExt, no_grad};
use warpsmith_ops::attention::{AttentionOptions, Mask};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Seed, Shape, Tensor, arena};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most bytes that `work` has in tensors at once, beside what was there before.
fn peak<T>(work: impl FnOnce() -> Result<T>) -> Result<u64> {
    arena::reset_peak();
    let before = arena::usage().live;
    work()?;
    Ok(arena::usage().peak - before)
}

/// Bytes that attention takes over T positions, forward, and forward and backward.
fn attention(t: usize, mask: Mask) -> Result<[u64; 2]> {
    let rng = Rng::new(Seed(1));
    let [q, k, v] = [0; 3].map(|_| Tensor::randn(&[1, t, 2, 16], &rng, &Device::Cpu));
    let (q, k, v) = (q?.requires_grad()?, k?.requires_grad()?, v?.requires_grad()?);
    let dout = Tensor::randn(q.dims(), &rng, &Device::Cpu)?;
    let options = AttentionOptions { mask, ..AttentionOptions::default() };
    let forward = peak(|| no_grad(|| q.attention(&k, &v, &options)))?;
    let both = peak(|| q.attention(&k, &v, &options)?.backward_from(dout))?;
    Ok([forward, both])
}

/// Twice the positions take twice the memory. A matrix of all pairs would take four times as much, and 4 MiB a head here.
#[test]
fn attention_takes_memory_in_proportion_to_the_length() -> Result<()> {
    let _alone = alone();
    for mask in [Mask::Full, Mask::Causal, Mask::SlidingWindow(100)] {
        // Sizes of blocks are rounded up by an eighth at most, and these are powers of two.
        let (once, twice) = (attention(1024, mask)?, attention(2048, mask)?);
        for (once, twice) in once.into_iter().zip(twice) {
            assert!(twice <= 2 * once + once / 8, "{mask:?}: {once} bytes, then {twice}");
            assert!(once <= 12 * 1024 * 2 * 16 * 4, "{mask:?}: {once} bytes");
        }
    }
    Ok(())
}

/// The first share of a gradient moves in, and later ones are added where it lies: a leaf used ten times needs no more at
/// once than a leaf used three times.
#[test]
fn later_shares_of_a_gradient_are_added_in_place() -> Result<()> {
    let _alone = alone();
    let one = 1 << 20;
    let of_uses = |uses: usize| {
        let x = Tensor::zeros(Shape::new(&[one / 4])?, DType::F32, &Device::Cpu)?.requires_grad()?;
        let scale = Tensor::full(Shape::new(&[one / 4])?, 2.0, DType::F32, &Device::Cpu)?;
        let shares = (0..uses).map(|_| x.mul(&scale)?.sum_all()).collect::<Result<Vec<_>>>()?;
        let mut total = shares[0].clone();
        for share in &shares[1..] {
            total = total.add(share)?;
        }
        drop(shares);
        peak(|| total.backward())
    };
    // The sum and the share that is added to it; a sum in memory of its own would be a third.
    let (three, ten) = (of_uses(3)?, of_uses(10)?);
    assert_eq!(three, ten);
    assert!(three <= 2 * one as u64 + 4096, "{three} bytes for gradients of {one}");
    Ok(())
}
