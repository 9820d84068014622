//! What the bytes of a block mean. The order of the low and high halves, and of the 6-bit scales, is ggml's.
//!
//! Source: the structs `block_q*` of ggml's `ggml-common.h`, and the layout notes of the package `gguf`.

use half::{bf16, f16};

use crate::Kind;

/// Reads one block: its bytes, and as many places as it has numbers.
pub(crate) fn reader(kind: Kind) -> fn(&[u8], &mut [f32]) {
    match kind {
        Kind::F32 => |bytes, out| out[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        Kind::F16 => |bytes, out| out[0] = half_at(bytes, 0),
        Kind::Bf16 => |bytes, out| out[0] = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        Kind::Q4_0 => |bytes, out| four_bits(&bytes[2..], None, out, half_at(bytes, 0), -8, 0.0),
        Kind::Q4_1 => |bytes, out| four_bits(&bytes[4..], None, out, half_at(bytes, 0), 0, half_at(bytes, 2)),
        Kind::Q5_0 => {
            |bytes, out| four_bits(&bytes[6..], Some(&bytes[2..6]), out, half_at(bytes, 0), -16, 0.0)
        }
        Kind::Q5_1 => |bytes, out| {
            four_bits(&bytes[8..], Some(&bytes[4..8]), out, half_at(bytes, 0), 0, half_at(bytes, 2));
        },
        Kind::Q8_0 => |bytes, out| {
            let scale = half_at(bytes, 0);
            out.iter_mut().zip(&bytes[2..]).for_each(|(out, &q)| *out = scale * f32::from(q as i8));
        },
        Kind::Q4K => q4_k,
        Kind::Q6K => q6_k,
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// 32 numbers: the low halves of 16 bytes, then the high ones, with a fifth bit each from `fifth` if there is one; then
/// (q + offset)·scale + least.
fn four_bits(nibbles: &[u8], fifth: Option<&[u8]>, out: &mut [f32], scale: f32, offset: i32, least: f32) {
    for (i, out) in out.iter_mut().enumerate() {
        let low = nibbles[i % 16] >> (4 * (i / 16)) & 15;
        let high = fifth.map_or(0, |bits| bits[i / 8] >> (i % 8) & 1);
        *out = (i32::from(low | high << 4) + offset) as f32 * scale + least;
    }
}

/// (scale, minimum) number `i` of eight, of 6 bits each, in 12 bytes.
fn six_bits(packed: &[u8], i: usize) -> (u8, u8) {
    match i {
        0..4 => (packed[i] & 63, packed[i + 4] & 63),
        _ => (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4),
    }
}

fn q4_k(bytes: &[u8], out: &mut [f32]) {
    let (scale, least) = (half_at(bytes, 0), half_at(bytes, 2));
    let (packed, nibbles) = (&bytes[4..16], &bytes[16..]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (s, m) = six_bits(packed, group);
        let (s, m) = (scale * f32::from(s), least * f32::from(m));
        // Two groups share 32 bytes, one in the low halves and one in the high.
        let (bytes, shift) = (&nibbles[group / 2 * 32..][..32], group % 2 * 4);
        out.iter_mut().zip(bytes).for_each(|(out, q)| *out = s * f32::from(q >> shift & 15) - m);
    }
}

fn q6_k(bytes: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&bytes[..128], &bytes[128..192], &bytes[192..208]);
    let scale = half_at(bytes, 208);
    for (i, out) in out.iter_mut().enumerate() {
        // Within each 128 numbers, 32 after 32 take the low halves of 64 bytes, then the high ones; two bits more come
        // from 32 bytes, a pair for each 32.
        let (part, row, column) = (i / 128, i % 128 / 32, i % 32);
        let four = low[part * 64 + row % 2 * 32 + column] >> (row / 2 * 4) & 15;
        let two = high[part * 32 + column] >> (2 * row) & 3;
        let q = i32::from(four | two << 4) - 32;
        *out = scale * f32::from(scales[i / 16] as i8) * q as f32;
    }
}
