//! The bf16 engine for Intel's matrix tiles (AMX-BF16): tiles of up to 32 rows by 32 columns, each a 2 x 2 of hardware
//! tiles, which take 16 pairs of k in one instruction.
//!
//! Order of a sum (Intel SDM, TDPBF16PS): for each 32 values of k two chains of fused multiply-adds start from zero, one
//! over k = 0, 2, …, one over k = 1, 3, …; their sum is added to the sum so far. Subnormal inputs and results count as
//! zero. A K that is no multiple of 32 is padded with zeros, which add nothing.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::marker::PhantomData;
use std::sync::OnceLock;

use half::bf16;

use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pairs::PairSource;
use super::view::View;
use super::{avx512_bf16, pack_pairs};

/// bf16 products on matrix tiles, from a source of bf16 or f32.
pub(super) struct Amx<S>(PhantomData<S>);

/// Rows of a hardware tile, columns of its sums, and pairs of k.
const SIDE: usize = 16;

/// Whether this processor has matrix tiles for bf16.
pub(super) fn present() -> bool {
    /// AMX-BF16 and AMX-TILE in the flags of leaf 7 (Intel SDM, CPUID, EDX).
    const FLAGS: u32 = 1 << 22 | 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & FLAGS == FLAGS
}

/// Whether this process may use them, and pack for them.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| present() && avx512_bf16::available() && permitted())
}

/// Asks the kernel for the tiles' state, 8 KiB per thread, which a process must do once before it uses them
/// (Linux, Documentation/arch/x86/xstate.rst).
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call reads and writes no memory of ours; `syscall` changes rcx and r11 beside its result.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

/// How other systems are asked is not known here.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

impl<S: PairSource> Engine for Amx<S> {
    type Source = S;
    type Packed = bf16;
    const LANES: usize = SIDE;
    const MR: usize = 2 * SIDE;
    const NV: usize = 2;
    const K_STEP: usize = 2 * SIDE;
    const KC: usize = 32;
    const ROW_UNIT: usize = SIDE;

    fn direct_a(a: View<S>, k: usize) -> Option<Lhs<bf16>> {
        let whole = S::IS_BF16 && a.col_stride == 1 && k.is_multiple_of(Self::K_STEP);
        whole.then_some(Lhs::strided(a.ptr.cast(), a.row_stride, Self::K_STEP))
    }

    fn direct_b(_b: View<S>) -> Option<Rhs<bf16>> {
        None
    }

    unsafe fn pack_a(a: View<S>, rows: usize, k: usize, out: *mut bf16) -> Lhs<bf16> {
        // SAFETY: the caller's promise.
        unsafe { pack_pairs::pack_a(a, (rows, k), Self::K_STEP, out) }
    }

    unsafe fn pack_b(b: View<S>, k: usize, cols: usize, nv: usize, out: *mut bf16) {
        // SAFETY: the caller's promise.
        unsafe { pack_pairs::pack_b(b, (k, cols), nv * SIDE, Self::K_STEP, out) }
    }

    unsafe fn tile(mr: usize, nv: usize, t: &Tile<bf16>) {
        // SAFETY: the caller's promise; each kernel has the hardware tiles that the sizes need.
        unsafe {
            match (mr > SIDE, nv > 1) {
                (false, false) => tiles_1x1(mr, t),
                (false, true) => tiles_1x2(mr, t),
                (true, false) => tiles_2x1(mr, t),
                (true, true) => tiles_2x2(mr, t),
            }
        }
    }
}

/// The operand of `ldtilecfg`: bytes per row and rows of each tile (Intel SDM, LDTILECFG).
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Tiles 0 to 3 hold the sums, row by row; 4 and 5 the rows of A; 6 and 7 the columns of B.
    fn new(mr: usize, nv: usize, tail: usize) -> Self {
        let (upper, lower) = (mr.min(SIDE) as u8, mr.saturating_sub(SIDE) as u8);
        let whole = (4 * SIDE) as u16;
        let last = 4 * tail as u16;
        let (left, right) = if nv > 1 { (whole, last) } else { (last, 0) };
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        row_bytes[..8].copy_from_slice(&[left, right, left, right, whole, whole, left, right]);
        rows[..8].copy_from_slice(&[upper, upper, lower, lower, upper, lower, SIDE as u8, SIDE as u8]);
        // A tile with no rows must have no bytes, and the other way round.
        for i in 0..8 {
            if rows[i] == 0 || row_bytes[i] == 0 {
                (rows[i], row_bytes[i]) = (0, 0);
            }
        }
        Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }
}

/// The line if there are two of what it is for, else none.
macro_rules! second {
    (1, $line:literal) => {
        ""
    };
    (2, $line:literal) => {
        $line
    };
}

/// One kernel for each number of hardware tiles down and across. All in one block: no Rust code may run between
/// instructions that hold something in tiles.
macro_rules! kernel {
    ($name:ident, $down:tt, $across:tt, $below:tt) => {
        /// # Safety
        /// As [`Engine::tile`].
        unsafe fn $name(mr: usize, t: &Tile<bf16>) {
            let config = Config::new(mr, $across, t.tail);
            // SAFETY: the configured tiles cover the rows and columns that the caller says are there.
            unsafe {
                asm!(
                    "ldtilecfg [{config}]",
                    "test {resume}, {resume}",
                    "jz 2f",
                    "tileloadd tmm0, [{c0} + {c_row}]",
                    second!($across, "tileloadd tmm1, [{c0} + {c_row} + 64]"),
                    second!($down, "tileloadd tmm2, [{c1} + {c_row}]"),
                    second!($below, "tileloadd tmm3, [{c1} + {c_row} + 64]"),
                    "jmp 3f",
                    "2:",
                    "tilezero tmm0",
                    second!($across, "tilezero tmm1"),
                    second!($down, "tilezero tmm2"),
                    second!($below, "tilezero tmm3"),
                    "3:",
                    "tileloadd tmm6, [{b} + {b_row}]",
                    "tileloadd tmm4, [{a0} + {a_row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    second!($across, "tileloadd tmm7, [{b} + {b_row} + 64]"),
                    second!($across, "tdpbf16ps tmm1, tmm4, tmm7"),
                    second!($down, "tileloadd tmm5, [{a1} + {a_row}]"),
                    second!($down, "tdpbf16ps tmm2, tmm5, tmm6"),
                    second!($below, "tdpbf16ps tmm3, tmm5, tmm7"),
                    "add {a0}, 64",
                    "add {a1}, 64",
                    "add {b}, {b_step}",
                    "dec {k}",
                    "jnz 3b",
                    "tilestored [{c0} + {c_row}], tmm0",
                    second!($across, "tilestored [{c0} + {c_row} + 64], tmm1"),
                    second!($down, "tilestored [{c1} + {c_row}], tmm2"),
                    second!($below, "tilestored [{c1} + {c_row} + 64], tmm3"),
                    // Leaves the tiles in their initial state, which costs nothing at a change of threads.
                    "tilerelease",
                    "/* {c1} */",
                    config = in(reg) &config,
                    resume = in(reg) u64::from(t.resume),
                    k = inout(reg) t.k => _,
                    a0 = inout(reg) t.a => _,
                    a1 = inout(reg) t.a.wrapping_add(SIDE * t.a_row) => _,
                    a_row = in(reg) t.a_row * 2,
                    b = inout(reg) t.b => _,
                    b_row = in(reg) $across * SIDE * 4,
                    b_step = in(reg) t.b_step * 2,
                    c0 = in(reg) t.c,
                    c1 = in(reg) t.c.wrapping_add(SIDE * t.c_row),
                    c_row = in(reg) t.c_row * 4,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(tiles_1x1, 1, 1, 1);
kernel!(tiles_1x2, 1, 2, 1);
kernel!(tiles_2x1, 2, 1, 1);
kernel!(tiles_2x2, 2, 2, 2);
