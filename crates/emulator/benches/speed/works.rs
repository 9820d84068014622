//! What is timed.

use warpsmith_kernels::Float;
use warpsmith_kernels::attention::{self, Attention, Gradients, Heads, Mask};
use warpsmith_kernels::matmul::{Matmul, Matrix, Plan, Tile, planned};
use warpsmith_kernels::softmax::{self, Form, Softmax};

use crate::device::Device;

const MATH: &str = include_str!("../../tests/execution/kernels/math.ptx");
const BLOCK: &str = include_str!("../../tests/execution/kernels/block.ptx");
/// Threads of each small kernel.
const THREADS: usize = 1 << 12;

/// A name, and what prepares the launches.
pub type Work = (&'static str, fn() -> Device);

/// Everything that is timed.
pub const WORKS: &[Work] = &[
    ("arithmetic", || small(MATH, "math32")),
    ("vectors", || small(BLOCK, "scale_vectors")),
    ("sum of a block", || small(BLOCK, "block_sum")),
    ("softmax f32", rows),
    ("matmul f32", || product(Float::F32, 64)),
    ("matmul bf16", || product(Float::Bf16, 128)),
    ("attention f32", || attend(Float::F32, false)),
    ("attention bf16", || attend(Float::Bf16, false)),
    ("attention backward bf16", || attend(Float::Bf16, true)),
];

fn small(ptx: &'static str, name: &'static str) -> Device {
    let mut device = Device::new();
    let (input, output) = (device.singles(THREADS * 8), device.room(THREADS * 96));
    let params = [input, output, THREADS as u64, 0x4000_0000];
    device.add_text(ptx, name, THREADS as u32 / 128, 128, &params);
    device
}

/// (64, 512)
fn rows() -> Device {
    let mut device = Device::new();
    let (x, y) = (device.singles(64 * 512), device.room(64 * 512 * 4));
    device.add(&softmax::forward(&Softmax { form: Form::Plain, dtype: Float::F32, y, x, rows: 64, n: 512 }));
    device
}

fn floats(device: &mut Device, dtype: Float, count: usize) -> u64 {
    if dtype == Float::F32 { device.singles(count) } else { device.brains(count) }
}

/// (n, n) = (n, n)·(n, n)
fn product(dtype: Float, n: usize) -> Device {
    let mut device = Device::new();
    let mut matrix =
        || Matrix { pointer: floats(&mut device, dtype, n * n), row: n as i64, col: 1, batch: [0; 3] };
    let (a, b) = (matrix(), matrix());
    let c = device.room(n * n * dtype.size());
    let product = Matmul::plain(dtype, [n as u32; 3], a, b, c);
    let plan = Plan::new(&product, Tile::Small, 1);
    let workspace = device.room(plan.workspace_bytes().max(1) as usize);
    let launches = planned(&product, &plan, workspace).expect("gapless rows");
    launches.iter().for_each(|launch| device.add(launch));
    device
}

/// B 1, T 64, H 2, D 64, causal.
fn attend(dtype: Float, is_backward: bool) -> Device {
    const TIME: usize = 64;
    const HEADS: usize = 2;
    const WIDTH: usize = 64;
    let count = TIME * HEADS * WIDTH;
    let mut device = Device::new();
    let heads =
        |pointer| Heads { pointer, batch: count as i64, time: (HEADS * WIDTH) as i64, head: WIDTH as i64 };
    let mut input = || heads(floats(&mut device, dtype, count));
    let (q, k, v, dout) = (input(), input(), input(), input());
    let mut output = || heads(device.room(count * dtype.size()));
    let (out, dq, dk, dv) = (output(), output(), output(), output());
    let (lse, delta) = (device.room(TIME * HEADS * 4), device.room(TIME * HEADS * 4));
    let call = Attention {
        dtype,
        batch: 1,
        queries: TIME as u32,
        keys: TIME as u32,
        heads: HEADS as u32,
        kv_heads: HEADS as u32,
        width: WIDTH as u32,
        q,
        k,
        v,
        out,
        lse,
        lengths: 0,
        scale: 0.125,
        mask: Mask::Causal,
        dropout: None,
    };
    device.add(&attention::forward(&call).expect("no wide head"));
    if is_backward {
        let gradients = Gradients { dout, dq, dk, dv, delta };
        let launches = attention::backward(&call, &gradients).expect("no wide head");
        launches.iter().for_each(|launch| device.add(launch));
    }
    device
}
