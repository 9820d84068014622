//! One-hot matrices through every shape, random ones against plain f64, and the printed maps against the code.

use std::fmt::Write;

use half::{bf16, f16};

use super::*;

/// A form of `mma` with how its element types are written to and read from registers.
struct Form {
    mma: Mma,
    shape: Shape,
    /// Bits of one element of A and B, and of C and D.
    widths: [usize; 2],
    operand: fn(f64) -> u64,
    accumulator: fn(f64) -> u64,
    result: fn(u64) -> f64,
}

fn to_f32(x: f64) -> u64 {
    u64::from((x as f32).to_bits())
}

fn from_f32(bits: u64) -> f64 {
    f64::from(f32::from_bits(bits as u32))
}

fn to_f16(x: f64) -> u64 {
    u64::from(f16::from_f64(x).to_bits())
}

fn from_f16(bits: u64) -> f64 {
    f16::from_bits(bits as u16).to_f64()
}

fn to_bf16(x: f64) -> u64 {
    u64::from(bf16::from_f64(x).to_bits())
}

fn forms() -> Vec<Form> {
    let form = |mma, shape, widths, operand, accumulator, result| Form {
        mma,
        shape,
        widths,
        operand,
        accumulator,
        result,
    };
    vec![
        form(Mma::K16(Half::F16), M16N8K16, [16, 32], to_f16, to_f32, from_f32),
        form(Mma::K16(Half::Bf16), M16N8K16, [16, 32], to_bf16, to_f32, from_f32),
        form(Mma::K16F16, M16N8K16, [16, 16], to_f16, to_f16, from_f16),
        form(Mma::K8(Half::F16), M16N8K8, [16, 32], to_f16, to_f32, from_f32),
        form(Mma::K8(Half::Bf16), M16N8K8, [16, 32], to_bf16, to_f32, from_f32),
        form(Mma::K8F16, M16N8K8, [16, 16], to_f16, to_f16, from_f16),
        form(Mma::K8Tf32, M16N8K8_TF32, [32, 32], to_f32, to_f32, from_f32),
        form(Mma::K4Tf32, M16N8K4_TF32, [32, 32], to_f32, to_f32, from_f32),
        form(Mma::F64, M8N8K4_F64, [64, 64], f64::to_bits, f64::to_bits, f64::from_bits),
    ]
}

type Matrix = Vec<Vec<f64>>;

fn zeros(fragment: &Fragment) -> Matrix {
    vec![vec![0.0; fragment.columns]; fragment.rows]
}

/// Puts a matrix into registers.
fn pack(matrix: &Matrix, fragment: &Fragment, width: usize, bits: fn(f64) -> u64) -> Vec<Lanes<u64>> {
    let per_register = if width == 16 { 2 } else { 1 };
    let mut registers = vec![[0; 32]; fragment.per_lane / per_register];
    for lane in 0..32 {
        for i in 0..fragment.per_lane {
            let (row, column) = fragment.place(lane, i);
            registers[i / per_register][lane] |= bits(matrix[row][column]) << (width * (i % per_register));
        }
    }
    registers
}

fn unpack(registers: &[Lanes<u64>], fragment: &Fragment, width: usize, value: fn(u64) -> f64) -> Matrix {
    let per_register = if width == 16 { 2 } else { 1 };
    let mut matrix = zeros(fragment);
    for lane in 0..32 {
        for i in 0..fragment.per_lane {
            let (row, column) = fragment.place(lane, i);
            matrix[row][column] = value(registers[i / per_register][lane] >> (width * (i % per_register)));
        }
    }
    matrix
}

fn run(form: &Form, a: &Matrix, b: &Matrix, c: &Matrix) -> Matrix {
    let Shape { a: fa, b: fb, c: fc, .. } = &form.shape;
    let a = pack(a, fa, form.widths[0], form.operand);
    let b = pack(b, fb, form.widths[0], form.operand);
    let c = pack(c, fc, form.widths[1], form.accumulator);
    assert_eq!([a.len(), b.len(), c.len()], form.mma.registers(), "{:?}", form.mma);
    unpack(&form.mma.apply(&a, &b, &c).unwrap(), fc, form.widths[1], form.result)
}

#[test]
fn every_element_has_one_place() {
    for shape in SHAPES {
        for fragment in [shape.a, shape.b, shape.c] {
            let mut seen = zeros(&fragment);
            for lane in 0..32 {
                for i in 0..fragment.per_lane {
                    let (row, column) = fragment.place(lane, i);
                    seen[row][column] += 1.0;
                }
            }
            assert!(seen.iter().flatten().all(|&n| n == 1.0), "{} {}", shape.name, fragment.letter);
        }
    }
}

/// The corners that the manual prints for each fragment, so that the maps do not only agree with themselves.
#[test]
fn the_maps_have_the_corners_that_the_manual_prints() {
    for (fragment, lane, element, place) in [
        (M16N8K16.a, 0, 2, (8, 0)),
        (M16N8K16.a, 1, 4, (0, 10)),
        (M16N8K16.a, 31, 7, (15, 15)),
        (M16N8K16.b, 1, 0, (2, 0)),
        (M16N8K16.b, 4, 3, (9, 1)),
        (M16N8K16.c, 4, 1, (1, 1)),
        (M16N8K16.c, 31, 2, (15, 6)),
        (M16N8K8.a, 3, 3, (8, 7)),
        (M16N8K8.b, 31, 1, (7, 7)),
        (M16N8K8_TF32.a, 0, 1, (8, 0)),
        (M16N8K8_TF32.a, 5, 2, (1, 5)),
        (M16N8K8_TF32.b, 2, 1, (6, 0)),
        (M8N8K4_F64.a, 6, 0, (1, 2)),
        (M8N8K4_F64.b, 6, 0, (2, 1)),
        (M8N8K4_F64.c, 31, 1, (7, 7)),
    ] {
        assert_eq!(fragment.place(lane, element), place, "{} lane {lane} element {element}", fragment.letter);
    }
}

#[test]
fn one_hot_operands_light_exactly_their_row_and_column() {
    for form in forms() {
        let Shape { a: fa, b: fb, c: fc, .. } = form.shape;
        // B all different: a one in A at (m, k) must put row k of B into row m of D and nothing elsewhere.
        let full_b: Matrix = (0..fb.rows)
            .map(|k| (0..fb.columns).map(|n| (1 + k * fb.columns + n) as f64).collect())
            .collect();
        for m in 0..fa.rows {
            for k in 0..fa.columns {
                let mut a = zeros(&fa);
                a[m][k] = 1.0;
                let mut expected = zeros(&fc);
                expected[m].clone_from(&full_b[k]);
                assert_eq!(run(&form, &a, &full_b, &zeros(&fc)), expected, "{:?} a[{m}][{k}]", form.mma);
            }
        }
        let full_a: Matrix = (0..fa.rows)
            .map(|m| (0..fa.columns).map(|k| (1 + m * fa.columns + k) as f64).collect())
            .collect();
        // bf16 counts only to 256 exactly, which 16·16 just reaches.
        for k in 0..fb.rows {
            for n in 0..fb.columns {
                let mut b = zeros(&fb);
                b[k][n] = 1.0;
                let mut expected = zeros(&fc);
                (0..fc.rows).for_each(|m| expected[m][n] = full_a[m][k]);
                assert_eq!(run(&form, &full_a, &b, &zeros(&fc)), expected, "{:?} b[{k}][{n}]", form.mma);
            }
        }
        for m in 0..fc.rows {
            for n in 0..fc.columns {
                let mut c = zeros(&fc);
                c[m][n] = 1.0;
                assert_eq!(run(&form, &zeros(&fa), &zeros(&fb), &c), c, "{:?} c[{m}][{n}]", form.mma);
            }
        }
    }
}

/// Numbers in (-1, 1) with few bits, so that every operand type holds them exactly.
fn random_matrix(fragment: &Fragment, state: &mut u64) -> Matrix {
    let mut next = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 56) as f64 - 127.5) / 128.0
    };
    let mut matrix = zeros(fragment);
    matrix.iter_mut().flatten().for_each(|x| *x = (next() * 128.0).trunc() / 128.0);
    matrix
}

#[test]
fn random_products_are_the_f64_product_rounded_once() {
    let mut state = 7;
    for form in forms() {
        for _ in 0..20 {
            let Shape { a: fa, b: fb, c: fc, .. } = form.shape;
            let (a, b, c) = (
                random_matrix(&fa, &mut state),
                random_matrix(&fb, &mut state),
                random_matrix(&fc, &mut state),
            );
            let got = run(&form, &a, &b, &c);
            for m in 0..fc.rows {
                for n in 0..fc.columns {
                    // 7-bit numbers: the sum is exact in f64, so this is the one right answer.
                    let sum = c[m][n] + (0..fa.columns).map(|k| a[m][k] * b[k][n]).sum::<f64>();
                    let expected = (form.result)((form.accumulator)(sum));
                    assert_eq!(got[m][n], expected, "{:?} d[{m}][{n}]", form.mma);
                }
            }
        }
    }
}

#[test]
fn sums_are_rounded_once_and_not_at_every_step() {
    // 2^24 + 1 + 1 in f32: step by step it stays 2^24.
    let form = &forms()[0];
    let (mut a, mut b, mut c) = (zeros(&M16N8K16.a), zeros(&M16N8K16.b), zeros(&M16N8K16.c));
    c[0][0] = 16_777_216.0;
    for k in 0..2 {
        a[0][k] = 1.0;
        b[k][0] = 1.0;
    }
    assert_eq!(run(form, &a, &b, &c)[0][0], 16_777_218.0);
}

#[test]
fn infinities_nans_and_subnormals_go_through() {
    for form in forms() {
        let Shape { a: fa, b: fb, c: fc, .. } = form.shape;
        let (mut a, mut b) = (zeros(&fa), zeros(&fb));
        a[0][0] = f64::INFINITY;
        b[0][0] = 1.0;
        let d = run(&form, &a, &b, &zeros(&fc));
        assert_eq!(d[0][0], f64::INFINITY, "{:?}", form.mma);
        assert!(d[0][1].is_nan(), "{:?}: infinity times zero", form.mma);
        a[0][0] = 2f64.powi(-24);
        assert_eq!(run(&form, &a, &b, &zeros(&fc))[0][0], 2f64.powi(-24), "{:?}: a subnormal f16", form.mma);
    }
    let nan = [[0x7fc0_7fc0; 32]; 4];
    let d = mma_m16n8k16(&nan, &[[0x3f80_3f80; 32]; 2], &[[0.0; 32]; 4], Half::Bf16);
    assert!(d.iter().flatten().all(|x| x.to_bits() == 0x7fff_ffff));
}

#[test]
fn tf32_ignores_the_low_bits() {
    let exact = [[1.0f32.to_bits(); 32]; 4];
    let dirty = exact.map(|lanes| lanes.map(|bits| bits | 0x1fff));
    let (b, c) = ([[2.0f32.to_bits(); 32]; 2], [[0.5; 32]; 4]);
    assert_eq!(mma_m16n8k8_tf32(&dirty, &b, &c), mma_m16n8k8_tf32(&exact, &b, &c));
}

#[test]
fn a_wrong_number_of_registers_is_refused() {
    let lanes = [[0; 32]; 4];
    assert_eq!(Mma::K16F16.apply(&lanes, &lanes[..2], &lanes), None);
    assert_eq!(Mma::F64.apply(&lanes, &lanes[..1], &lanes[..2]), None);
    assert_eq!(Mma::find("m16n8k16", ["f32", "f16", "bf16", "f32"]), None);
    assert_eq!(Mma::find("m8n8k4", ["f64"; 4]), Some(Mma::F64));
}

fn counted_tile() -> Tile {
    std::array::from_fn(|row| std::array::from_fn(|column| (100 * row + column) as u16))
}

#[test]
fn a_loaded_tile_is_the_first_quarter_of_a_and_transposed_the_first_half_of_b() {
    let tile = counted_tile();
    let (plain, turned) = (load_tile(&tile, false), load_tile(&tile, true));
    for lane in 0..32 {
        for half in 0..2 {
            let (row, column) = M16N8K16.a.place(lane, half);
            assert_eq!((plain[lane] >> (16 * half)) as u16, tile[row][column], "lane {lane} half {half}");
            let (k, n) = M16N8K16.b.place(lane, half);
            assert_eq!((turned[lane] >> (16 * half)) as u16, tile[k][n], "lane {lane} half {half}");
        }
    }
    assert_eq!((plain[5], turned[5]), (103 << 16 | 102, 301 << 16 | 201));
}

#[test]
fn one_hot_tiles_light_one_half_register_and_come_back() {
    for transposed in [false, true] {
        for row in 0..8 {
            for column in 0..8 {
                let mut tile = [[0; 8]; 8];
                tile[row][column] = 0xabcd;
                let registers = load_tile(&tile, transposed);
                assert_eq!(registers.iter().filter(|&&bits| bits != 0).count(), 1);
                assert_eq!(store_tile(&registers, transposed), tile);
            }
        }
    }
}

/// The page with the diagrams, as it must be committed.
fn page() -> String {
    let mut text = String::new();
    for shape in SHAPES {
        for f in [shape.a, shape.b, shape.c] {
            if f.letter == 'c' && shape.name.starts_with("m16") && shape.name != "m16n8k16" {
                continue;
            }
            let title = format!("`{}`, {} ({}×{})", shape.name, f.letter.to_uppercase(), f.rows, f.columns);
            write!(text, "{title}\n\n```text\n{}```\n\n", f.diagram()).unwrap();
        }
    }
    text
}

#[test]
fn the_printed_diagrams_are_those_of_the_code() {
    let committed = include_str!("fragments.md");
    assert_eq!(committed.trim_end(), page().trim_end(), "fragments.md must hold this:\n{}", page());
}
