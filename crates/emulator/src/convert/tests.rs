//! Each conversion against another way to the same number: the crate `half`, Rust's casts, or an argument in f64.

use half::{bf16, f16};

use super::*;

fn cvt(spelling: &str) -> Conversion {
    Conversion::parse(spelling).unwrap()
}

fn f32_bits(value: f32) -> u64 {
    u64::from(value.to_bits())
}

/// Converts f32 to f32 bits.
fn on_f32(spelling: &str, value: f32) -> u64 {
    cvt(spelling).apply(f32_bits(value))
}

/// A small generator (xorshift), so that failures repeat.
fn random(count: usize) -> impl Iterator<Item = u64> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    (0..count).map(move |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    })
}

#[test]
fn every_f16_and_bf16_widens_exactly() {
    for bits in 0..=u16::MAX {
        let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
        let input = u64::from(bits);
        let f32_of = |x: f32| if x.is_nan() { 0x7fff_ffff } else { f32_bits(x) };
        assert_eq!(cvt("f32.f16").apply(input), f32_of(h.to_f32()), "f16 {bits:#06x}");
        assert_eq!(cvt("f32.f16").exactly(input), f32_of(h.to_f32()), "f16 {bits:#06x}");
        assert_eq!(cvt("f32.bf16").apply(input), f32_of(b.to_f32()), "bf16 {bits:#06x}");
        assert_eq!(cvt("f32.bf16").exactly(input), f32_of(b.to_f32()), "bf16 {bits:#06x}");
        if !h.is_nan() {
            assert_eq!(cvt("f64.f16").apply(input), h.to_f64().to_bits(), "f16 {bits:#06x}");
        }
        if !b.is_nan() {
            assert_eq!(cvt("f64.bf16").apply(input), b.to_f64().to_bits(), "bf16 {bits:#06x}");
        }
    }
}

#[test]
fn every_f16_and_bf16_becomes_every_integer_as_its_f64_does() {
    for bits in 0..=u16::MAX {
        let values = [("f16", f16::from_bits(bits).to_f64()), ("bf16", bf16::from_bits(bits).to_f64())];
        for (from, x) in values.into_iter().filter(|(_, x)| !x.is_nan()) {
            for (mode, whole) in
                [("rni", x.round_ties_even()), ("rzi", x.trunc()), ("rmi", x.floor()), ("rpi", x.ceil())]
            {
                let got = |to: &str| cvt(&format!("{mode}.{to}.{from}")).apply(u64::from(bits));
                assert_eq!(got("s8"), whole as i8 as u64, "{mode} {from} {bits:#06x}");
                assert_eq!(got("u16"), u64::from(whole as u16), "{mode} {from} {bits:#06x}");
                assert_eq!(got("s32"), whole as i32 as u64, "{mode} {from} {bits:#06x}");
                assert_eq!(got("u64"), whole as u64, "{mode} {from} {bits:#06x}");
                let same = cvt(&format!("{mode}.{from}.{from}")).apply(u64::from(bits)) as u16;
                let back = if from == "f16" {
                    f16::from_bits(same).to_f64()
                } else {
                    bf16::from_bits(same).to_f64()
                };
                assert_eq!(back.to_bits(), whole.to_bits(), "{mode} {from} {bits:#06x}");
            }
        }
    }
}

/// Between two neighbours of a 16-bit format there is one midpoint, exact in f32. Every rounding of the neighbours,
/// of the midpoint, and of the f32s beside these follows from comparing alone.
fn narrowing_is_right(to: &str, largest: u16, widen: impl Fn(u16) -> f32) {
    let modes = ["rn", "rz", "rm", "rp"].map(|mode| (mode, cvt(&format!("{mode}.{to}.f32"))));
    for low in 0..largest {
        let high = low + 1;
        let (a, b) = (widen(low), widen(high));
        let middle = ((f64::from(a) + f64::from(b)) / 2.0) as f32;
        assert_eq!(f64::from(middle) * 2.0, f64::from(a) + f64::from(b), "the midpoint is exact");
        for x in [a, a.next_up(), middle.next_down(), middle, middle.next_up(), b.next_down()] {
            let nearest = if x < middle || (x == middle && low & 1 == 0) { low } else { high };
            let away = if x == a { low } else { high };
            for sign in [0u16, 0x8000] {
                let input = f32_bits(x) | u64::from(sign) << 16;
                for (mode, c) in &modes {
                    let expected = sign
                        | match (*mode, sign) {
                            ("rn", _) => nearest,
                            ("rz", _) => low,
                            ("rm", 0) | ("rp", 0x8000) => low,
                            _ => away,
                        };
                    assert_eq!(c.apply(input), u64::from(expected), "{mode}.{to} {input:#010x}");
                    assert_eq!(c.exactly(input), u64::from(expected), "{mode}.{to} {input:#010x}");
                }
            }
        }
    }
}

#[test]
fn narrowing_to_f16_is_right_around_every_value() {
    narrowing_is_right("f16", 0x7bff, |bits| f16::from_bits(bits).to_f32());
}

#[test]
fn narrowing_to_bf16_is_right_around_every_value() {
    narrowing_is_right("bf16", 0x7f7f, |bits| bf16::from_bits(bits).to_f32());
}

#[test]
fn too_large_becomes_infinite_or_the_largest_by_the_rounding() {
    for (to, largest, infinite, half_way) in
        [("f16", 0x7bff, 0x7c00, 65520.0f32), ("bf16", 0x7f7f, 0x7f80, f32::from_bits(0x7f7f_8000))]
    {
        let under = half_way.next_down();
        assert_eq!(on_f32(&format!("rn.{to}.f32"), under), largest);
        assert_eq!(on_f32(&format!("rn.{to}.f32"), half_way), infinite);
        assert_eq!(on_f32(&format!("rn.{to}.f32"), -half_way), infinite | 0x8000);
        assert_eq!(on_f32(&format!("rz.{to}.f32"), f32::MAX), largest);
        assert_eq!(on_f32(&format!("rp.{to}.f32"), under), infinite);
        assert_eq!(on_f32(&format!("rp.{to}.f32"), -f32::MAX), largest | 0x8000);
        assert_eq!(on_f32(&format!("rm.{to}.f32"), -f32::MAX), infinite | 0x8000);
        assert_eq!(on_f32(&format!("rn.satfinite.{to}.f32"), f32::INFINITY), largest);
        assert_eq!(on_f32(&format!("rz.{to}.f32"), f32::INFINITY), infinite);
    }
}

#[test]
fn tf32_keeps_ten_bits_of_the_fraction() {
    let one = f32_bits(1.0);
    let step = 1 << 13;
    let half = step / 2;
    for (mode, below, tie, above) in
        [("rna", one, one + step, one + step), ("rn", one, one, one + step), ("rz", one, one, one)]
    {
        let c = cvt(&format!("{mode}.tf32.f32"));
        assert_eq!(c.apply(one + half - 1), below, "{mode}");
        assert_eq!(c.apply(one + half), tie, "{mode}");
        assert_eq!(c.apply(one + half + 1), above, "{mode}");
    }
    // An odd significand's tie goes up also to nearest even; the sign does not matter to rna.
    assert_eq!(cvt("rn.tf32.f32").apply(one + step + half), one + 2 * step);
    assert_eq!(on_f32("rna.tf32.f32", -f32::from_bits((one + half) as u32)), (one + step) | 0x8000_0000);
    assert_eq!(on_f32("rna.tf32.f32", f32::NAN), 0x7fff_ffff);
    assert_eq!(on_f32("rna.tf32.f32", f32::MAX), f32_bits(f32::INFINITY));
    assert_eq!(on_f32("rna.satfinite.tf32.f32", f32::MAX), 0x7f7f_e000);
}

#[test]
fn f64_to_f32_agrees_with_the_machine_and_brackets_it_in_the_other_roundings() {
    let spread =
        random(20_000).map(|bits| f64::from_bits(bits & 0x7fff_ffff_ffff_ffff)).filter(|x| x.is_finite());
    let near = random(20_000).map(|bits| {
        let base = f64::from(f32::from_bits((bits >> 32) as u32));
        f64::from_bits(base.to_bits().wrapping_add(bits & 0x3fff_ffff))
    });
    for x in spread.chain(near).filter(|x| x.is_finite()) {
        let rounded =
            |mode: &str| f32::from_bits(cvt(&format!("{mode}.f32.f64")).exactly(x.to_bits()) as u32);
        assert_eq!(rounded("rn").to_bits(), (x as f32).to_bits(), "{x:e}");
        assert_eq!(cvt("rn.f32.f64").apply(x.to_bits()), f32_bits(x as f32), "{x:e}");
        let (down, up) = (rounded("rm"), rounded("rp"));
        assert!(f64::from(down) <= x && f64::from(up) >= x, "{x:e}");
        assert!(down == up || down.next_up() == up, "{x:e}");
        let inward = if x.is_sign_negative() { up } else { down };
        assert_eq!(rounded("rz").to_bits(), inward.to_bits(), "{x:e}");
        // f64 to f16 in one rounding: `half` does the same.
        assert_eq!(cvt("rn.f16.f64").apply(x.to_bits()) as u16, f16::from_f64(x).to_bits(), "{x:e}");
    }
}

#[test]
fn integers_become_floats_as_rust_casts_them() {
    let edges =
        [0, 1, 0x7f, 0x80, 0xffff, 0x00ff_ffff, 0x0100_0001, 0x7fff_ffff, 0x8000_0000, 1 << 53, u64::MAX];
    for x in random(20_000).map(|bits| bits >> (bits & 63)).chain(edges) {
        for negated in [x, x.wrapping_neg()] {
            for way in [Conversion::apply, Conversion::exactly] {
                let got = |spelling: &str| way(&cvt(spelling), negated);
                assert_eq!(got("rn.f32.s32"), f32_bits(negated as i32 as f32), "{negated:#x}");
                assert_eq!(got("rn.f32.u32"), f32_bits(negated as u32 as f32), "{negated:#x}");
                assert_eq!(got("rn.f32.s64"), f32_bits(negated as i64 as f32), "{negated:#x}");
                assert_eq!(got("rn.f32.u64"), f32_bits(negated as f32), "{negated:#x}");
                assert_eq!(got("rn.f32.u8"), f32_bits(f32::from(negated as u8)), "{negated:#x}");
                assert_eq!(got("rn.f64.s64"), (negated as i64 as f64).to_bits(), "{negated:#x}");
                assert_eq!(got("rn.f64.u32"), f64::from(negated as u32).to_bits(), "{negated:#x}");
                let h = f16::from_f64(f64::from(negated as i32));
                assert_eq!(got("rn.f16.s32"), u64::from(h.to_bits()), "{negated:#x}");
            }
        }
    }
    assert_eq!(cvt("rz.f32.u32").apply(0xffff_ffff), f32_bits(4_294_967_040.0));
    assert_eq!(cvt("rp.f32.u32").apply(0xffff_ffff), f32_bits(4_294_967_296.0));
    assert_eq!(cvt("rm.f32.s32").apply(-16_777_217i64 as u64), f32_bits(-16_777_218.0));
}

#[test]
fn floats_become_integers_as_rust_casts_them() {
    let edges =
        [0.5f32, 1.5, 2.5, -0.5, -1.5, 2_147_483_648.0, -2_147_483_648.0, 4_294_967_296.0, 1e19, -1e19, 0.0];
    let values = random(20_000).map(|bits| f32::from_bits(bits as u32)).chain(edges).chain([f32::INFINITY]);
    for x in values.filter(|x| !x.is_nan()) {
        for way in [Conversion::apply, Conversion::exactly] {
            let got = |spelling: &str| way(&cvt(spelling), f32_bits(x));
            assert_eq!(got("rzi.s32.f32"), x as i32 as u64, "{x:e}");
            assert_eq!(got("rzi.u32.f32"), u64::from(x as u32), "{x:e}");
            assert_eq!(got("rzi.sat.u8.f32"), u64::from(x as u8), "{x:e}");
            assert_eq!(got("rzi.s64.f32"), x as i64 as u64, "{x:e}");
            assert_eq!(got("rni.s32.f32"), x.round_ties_even() as i32 as u64, "{x:e}");
            assert_eq!(got("rmi.s16.f32"), x.floor() as i16 as u64, "{x:e}");
            assert_eq!(got("rpi.u64.f32"), x.ceil() as u64, "{x:e}");
            assert_eq!(got("rmi.f32.f32"), f32_bits(x.floor()), "{x:e}");
            assert_eq!(
                cvt("rpi.f64.f64").apply(f64::from(x).to_bits()),
                f64::from(x).ceil().to_bits(),
                "{x:e}"
            );
            assert_eq!(cvt("rni.s32.f64").apply(f64::from(x).to_bits()), x.round_ties_even() as i32 as u64);
        }
    }
}

#[test]
fn nan_is_canonical_in_floats_and_fixed_in_integers() {
    for bits in [0x7fc0_0000u64, 0x7f80_0001, 0xffff_ffff, 0xffc1_2345] {
        for (spelling, expected) in [
            ("rn.f16.f32", 0x7fff),
            ("rz.f16.f32", 0x7fff),
            ("rn.relu.f16.f32", 0x7fff),
            ("rn.bf16.f32", 0x7fff),
            ("rn.satfinite.bf16.f32", 0x7fff),
            ("rzi.f32.f32", 0x7fff_ffff),
            ("sat.f32.f32", 0),
            ("rzi.s32.f32", 0),
            ("rzi.u16.f32", 0),
            ("rzi.s64.f32", 1 << 63),
            ("rzi.u64.f32", 1 << 63),
        ] {
            assert_eq!(cvt(spelling).apply(bits), expected, "{spelling} {bits:#x}");
        }
    }
    assert_eq!(cvt("f64.f32").apply(0xff80_0001), 0xfff8_0000_2000_0000);
    assert_eq!(cvt("rzi.f64.f64").apply(0x7ff0_0000_0000_0001), 0x7ff8_0000_0000_0001);
    assert_eq!(cvt("rn.f32.f64").apply(0xfff0_0000_0000_0001), 0x7fff_ffff);
    for (spelling, expected) in
        [("rzi.s32.f64", i32::MIN as u64), ("rzi.u32.f64", 1 << 31), ("rzi.s16.f64", i16::MIN as u64)]
    {
        assert_eq!(cvt(spelling).apply(f64::NAN.to_bits()), expected, "{spelling}");
    }
}

#[test]
fn integers_extend_cut_and_saturate() {
    for (spelling, input, expected) in [
        ("s64.s32", 0x8000_0000, 0xffff_ffff_8000_0000),
        ("u64.u32", 0xdead_beef_8000_0000, 0x8000_0000),
        ("u32.s8", 0x80, 0xffff_ff80),
        ("s32.s8", 0x180, 0xffff_ffff_ffff_ff80),
        ("u16.u32", 0x1_2345, 0x2345),
        ("s16.u32", 0x8765, 0xffff_ffff_ffff_8765),
        ("u32.u64", 0x1_0000_0002, 2),
        ("sat.u8.s32", -1i64 as u64, 0),
        ("sat.u8.s32", 300, 255),
        ("sat.s8.s32", -300i64 as u64, -128i64 as u64),
        ("sat.s8.u32", 300, 127),
        ("sat.s32.u32", 0xffff_ffff, 0x7fff_ffff),
        ("sat.u32.s64", -5i64 as u64, 0),
    ] {
        assert_eq!(cvt(spelling).apply(input), expected, "{spelling} {input:#x}");
        assert_eq!(cvt(spelling).exactly(input), expected, "{spelling} {input:#x}");
    }
}

#[test]
fn saturation_clamps_floats_to_zero_and_one() {
    for (x, expected) in
        [(-0.5, 0.0), (-0.0, 0.0), (0.25, 0.25), (1.5, 1.0), (f32::INFINITY, 1.0), (-1e30, 0.0)]
    {
        assert_eq!(on_f32("sat.f32.f32", x), f32_bits(expected), "{x}");
        assert_eq!(on_f32("rn.sat.f16.f32", x), u64::from(f16::from_f32(expected).to_bits()), "{x}");
        assert_eq!(cvt("sat.f64.f32").apply(f32_bits(x)), f64::from(expected).to_bits(), "{x}");
    }
}

#[test]
fn relu_clamps_below_and_the_first_of_a_pair_goes_up() {
    assert_eq!(on_f32("rn.relu.bf16.f32", -3.0), 0);
    assert_eq!(on_f32("rn.relu.bf16.f32", 3.0), 0x4040);
    let (a, b) = (1.0f32.to_bits(), (-2.0f32).to_bits());
    assert_eq!(cvt("rn.bf16x2.f32").apply_pair(a, b), 0x3f80_c000);
    assert_eq!(cvt("rn.f16x2.f32").apply_pair(a, b), 0x3c00_c000);
    assert_eq!(cvt("rn.relu.f16x2.f32").apply_pair(a, b), 0x3c00_0000);
    assert_eq!(cvt("rz.bf16x2.f32").apply_pair(0x3f80_ffff, b), 0x3f80_c000);
}

#[test]
fn ftz_flushes_only_f32_and_keeps_the_sign() {
    let small = f32::from_bits(0x8000_0001);
    assert_eq!(on_f32("ftz.f32.f32", small), 0x8000_0000);
    assert_eq!(on_f32("ftz.f64.f32", small), 1 << 63);
    assert_eq!(on_f32("f64.f32", small), f64::from(small).to_bits());
    assert_eq!(on_f32("rmi.ftz.s32.f32", small), 0);
    assert_eq!(on_f32("rmi.s32.f32", small), -1i64 as u64);
    assert_eq!(cvt("rn.ftz.f32.f64").apply(1e-40f64.to_bits()), 0);
    assert_eq!(cvt("rn.f32.f64").apply(1e-40f64.to_bits()), f32_bits(1e-40));
    // A subnormal f16 is a normal f32: nothing to flush.
    assert_eq!(cvt("ftz.f32.f16").apply(1), f32_bits(2f32.powi(-24)));
}

#[test]
fn the_short_ways_agree_with_the_exact_one() {
    for bits in random(200_000) {
        for spelling in
            ["rn.f16.f32", "rn.bf16.f32", "rn.f32.f64", "f32.f16", "rzi.u32.f32", "s16.s64", "u8.u16"]
        {
            let c = cvt(spelling);
            assert!(c.direct.is_some(), "{spelling}");
            assert_eq!(c.apply(bits), c.exactly(bits), "{spelling} {bits:#x}");
        }
    }
}

#[test]
fn what_ptx_does_not_have_is_refused_with_the_reason() {
    for (spelling, part) in [
        ("f16.f32", "narrower"),
        ("s32.f32", ".rni"),
        ("rn.s32.f32", ".rni"),
        ("f32.s32", ".rn"),
        ("rni.f32.s32", ".rn"),
        ("rn.f32.f16", "nothing is rounded"),
        ("rn.s32.s8", "nothing is rounded"),
        ("rni.f16.f32", "same type"),
        ("rna.f16.f32", "tf32 alone"),
        ("rn.relu.f32.f64", ".relu"),
        ("rn.f16x2.f64", "two f32"),
        ("rn.ftz.f16.f64", ".ftz"),
        ("rn.satfinite.e4m3x2.f32", "not a type"),
        ("up.f32.f64", "not a modifier"),
        ("f32", "expected"),
    ] {
        let error = Conversion::parse(spelling).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cvt.{spelling}: ")) && error.contains(part), "{error}");
    }
}
