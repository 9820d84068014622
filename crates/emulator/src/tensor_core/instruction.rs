//! An `mma` by its spelling, on registers without types: what an interpreter needs.

use super::multiply::{
    Half, Lanes, mma_m8n8k4_f64, mma_m16n8k4_tf32, mma_m16n8k8, mma_m16n8k8_f16, mma_m16n8k8_tf32,
    mma_m16n8k16, mma_m16n8k16_f16,
};

/// One implemented form of `mma.sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mma {
    /// `m16n8k16`, f32 accumulators.
    K16(Half),
    /// `m16n8k16`, f16 throughout.
    K16F16,
    /// `m16n8k8`, f32 accumulators.
    K8(Half),
    /// `m16n8k8`, f16 throughout.
    K8F16,
    /// `m16n8k8`, tf32.
    K8Tf32,
    /// `m16n8k4`, tf32.
    K4Tf32,
    /// `m8n8k4`, f64; each 64-bit register counts as one.
    F64,
}

impl Mma {
    /// Reads the shape and the types (of D, A, B, C) of a `.row.col` form, e.g. `m16n8k16` and
    /// `["f32", "bf16", "bf16", "f32"]`. `None` if the form is not implemented.
    pub fn find(shape: &str, types: [&str; 4]) -> Option<Self> {
        Some(match (shape, types) {
            ("m16n8k16", ["f32", "f16", "f16", "f32"]) => Mma::K16(Half::F16),
            ("m16n8k16", ["f32", "bf16", "bf16", "f32"]) => Mma::K16(Half::Bf16),
            ("m16n8k16", ["f16", "f16", "f16", "f16"]) => Mma::K16F16,
            ("m16n8k8", ["f32", "f16", "f16", "f32"]) => Mma::K8(Half::F16),
            ("m16n8k8", ["f32", "bf16", "bf16", "f32"]) => Mma::K8(Half::Bf16),
            ("m16n8k8", ["f16", "f16", "f16", "f16"]) => Mma::K8F16,
            ("m16n8k8", ["f32", "tf32", "tf32", "f32"]) => Mma::K8Tf32,
            ("m16n8k4", ["f32", "tf32", "tf32", "f32"]) => Mma::K4Tf32,
            ("m8n8k4", ["f64", "f64", "f64", "f64"]) => Mma::F64,
            _ => return None,
        })
    }

    /// Registers per lane of A, B and C. D takes as many as C.
    pub fn registers(self) -> [usize; 3] {
        match self {
            Mma::K16(_) | Mma::K8Tf32 => [4, 2, 4],
            Mma::K16F16 => [4, 2, 2],
            Mma::K8(_) | Mma::K4Tf32 => [2, 1, 4],
            Mma::K8F16 => [2, 1, 2],
            Mma::F64 => [1, 1, 2],
        }
    }

    /// Floating-point operations of one warp-wide instruction: a multiplication and an addition count as two.
    pub fn flops(self) -> u64 {
        match self {
            Mma::K16(_) | Mma::K16F16 => 4096,
            Mma::K8(_) | Mma::K8F16 | Mma::K8Tf32 => 2048,
            Mma::K4Tf32 => 1024,
            Mma::F64 => 512,
        }
    }

    /// D = A·B + C. Registers are given as in the instruction, each for all 32 lanes, in the low bits of a `u64`.
    /// Returns `None` if the number of registers is not that of [`Mma::registers`].
    pub fn apply(self, a: &[Lanes<u64>], b: &[Lanes<u64>], c: &[Lanes<u64>]) -> Option<Vec<Lanes<u64>>> {
        Some(match self {
            Mma::K16(kind) => from_f32(mma_m16n8k16(&bits(a)?, &bits(b)?, &floats(c)?, kind)),
            Mma::K16F16 => from_bits(mma_m16n8k16_f16(&bits(a)?, &bits(b)?, &bits(c)?)),
            Mma::K8(kind) => from_f32(mma_m16n8k8(&bits(a)?, &bits(b)?, &floats(c)?, kind)),
            Mma::K8F16 => from_bits(mma_m16n8k8_f16(&bits(a)?, &bits(b)?, &bits(c)?)),
            Mma::K8Tf32 => from_f32(mma_m16n8k8_tf32(&bits(a)?, &bits(b)?, &floats(c)?)),
            Mma::K4Tf32 => from_f32(mma_m16n8k4_tf32(&bits(a)?, &bits(b)?, &floats(c)?)),
            Mma::F64 => {
                let ([a], [b], [c, d]) = (a, b, c) else { return None };
                let wide = |lanes: &Lanes<u64>| lanes.map(f64::from_bits);
                mma_m8n8k4_f64(&wide(a), &wide(b), &[wide(c), wide(d)]).map(|l| l.map(f64::to_bits)).into()
            }
        })
    }
}

fn bits<const R: usize>(registers: &[Lanes<u64>]) -> Option<[Lanes<u32>; R]> {
    let registers: &[Lanes<u64>; R] = registers.try_into().ok()?;
    Some(registers.map(|lanes| lanes.map(|x| x as u32)))
}

fn floats<const R: usize>(registers: &[Lanes<u64>]) -> Option<[Lanes<f32>; R]> {
    let registers: &[Lanes<u64>; R] = registers.try_into().ok()?;
    Some(registers.map(|lanes| lanes.map(|x| f32::from_bits(x as u32))))
}

fn from_f32<const R: usize>(registers: [Lanes<f32>; R]) -> Vec<Lanes<u64>> {
    registers.map(|lanes| lanes.map(|x| u64::from(x.to_bits()))).into()
}

fn from_bits<const R: usize>(registers: [Lanes<u32>; R]) -> Vec<Lanes<u64>> {
    registers.map(|lanes| lanes.map(u64::from)).into()
}
