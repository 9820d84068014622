//! The registers of one warp: each a row of 32 lanes, so that an instruction is a loop over a row.

use half::{bf16, f16};

/// Lanes of a warp.
pub(crate) const LANES: usize = 32;
/// A value for each lane.
pub(crate) type Row<T> = [T; LANES];
/// Set in the index of a predicate that is read negated.
pub(crate) const NEGATED: u32 = 1 << 31;

/// A register file. Registers of one width share a file, whatever their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum File {
    Pred,
    B16,
    B32,
    B64,
}

impl File {
    /// The width of its registers in bytes.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            File::Pred => 1,
            File::B16 => 2,
            File::B32 => 4,
            File::B64 => 8,
        }
    }
}

/// How many registers each file holds, constants included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileSizes {
    pub(crate) pred: u32,
    pub(crate) b16: u32,
    pub(crate) b32: u32,
    pub(crate) b64: u32,
}

impl FileSizes {
    pub(crate) fn of(&mut self, file: File) -> &mut u32 {
        match file {
            File::Pred => &mut self.pred,
            File::B16 => &mut self.b16,
            File::B32 => &mut self.b32,
            File::B64 => &mut self.b64,
        }
    }
}

/// The registers of a warp.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registers {
    /// A bit for each lane.
    pub(crate) pred: Vec<u32>,
    pub(crate) b16: Vec<Row<u16>>,
    pub(crate) b32: Vec<Row<u32>>,
    pub(crate) b64: Vec<Row<u64>>,
    /// The carry flag of `add.cc` and kin, a bit for each lane.
    pub(crate) carry: u32,
    /// The seed by which approximate results are nudged, if they are.
    pub(crate) nudge: Option<u64>,
}

impl Registers {
    pub(crate) fn new(sizes: FileSizes) -> Registers {
        Registers {
            pred: vec![0; sizes.pred as usize],
            b16: vec![[0; LANES]; sizes.b16 as usize],
            b32: vec![[0; LANES]; sizes.b32 as usize],
            b64: vec![[0; LANES]; sizes.b64 as usize],
            carry: 0,
            nudge: None,
        }
    }

    /// The lanes where a predicate holds.
    pub(crate) fn pred(&self, index: u32) -> u32 {
        let bits = self.pred[(index & !NEGATED) as usize];
        if index & NEGATED == 0 { bits } else { !bits }
    }

    /// A register of any file, each lane zero-extended.
    pub(crate) fn wide(&self, file: File, index: u32) -> Row<u64> {
        match file {
            File::Pred => bool::of(self, index).map(u64::from),
            File::B16 => self.b16[index as usize].map(u64::from),
            File::B32 => self.b32[index as usize].map(u64::from),
            File::B64 => self.b64[index as usize],
        }
    }

    /// Writes the low bits of `values` into the lanes of `mask` of a register of any file.
    pub(crate) fn put_wide(&mut self, file: File, index: u32, mask: u32, values: &Row<u64>) {
        match file {
            File::Pred => bool::put(self, index, mask, values.map(|v| v & 1 != 0)),
            File::B16 => u16::put(self, index, mask, values.map(|v| v as u16)),
            File::B32 => u32::put(self, index, mask, values.map(|v| v as u32)),
            File::B64 => u64::put(self, index, mask, *values),
        }
    }
}

/// A type that a register can be read and written as.
pub(crate) trait Value: Copy {
    /// The file that holds it.
    const FILE: File;
    /// All lanes of a register.
    fn of(registers: &Registers, index: u32) -> Row<Self>;
    /// Writes the lanes of `mask`.
    fn put(registers: &mut Registers, index: u32, mask: u32, values: Row<Self>);
}

macro_rules! values {
    ($($type:ty, $file:ident, $field:ident, |$bits:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl Value for $type {
            const FILE: File = File::$file;

            #[inline(always)]
            fn of(registers: &Registers, index: u32) -> Row<Self> {
                registers.$field[index as usize].map(|$bits| $from)
            }

            #[inline(always)]
            fn put(registers: &mut Registers, index: u32, mask: u32, values: Row<Self>) {
                let row = &mut registers.$field[index as usize];
                if mask == u32::MAX {
                    *row = values.map(|$value| $to);
                    return;
                }
                for lane in 0..LANES {
                    let $value = values[lane];
                    row[lane] = if mask >> lane & 1 != 0 { $to } else { row[lane] };
                }
            }
        }
    )*};
}

values! {
    u16, B16, b16, |bits| bits, |value| value;
    i16, B16, b16, |bits| bits as i16, |value| value as u16;
    f16, B16, b16, |bits| f16::from_bits(bits), |value| value.to_bits();
    bf16, B16, b16, |bits| bf16::from_bits(bits), |value| value.to_bits();
    u32, B32, b32, |bits| bits, |value| value;
    i32, B32, b32, |bits| bits as i32, |value| value as u32;
    f32, B32, b32, |bits| f32::from_bits(bits), |value| value.to_bits();
    [f16; 2], B32, b32,
        |bits| [f16::from_bits(bits as u16), f16::from_bits((bits >> 16) as u16)],
        |value| u32::from(value[0].to_bits()) | u32::from(value[1].to_bits()) << 16;
    [bf16; 2], B32, b32,
        |bits| [bf16::from_bits(bits as u16), bf16::from_bits((bits >> 16) as u16)],
        |value| u32::from(value[0].to_bits()) | u32::from(value[1].to_bits()) << 16;
    u64, B64, b64, |bits| bits, |value| value;
    i64, B64, b64, |bits| bits as i64, |value| value as u64;
    f64, B64, b64, |bits| f64::from_bits(bits), |value| value.to_bits();
}

impl Value for bool {
    const FILE: File = File::Pred;

    #[inline(always)]
    fn of(registers: &Registers, index: u32) -> Row<bool> {
        let bits = registers.pred(index);
        std::array::from_fn(|lane| bits >> lane & 1 != 0)
    }

    #[inline(always)]
    fn put(registers: &mut Registers, index: u32, mask: u32, values: Row<bool>) {
        let mut bits = 0;
        for lane in 0..LANES {
            bits |= u32::from(values[lane]) << lane;
        }
        let row = &mut registers.pred[index as usize];
        *row = (*row & !mask) | (bits & mask);
    }
}

/// The lanes of a mask, lowest first.
pub(crate) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        let lane = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (lane < LANES).then_some(lane)
    })
}
