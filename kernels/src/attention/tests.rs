use super::*;

/// Self-attention over gapless arrays.
fn attention(dtype: Float, width: u32) -> Attention {
    let (batch, time, heads) = (2, 100, 4);
    let array = |pointer| Heads {
        pointer,
        batch: i64::from(time * heads * width),
        time: i64::from(heads * width),
        head: i64::from(width),
    };
    Attention {
        dtype,
        batch,
        queries: time,
        keys: time,
        heads,
        kv_heads: heads,
        width,
        q: array(0x1000),
        k: array(0x2000),
        v: array(0x3000),
        out: array(0x4000),
        lse: 0x5000,
        lengths: 0,
        scale: 0.125,
        mask: Mask::Causal,
        dropout: None,
    }
}

/// The most that a block may have on the smaller GPUs (compute capability 8.6, 8.9, 12.0): 99 KiB.
const SHARED_LIMIT: u32 = 99 << 10;

#[test]
fn every_width_has_a_kernel_that_fits_into_the_smallest_shared_memory() {
    for dtype in Float::ALL {
        for width in 1..=WIDEST {
            let a = attention(dtype, width);
            let gradients = Gradients { dout: a.out, dq: a.q, dk: a.k, dv: a.v, delta: 0x6000 };
            let mut launches = vec![forward(&a).unwrap()];
            launches.extend(backward(&a, &gradients).unwrap());
            for launch in launches {
                assert!(launch.shared_bytes <= SHARED_LIMIT, "{} at {width}", launch.entry.name);
                assert!(!launch.is_empty());
            }
        }
        assert!(forward(&attention(dtype, WIDEST + 1)).is_none());
    }
}

#[test]
fn entries_follow_width_and_dtype() {
    let name = |dtype, width| forward(&attention(dtype, width)).unwrap().entry.name;
    assert_eq!(name(Float::Bf16, 64), "attention_fwd_d64_bf16");
    assert_eq!(name(Float::F16, 80), "attention_fwd_d128_f16");
    assert_eq!(name(Float::F32, 160), "attention_fwd_d256_f32");
}

#[test]
fn alignment_is_that_of_every_array() {
    let aligned = |a: &Attention| {
        let bytes = forward(a).unwrap().params;
        // `flags` is the last word.
        bytes[bytes.len() - 4] & 2 != 0
    };
    let mut a = attention(Float::Bf16, 64);
    assert!(aligned(&a));
    a.v.pointer += 2;
    assert!(!aligned(&a));
    a = attention(Float::Bf16, 64);
    a.k.time += 4;
    assert!(!aligned(&a));
}

#[test]
fn nothing_to_attend_from_is_an_empty_launch() {
    let a = Attention { queries: 0, ..attention(Float::Bf16, 64) };
    assert!(forward(&a).unwrap().is_empty());
}
