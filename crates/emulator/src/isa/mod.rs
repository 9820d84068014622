//! The instructions, one file per family. Each file reads the forms of its opcodes and says what they do.

mod approximate;
mod arithmetic;
mod atomic;
mod bits;
mod carry;
mod compare;
mod control;
mod convert;
mod copy;
mod float;
mod half;
mod integer;
mod load;
mod matrix;
mod moves;
mod print;
mod rounding;
mod special;
mod warp;
mod wmma;

use crate::code::Action;
use crate::decode::decoder::Decoder;
use crate::ptx::Mistake;

/// What a family makes of an instruction; `None` if the opcode is not its own or the form is unknown to it.
type Found = Result<Option<Action>, Mistake>;

/// Decodes an instruction: fills `decoder.out` but for the action, and returns that.
///
/// # Errors
///
/// An opcode or a form of it that no family knows, and operands that do not fit.
pub(crate) fn decode(decoder: &mut Decoder<'_, '_, '_>) -> Result<Action, Mistake> {
    let family = match decoder.base {
        "add" | "sub" | "mul" | "mad" | "fma" | "neg" | "abs" | "min" | "max" | "div" => arithmetic::decode,
        "addc" | "subc" | "madc" => carry::decode,
        "mul24" | "mad24" | "sad" | "rem" | "popc" | "clz" | "bfind" | "brev" | "bfe" | "bfi" | "bmsk"
        | "szext" | "dp4a" | "dp2a" | "fns" => bits::decode,
        "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "lop3" | "prmt" => bits::decode,
        "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "ex2" | "lg2" | "tanh" | "copysign" | "testp" => {
            special::decode
        }
        "setp" | "set" | "selp" | "slct" => compare::decode,
        "mov" | "cvta" | "isspacep" => moves::decode,
        "cvt" => convert::decode,
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" | "applypriority" | "discard" => load::decode,
        "cp" => copy::decode,
        "atom" | "red" => atomic::decode,
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => warp::decode,
        "mma" | "ldmatrix" | "stmatrix" | "movmatrix" => matrix::decode,
        "wmma" => wmma::decode,
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "bar" | "barrier" | "membar"
        | "fence" | "nanosleep" | "pmevent" | "griddepcontrol" => control::decode,
        _ => return decoder.unsupported(),
    };
    match family(decoder)? {
        Some(action) => Ok(action),
        None => decoder.unsupported(),
    }
}

/// `unary!(decoder; A => R; |a| ..)`: reads a register as `A`, writes one as `R`.
macro_rules! unary {
    ($decoder:expr; $a:ty => $r:ty; |$x:ident| $body:expr) => {
        $decoder.unary::<$a, $r>(|registers, args, mask| {
            use crate::exec::registers::Value;
            let a = <$a>::of(registers, args.a);
            let result = std::array::from_fn(|lane| {
                let $x: $a = a[lane];
                let result: $r = $body;
                result
            });
            <$r>::put(registers, args.d, mask, result);
        })
    };
}

/// `binary!(decoder; A, B => R; |a, b| ..)`.
macro_rules! binary {
    ($decoder:expr; $a:ty, $b:ty => $r:ty; |$x:ident, $y:ident| $body:expr) => {
        $decoder.binary::<$a, $b, $r>(|registers, args, mask| {
            use crate::exec::registers::Value;
            let (a, b) = (<$a>::of(registers, args.a), <$b>::of(registers, args.b));
            let result = std::array::from_fn(|lane| {
                let ($x, $y): ($a, $b) = (a[lane], b[lane]);
                let result: $r = $body;
                result
            });
            <$r>::put(registers, args.d, mask, result);
        })
    };
}

/// `ternary!(decoder; A, B, C => R; |a, b, c| ..)`.
macro_rules! ternary {
    ($decoder:expr; $a:ty, $b:ty, $c:ty => $r:ty; |$x:ident, $y:ident, $z:ident| $body:expr) => {
        $decoder.ternary::<$a, $b, $c, $r>(|registers, args, mask| {
            use crate::exec::registers::Value;
            let (a, b) = (<$a>::of(registers, args.a), <$b>::of(registers, args.b));
            let c = <$c>::of(registers, args.c);
            let result = std::array::from_fn(|lane| {
                let ($x, $y, $z): ($a, $b, $c) = (a[lane], b[lane], c[lane]);
                let result: $r = $body;
                result
            });
            <$r>::put(registers, args.d, mask, result);
        })
    };
}

use {binary, ternary, unary};
