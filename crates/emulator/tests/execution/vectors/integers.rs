//! Integers and bits, in 128-bit arithmetic.

use super::floats::truncated;

/// The result of an instruction of one lane, if it is one on integers.
pub fn expected(name: &str, lane: &[u64]) -> Option<u64> {
    if let Some(table) = name.strip_prefix("lop3.b32 0x") {
        let table = u32::from_str_radix(table, 16).ok()?;
        let bit = |at: u32| lane.iter().fold(0, |place, word| place << 1 | (word >> at & 1) as u32);
        return Some((0..32).map(|at| u64::from(table >> bit(at) & 1) << at).sum());
    }
    let words: Vec<&str> = name.split('.').collect();
    let (&base, forms) = words.split_first()?;
    if base == "cvt" || base == "prmt" {
        return if base == "prmt" { Some(permuted(forms.get(1).copied(), lane)) } else { None };
    }
    if base == "dp4a" || base == "dp2a" {
        return Some(dot(base, forms, lane));
    }
    let kind = *forms.last()?;
    let (sign, width) = kind.split_at(1);
    let (is_signed, bits): (bool, u32) = (sign == "s", width.parse().ok()?);
    if !["s", "u", "b"].contains(&sign) {
        return None;
    }
    let value: Vec<i128> = lane.iter().map(|&word| truncated(word.into(), bits, is_signed)).collect();
    let (a, b, c) = (value[0], value.get(1).copied().unwrap_or(0), value.get(2).copied().unwrap_or(0));
    let (low, high) =
        if is_signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    // A product of 64 bits without sign needs all 128.
    let product = || {
        let (whole, low) = if is_signed { ((a * b) as u128, a * b) } else { (a as u128 * b as u128, 0) };
        match (forms[0], is_signed) {
            ("hi", true) => low >> bits,
            ("hi", false) => (whole >> bits) as i128,
            _ => (whole & u128::from(u64::MAX)) as i128,
        }
    };
    // 24 bits of each factor; `hi` is bits 16 to 47 of the product.
    let short = || {
        let product = truncated(a, 24, is_signed) * truncated(b, 24, is_signed);
        truncated(if forms[0] == "hi" { product >> 16 } else { product }, 32, is_signed)
    };
    let bounded = |sum: i128| if forms.contains(&"sat") { sum.clamp(low, high) } else { sum };
    let amount = lane.get(1).map_or(0, |&by| (by & 0xffff_ffff) as u32);
    let result = match base {
        "add" => bounded(a + b),
        "sub" => bounded(a - b),
        "mul" if forms[0] == "wide" => return Some((a * b) as u64),
        "mul" => product(),
        "mad" => bounded(truncated(product(), bits, is_signed) + c),
        "mul24" => short(),
        "mad24" => short() + c,
        "div" => a / b,
        "rem" => a % b,
        "min" => a.min(b),
        "max" => a.max(b),
        "abs" => a.abs(),
        "neg" => -a,
        "sad" => c + (a - b).abs(),
        "and" => a & b,
        "or" => a | b,
        "xor" => a ^ b,
        "not" => !a,
        "cnot" => i128::from(a == 0),
        "shl" => {
            if amount >= bits {
                0
            } else {
                a << amount
            }
        }
        "shr" => a >> amount.min(100),
        "popc" => i128::from(lane[0].count_ones()),
        "clz" => (0..bits).take_while(|at| lane[0] >> (bits - 1 - at) & 1 == 0).count() as i128,
        "brev" => (0..bits).map(|at| i128::from(lane[0] >> at & 1) << (bits - 1 - at)).sum(),
        "bfind" => {
            let of_interest = if is_signed && a < 0 { !a } else { a };
            match (0..bits).rev().find(|at| of_interest >> at & 1 != 0) {
                None => return Some(0xffff_ffff),
                Some(at) if forms.contains(&"shiftamt") => i128::from(bits - 1 - at),
                Some(at) => i128::from(at),
            }
        }
        "bfe" => field(a, lane[1], lane[2], bits, is_signed),
        "bfi" => {
            let (start, length) = ((lane[2] & 0xff) as u32, (lane[3] & 0xff) as u32);
            (0..bits).fold(b, |word, at| {
                let is_inside = at >= start && at < start + length;
                if is_inside { word & !(1 << at) | (a >> (at - start) & 1) << at } else { word }
            })
        }
        "shf" => funnel(forms, lane),
        _ => return None,
    };
    Some((result & ((1 << bits.max(if base == "clz" || base == "popc" { 32 } else { bits })) - 1)) as u64)
}

/// Bits `start` upwards, `length` of them; beyond the value, or beyond the field, the sign of what is highest there.
fn field(a: i128, start: u64, length: u64, bits: u32, is_signed: bool) -> i128 {
    let (start, length) = ((start & 0xff) as u32, (length & 0xff) as u32);
    let top = (start + length).saturating_sub(1).min(bits - 1);
    let sign = if is_signed && length > 0 { a >> top & 1 } else { 0 };
    (0..bits)
        .map(|at| {
            let is_inside = at < length && start + at < bits;
            (if is_inside { a >> (start + at) & 1 } else { sign }) << at
        })
        .sum()
}

fn funnel(forms: &[&str], lane: &[u64]) -> i128 {
    let both = i128::from(lane[1]) << 32 | i128::from(lane[0]);
    let by = if forms[1] == "wrap" { lane[2] & 31 } else { lane[2].min(32) };
    if forms[0] == "l" { both << by >> 32 } else { both >> by }
}

fn byte(word: u64, at: usize, is_signed: bool) -> i128 {
    truncated(i128::from(word >> (8 * at)), 8, is_signed)
}

fn dot(base: &str, forms: &[&str], lane: &[u64]) -> u64 {
    let (first, second) = (forms[forms.len() - 2] == "s32", forms[forms.len() - 1] == "s32");
    let sum: i128 = if base == "dp4a" {
        (0..4).map(|at| byte(lane[0], at, first) * byte(lane[1], at, second)).sum()
    } else {
        let skipped = if forms[0] == "hi" { 2 } else { 0 };
        let word = |at: usize| truncated(i128::from(lane[0] >> (16 * at)), 16, first);
        (0..2).map(|at| word(at) * byte(lane[1], skipped + at, second)).sum()
    };
    ((sum + i128::from(lane[2])) & 0xffff_ffff) as u64
}

/// The tables of the manual: for each mode and control the bytes, highest first.
fn permuted(mode: Option<&str>, lane: &[u64]) -> u64 {
    let bytes: Vec<u64> = (0..8).map(|at| lane[at / 4] >> (8 * (at % 4)) & 0xff).collect();
    let control = (lane[2] & 3) as usize;
    let table: [&str; 4] = match mode {
        Some("f4e") => ["3210", "4321", "5432", "6543"],
        Some("b4e") => ["5670", "6701", "7012", "0123"],
        Some("rc8") => ["0000", "1111", "2222", "3333"],
        Some("ecl") => ["3210", "3211", "3222", "3333"],
        Some("ecr") => ["0000", "1110", "2210", "3210"],
        Some(_) => ["1010", "3232", "1010", "3232"],
        None => {
            return (0..4)
                .map(|at| {
                    let select = lane[2] >> (4 * at) & 15;
                    let byte = bytes[(select & 7) as usize];
                    let sign = if byte & 0x80 != 0 { 0xff } else { 0 };
                    (if select & 8 != 0 { sign } else { byte }) << (8 * at)
                })
                .sum();
        }
    };
    table[control].bytes().fold(0, |word, digit| word << 8 | bytes[usize::from(digit - b'0')])
}
