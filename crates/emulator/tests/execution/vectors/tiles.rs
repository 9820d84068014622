//! What the lanes of a warp do together.

use super::Expected::{self, Bits, Number};
use super::exact::{BF16, F16, F32, Grid};

/// The outputs of each lane, if the instruction is of this kind.
pub fn expected(name: &str, warp: &[Vec<u64>]) -> Option<Vec<Vec<Expected>>> {
    let words: Vec<&str> = name.split(['.', ' ']).collect();
    let first: Vec<u64> = warp.iter().map(|lane| *lane.first().unwrap_or(&0)).collect();
    let everywhere = |bits: u64| (0..32).map(|_| vec![Bits(bits)]).collect();
    Some(match words[0] {
        "shfl" => shuffled(&words, &first),
        "vote" if words[2] == "ballot" => {
            everywhere(first.iter().enumerate().map(|(lane, value)| (value & 1) << lane).sum())
        }
        "vote" => {
            let count = first.iter().filter(|&&value| value != 0).count();
            everywhere(u64::from(match words[2] {
                "all" => count == 32,
                "any" => count > 0,
                _ => count % 32 == 0,
            }))
        }
        "match" => {
            let equal = |lane: usize| {
                (0..32).filter(|&other| first[other] == first[lane]).map(|other| 1u64 << other).sum()
            };
            let whole = first.iter().all(|value| *value == first[0]);
            let all = [u64::from(whole) * 0xffff_ffff, u64::from(whole)];
            let one = |lane| if words[1] == "any" { vec![Bits(equal(lane))] } else { all.map(Bits).into() };
            (0..32).map(one).collect()
        }
        "redux" => everywhere(reduced(words[2], words[3], &first)),
        "activemask" => everywhere(0xffff_ffff),
        "atom" => warp.iter().map(|lane| atomic(words[2], words[3], lane)).collect(),
        "ldmatrix" => loaded(&words, warp),
        "movmatrix" => (0..32).map(|lane| vec![Bits(element_pair(lane, &first, true))]).collect(),
        "mma" => product(&words, warp),
        _ => return None,
    })
}

fn shuffled(words: &[&str], values: &[u64]) -> Vec<Vec<Expected>> {
    let by: i64 = words[4].parse().unwrap();
    let clamp = i64::from_str_radix(words[5].trim_start_matches("0x"), 16).unwrap();
    let (bound, segment) = (clamp & 31, clamp >> 8 & 31);
    let lane = |lane: i64| {
        let (last, first) = ((lane & segment) | (bound & !segment & 31), lane & segment);
        let (source, is_inside) = match words[2] {
            "up" => (lane - by, lane - by >= last),
            "down" => (lane + by, lane + by <= last),
            "bfly" => (lane ^ by, lane ^ by <= last),
            _ => (first | (by & !segment & 31), first | (by & !segment & 31) <= last),
        };
        vec![Bits(values[if is_inside { source } else { lane } as usize]), Bits(is_inside.into())]
    };
    (0..32).map(lane).collect()
}

fn reduced(operation: &str, kind: &str, values: &[u64]) -> u64 {
    let signed = |value: &u64| i64::from(*value as u32 as i32);
    let result = match (operation, kind) {
        ("add", _) => values.iter().sum::<u64>() as i64,
        ("min", "s32") => values.iter().map(signed).min().unwrap(),
        ("max", "s32") => values.iter().map(signed).max().unwrap(),
        ("min", _) => *values.iter().min().unwrap() as i64,
        ("max", _) => *values.iter().max().unwrap() as i64,
        ("and", _) => values.iter().fold(u64::MAX, |all, value| all & value) as i64,
        ("or", _) => values.iter().fold(0, |all, value| all | value) as i64,
        _ => values.iter().fold(0, |all, value| all ^ value) as i64,
    };
    result as u64 & 0xffff_ffff
}

/// What was there, and what is there afterwards.
fn atomic(operation: &str, kind: &str, lane: &[u64]) -> Vec<Expected> {
    let (old, new) = (lane[0], lane[1]);
    let signed = |value: u64| i64::from(value as u32 as i32);
    let left = match (operation, kind) {
        ("add", "f32") => {
            let sum = f32::from_bits(old as u32) + f32::from_bits(new as u32);
            u64::from(sum.to_bits())
        }
        ("add", _) => (old + new) & 0xffff_ffff,
        ("min", "s32") => {
            if signed(old) < signed(new) {
                old
            } else {
                new
            }
        }
        ("max", "s32") => {
            if signed(old) > signed(new) {
                old
            } else {
                new
            }
        }
        ("min", _) => old.min(new),
        ("max", _) => old.max(new),
        ("and", _) => old & new,
        ("or", _) => old | new,
        ("xor", _) => old ^ new,
        ("exch", _) => new,
        ("inc", _) => {
            if old >= new {
                0
            } else {
                old + 1
            }
        }
        ("dec", _) => {
            if old == 0 || old > new {
                new
            } else {
                old - 1
            }
        }
        _ => {
            if old == new {
                lane[2]
            } else {
                old
            }
        }
    };
    vec![Bits(old), Bits(left)]
}

/// A tile of 8 rows of 8 elements, laid down as 4 words a row, as a lane's register holds it: row n / 4 of lane n, and two
/// elements beside each other.
fn pair_of_tile(lane: usize, rows: &[Vec<u64>], transposed: bool) -> u64 {
    let element = |row: usize, column: usize| rows[row][column / 2] >> (16 * (column % 2)) & 0xffff;
    let (row, column) = (lane / 4, lane % 4 * 2);
    let [low, high] =
        [0, 1].map(|at| if transposed { element(column + at, row) } else { element(row, column + at) });
    low | high << 16
}

fn loaded(words: &[&str], warp: &[Vec<u64>]) -> Vec<Vec<Expected>> {
    let count = words.iter().find_map(|word| word.strip_prefix('x')).unwrap().parse().unwrap();
    let transposed = words.contains(&"trans");
    let register = |lane, tile: usize| Bits(pair_of_tile(lane, &warp[8 * tile..8 * tile + 8], transposed));
    (0..32).map(|lane| (0..count).map(|tile| register(lane, tile)).collect()).collect()
}

/// A register of each lane as a tile, and back.
fn element_pair(lane: usize, registers: &[u64], transposed: bool) -> u64 {
    let rows: Vec<Vec<u64>> = registers.chunks(4).map(<[u64]>::to_vec).collect();
    pair_of_tile(lane, &rows, transposed)
}

/// Where register r and its half e of a lane lie in a matrix, by the diagrams of the manual: (row, column).
type Place = fn(group: usize, thread: usize, r: usize, e: usize) -> (usize, usize);

struct Form {
    m: usize,
    k: usize,
    /// The format of A and B, and of C and D; `None` is double precision.
    input: Option<Grid>,
    output: Option<Grid>,
    /// Elements of a register of A and B, and of C and D.
    packed: [usize; 2],
    a: Place,
    b: Place,
    c: Place,
}

fn form(words: &[&str]) -> Form {
    let (shape, output, input) = (words[3], words[6], words[7]);
    let grid = |kind: &str| match kind {
        "f16" => Some(F16),
        "bf16" => Some(BF16),
        "f32" | "tf32" => Some(F32),
        _ => None,
    };
    let is_half = matches!(input, "f16" | "bf16");
    let c: Place = match output {
        "f16" => |g, t, r, e| (g + 8 * r, 2 * t + e),
        _ => |g, t, r, _| (g + 8 * (r / 2), 2 * t + r % 2),
    };
    let (a, b): (Place, Place) = match (shape, is_half) {
        ("m16n8k16", _) => {
            (|g, t, r, e| (g + 8 * (r % 2), 2 * t + e + 8 * (r / 2)), |g, t, r, e| (2 * t + e + 8 * r, g))
        }
        ("m16n8k8", true) => (|g, t, r, e| (g + 8 * r, 2 * t + e), |g, t, _, e| (2 * t + e, g)),
        ("m16n8k8", false) => (|g, t, r, _| (g + 8 * (r % 2), t + 4 * (r / 2)), |g, t, r, _| (t + 4 * r, g)),
        ("m16n8k4", _) => (|g, t, r, _| (g + 8 * r, t), |g, t, _, _| (t, g)),
        _ => (|g, t, _, _| (g, t), |g, t, _, _| (t, g)),
    };
    let m = if shape == "m8n8k4" { 8 } else { 16 };
    let k = shape.rsplit('k').next().unwrap().parse().unwrap();
    let packed = [if is_half { 2 } else { 1 }, if output == "f16" { 2 } else { 1 }];
    Form { m, k, input: grid(input), output: grid(output), packed, a, b, c }
}

/// The elements of some registers of all lanes, as a matrix of `columns` columns.
fn gather(
    warp: &[Vec<u64>],
    registers: std::ops::Range<usize>,
    place: Place,
    packed: usize,
    grid: Option<Grid>,
    size: [usize; 2],
) -> Vec<f64> {
    let mut matrix = vec![f64::NAN; size[0] * size[1]];
    for (lane, words) in warp.iter().enumerate() {
        for (r, word) in words[registers.clone()].iter().enumerate() {
            for e in 0..packed {
                let (row, column) = place(lane / 4, lane % 4, r, e);
                let bits = if packed == 2 { word >> (16 * e) & 0xffff } else { *word };
                matrix[row * size[1] + column] = grid.map_or(f64::from_bits(bits), |grid| grid.value(bits));
            }
        }
    }
    assert!(matrix.iter().all(|element| !element.is_nan()), "the diagrams leave elements out");
    matrix
}

fn product(words: &[&str], warp: &[Vec<u64>]) -> Vec<Vec<Expected>> {
    let form = form(words);
    let (m, k) = (form.m, form.k);
    let count = |elements: usize, packed: usize| elements / 32 / packed;
    let [a, b, c] =
        [count(m * k, form.packed[0]), count(k * 8, form.packed[0]), count(m * 8, form.packed[1])];
    let left = gather(warp, 0..a, form.a, form.packed[0], form.input, [m, k]);
    let right = gather(warp, a..a + b, form.b, form.packed[0], form.input, [k, 8]);
    let start = gather(warp, a + b..a + b + c, form.c, form.packed[1], form.output, [m, 8]);
    let is_whole = words.last() == Some(&"whole");
    let element = |lane: usize, r: usize, e: usize| {
        let (row, column) = (form.c)(lane / 4, lane % 4, r, e);
        (0..k).map(|at| left[row * k + at] * right[at * 8 + column]).sum::<f64>() + start[row * 8 + column]
    };
    let bits = |number: f64| form.output.map_or(number.to_bits(), |grid| super::exact::rounded(grid, number));
    let register = |lane: usize, r: usize| {
        if form.packed[1] == 2 {
            return Bits(bits(element(lane, r, 0)) | bits(element(lane, r, 1)) << 16);
        }
        let number = element(lane, r, 0);
        if is_whole { Bits(bits(number)) } else { Number(number) }
    };
    (0..32).map(|lane| (0..c).map(|r| register(lane, r)).collect()).collect()
}
