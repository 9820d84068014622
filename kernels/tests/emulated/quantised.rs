//! Weights in the blocks of GGUF files: the numbers that they stand for, and products with them.

use half::{bf16, f16};
use warpsmith_emulator::Schedule;
use warpsmith_gguf::Kind;
use warpsmith_kernels::Float;
use warpsmith_kernels::dequantise::{Dequantise, dequantise};
use warpsmith_kernels::quantised_matmul::{FEW, QuantisedMatmul, quantised_matmul, roundings};

use crate::counts::claim;
use crate::gpu::{Exact, Gpu, check, numbers};

/// Random blocks, which mean something in every kind, with ordinary scales.
fn blocks(kind: Kind, count: usize) -> Vec<u8> {
    let seed = u64::from(kind.number()) + 1;
    let ordinary = numbers(Float::F16, 2 * count, seed, -1.0, 1.0);
    let random = numbers(Float::F32, count * kind.block_bytes(), seed, 0.0, 255.99);
    let mut bytes: Vec<u8> = random.into_iter().map(|v| v as u8).collect();
    for (block, scales) in bytes.chunks_mut(kind.block_bytes()).zip(ordinary.chunks(2)) {
        match kind {
            Kind::F32 => block.copy_from_slice(&(scales[0] as f32).to_le_bytes()),
            Kind::F16 => block.copy_from_slice(&f16::from_f64(scales[0]).to_le_bytes()),
            Kind::Bf16 => block.copy_from_slice(&bf16::from_f64(scales[0]).to_le_bytes()),
            _ => {
                for (&at, scale) in kind.scale_places().iter().zip(scales) {
                    block[at..at + 2].copy_from_slice(&f16::from_f64(*scale).to_le_bytes());
                }
            }
        }
    }
    bytes
}

/// The numbers of blocks, by the host.
fn on_the_host(kind: Kind, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; bytes.len() / kind.block_bytes() * kind.block_len()];
    kind.dequantise(bytes, &mut out).unwrap();
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn blocks_become_the_numbers_of_the_host_to_the_bit() {
    for kind in Kind::ALL {
        for blocks_of in [1, 13] {
            let (mut gpu, bytes) = (Gpu::new(), blocks(kind, blocks_of));
            let truth = on_the_host(kind, &bytes);
            let (x, y) = (gpu.bytes(&bytes), gpu.room(truth.len() as u64 * 4));
            gpu.run(&dequantise(&Dequantise { kind, y, x, count: truth.len() as u64 }));
            assert_eq!(bits(&gpu.read::<f32>(y, truth.len())), bits(&truth), "{kind:?}");
        }
    }
}

/// Random rows and weights, on the device and here.
struct Case {
    gpu: Gpu,
    product: QuantisedMatmul,
    x: Vec<f64>,
    w: Vec<f32>,
}

impl Case {
    fn new(kind: Kind, [m, n, k]: [usize; 3], schedule: Schedule) -> Self {
        let mut gpu = Gpu::with(schedule);
        let x = numbers(Float::F32, m * k, 3, -1.0, 1.0);
        let bytes = blocks(kind, n * k / kind.block_len());
        let product = QuantisedMatmul {
            kind,
            y: gpu.room((m * n * 4) as u64),
            x: gpu.floats(Float::F32, &x),
            w: gpu.bytes(&bytes),
            m: m as u32,
            n: n as u32,
            k: k as u32,
        };
        Self { gpu, product, x, w: on_the_host(kind, &bytes) }
    }

    /// What the first `m` rows give, held to sums in f64.
    fn run(&mut self, m: usize) -> Vec<f32> {
        let (n, k) = (self.product.n as usize, self.product.k as usize);
        self.gpu.run(&quantised_matmul(&QuantisedMatmul { m: m as u32, ..self.product }));
        let found = self.gpu.read::<f32>(self.product.y, m * n);
        let exact = (0..m * n).map(|i| {
            let terms = (0..k).map(|j| self.x[i / n * k + j] * f64::from(self.w[i % n * k + j]));
            Exact { value: terms.clone().sum(), scale: terms.map(f64::abs).sum() }
        });
        let exact: Vec<Exact> = exact.collect();
        let wide: Vec<f64> = found.iter().map(|&v| v.into()).collect();
        check(
            &format!("{:?} {m} {n} {k}", self.product.kind),
            Float::F32,
            &wide,
            &exact,
            roundings(k) as f64,
        );
        found
    }
}

/// One row, a few and tiles; lanes with more units than others, and more units than the stage holds for eight rows.
#[test]
fn products_of_every_kind_have_the_same_bits_alone_among_few_and_among_many() {
    for kind in Kind::ALL {
        let k = if kind.block_len() == 256 { 768 } else { 32 * 19 };
        let (n, many) = (21, FEW as usize + 3);
        let mut case = Case::new(kind, [many, n, k], Schedule::Forward);
        let whole = case.run(many);
        for few in [11, 1] {
            assert_eq!(bits(&case.run(few)), bits(&whole[..few * n]), "{kind:?}: {few} rows");
        }
    }
}

#[test]
fn products_have_the_same_bits_in_any_order_of_blocks() {
    // More tiles than one in each direction, of fewer units than there are chains.
    let of = |schedule| Case::new(Kind::Q5_0, [66, 70, 96], schedule).run(66);
    assert_eq!(bits(&of(Schedule::Forward)), bits(&of(Schedule::Seeded(3))));
}

#[test]
fn products_of_long_rows_fill_the_stage_again() {
    let mut case = Case::new(Kind::Q8_0, [2, 3, 32 * 131], Schedule::Forward);
    let two = case.run(2);
    assert_eq!(bits(&case.run(1)), bits(&two[..3]));
}

/// A product with weights of zero is NaN where X is, and nowhere else: no value of another row takes part.
#[test]
fn products_keep_nan_in_its_row() {
    let mut case = Case::new(Kind::Q4_0, [3, 5, 64], Schedule::Forward);
    let mut x: Vec<f32> = case.x.iter().map(|&v| v as f32).collect();
    x[64 + 40] = f32::NAN;
    case.product.x = case.gpu.pod(&x);
    case.gpu.run(&quantised_matmul(&case.product));
    let found = case.gpu.read::<f32>(case.product.y, 15);
    assert!(found.iter().enumerate().all(|(i, y)| y.is_nan() == (i / 5 == 1)), "{found:?}");
}

#[test]
fn products_of_one_row_read_every_byte_of_the_weights_once() {
    // What lanes read of a unit: of Q4_1 all of it; of Q4_K its scales of 16 bits and three bytes of others beside 32 bytes.
    for (kind, of_unit) in [(Kind::Q4_1, 20), (Kind::Q4K, 2 + 2 + 3 + 32), (Kind::F16, 64)] {
        let (n, k) = (32u64, 512u64);
        let mut case = Case::new(kind, [1, n as usize, k as usize], Schedule::Forward);
        let counts = case.gpu.run(&quantised_matmul(&case.product));
        // X by each block of 16 columns.
        claim("quantised_matmul", &counts, n * k / 32 * of_unit + n / 16 * k * 4, n * 4);
    }
}

#[test]
fn dequantising_moves_blocks_once() {
    let (mut gpu, bytes) = (Gpu::new(), blocks(Kind::Q5_1, 9));
    let (x, y) = (gpu.bytes(&bytes), gpu.room(9 * 32 * 4));
    let counts = gpu.run(&dequantise(&Dequantise { kind: Kind::Q5_1, y, x, count: 9 * 32 }));
    claim("dequantise", &counts, bytes.len() as u64, 9 * 32 * 4);
}
