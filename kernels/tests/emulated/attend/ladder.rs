//! The rungs of the ladders of attention: each right, and better than the one before in what it says.

use warpsmith_kernels::ladder::Rung;
use warpsmith_kernels::ladder::attention::{BACKWARD_RUNGS, RUNGS, SelfAttention, SelfAttentionGradient};

use super::*;
use crate::ladder::{holds_its_claims, total};

/// Tails of every tile, narrow and odd heads, several heads and batch rows, with and without a mask.
fn calls() -> [Call; 5] {
    [
        call([1, 1, 1, 1, 1, 4], Mask::Causal),
        call([2, 37, 37, 2, 2, 16], Mask::Full),
        call([1, 65, 65, 1, 1, 21], Mask::Causal),
        call([1, 130, 130, 1, 1, 64], Mask::Causal),
        call([1, 70, 70, 2, 2, 40], Mask::Full),
    ]
}

/// The arguments of a rung, with its room.
fn arguments(gpu: &mut Gpu, a: &Attention, room: impl Fn(&SelfAttention) -> u64) -> SelfAttention {
    let [out, q, k, v] = [a.out, a.q, a.k, a.v].map(|heads| heads.pointer);
    let (batch, time, heads, width, scale) = (a.batch, a.queries, a.heads, a.width, a.scale);
    let causal = a.mask == Mask::Causal;
    let call = SelfAttention { out, q, k, v, room: 0, batch, time, heads, width, scale, causal };
    SelfAttention { room: gpu.room(room(&call)), ..call }
}

fn forward(gpu: &mut Gpu, a: &Attention, rung: &Rung<SelfAttention>) -> Vec<Launch> {
    let call = arguments(gpu, a, rung.room);
    (rung.launches)(&call).unwrap()
}

fn backward(
    gpu: &mut Gpu,
    a: &Attention,
    gradients: &Gradients,
    rung: &Rung<SelfAttentionGradient>,
) -> Vec<Launch> {
    let [dout, dq, dk, dv] =
        [gradients.dout, gradients.dq, gradients.dk, gradients.dv].map(|heads| heads.pointer);
    let of = |forward| SelfAttentionGradient { forward, lse: a.lse, dout, dq, dk, dv };
    let forward = arguments(gpu, a, |forward| (rung.room)(&of(*forward)));
    (rung.launches)(&of(forward)).unwrap()
}

#[test]
fn every_rung_of_attention_is_right() {
    for call in calls() {
        for rung in &RUNGS {
            let mut case = Case::new(Gpu::new(), Float::Bf16, &call);
            let launches = forward(&mut case.gpu, &case.attention, rung);
            // What a rung writes of the denominators goes to its room.
            case.attention.lse = 0;
            case.gpu.run_all(&launches);
            check_forward(&case, &format!("{} {call:?}", rung.name));
        }
    }
}

#[test]
fn every_rung_of_its_gradient_is_right() {
    for call in calls() {
        for rung in &BACKWARD_RUNGS {
            check_gradients(Float::Bf16, &call, |gpu, a, gradients| backward(gpu, a, gradients, rung));
        }
    }
}

#[test]
fn every_rung_of_attention_improves_what_it_says() {
    let call = call([1, 128, 128, 1, 1, 64], Mask::Causal);
    holds_its_claims(&RUNGS, |rung| {
        let mut case = Case::new(Gpu::new(), Float::Bf16, &call);
        let launches = forward(&mut case.gpu, &case.attention, rung);
        total(&mut case.gpu, &launches)
    });
    holds_its_claims(&BACKWARD_RUNGS, |rung| {
        let mut case = Case::new(Gpu::new(), Float::Bf16, &call);
        case.gpu.run(&attention::forward(&case.attention).unwrap());
        let dout = case.array(128, 1, Some(4)).heads;
        let [dq, dk, dv] = [(); 3].map(|()| case.array(128, 1, None).heads);
        let gradients = Gradients { dout, dq, dk, dv, delta: 0 };
        let launches = backward(&mut case.gpu, &case.attention, &gradients, rung);
        total(&mut case.gpu, &launches)
    });
}
