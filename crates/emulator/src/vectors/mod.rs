//! Instruction-level vectors: one small PTX program for each instruction, and inputs for each of its lanes.
//!
//! [`families`] lists them, [`Family::ptx`] writes the program, [`record`] runs all of them on whatever `libcuda` there
//! is, a GPU's or the emulator's, and [`Recording::json`] keeps what came out. A recording from a GPU is the judge of the
//! emulator: `crates/emulator/vectors/` is where they belong.

mod families;
#[cfg(target_os = "linux")]
mod gpu;
mod inputs;
mod integers;
mod tiles;

use std::fmt::Write as _;

pub use families::families;
#[cfg(target_os = "linux")]
pub use gpu::{RecordError, record};

/// The width of an operand's register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// 16 bits.
    B16,
    /// 32 bits.
    B32,
    /// 64 bits.
    B64,
}

impl Register {
    fn name(self) -> &'static str {
        match self {
            Register::B16 => "b16",
            Register::B32 => "b32",
            Register::B64 => "b64",
        }
    }
}

/// The number that an output's bits stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// How two devices must agree on an output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agreement {
    /// To the bit.
    Bits,
    /// As numbers, up to `relative` times the greater of the two plus `absolute`: PTX bounds the error of one device, so
    /// that two may differ by twice as much.
    Within {
        /// What the bits stand for.
        format: Format,
        /// Of the greater.
        relative: f64,
        /// In units.
        absolute: f64,
    },
}

impl Agreement {
    /// Whether two outputs agree. NaN agrees with NaN.
    pub fn holds(self, one: u64, other: u64) -> bool {
        let Agreement::Within { format, relative, absolute } = self else { return one == other };
        let number = |bits: u64| match format {
            Format::F16 => half::f16::from_bits(bits as u16).to_f64(),
            Format::F32 => f64::from(f32::from_bits(bits as u32)),
            Format::F64 => f64::from_bits(bits),
        };
        let (one, other) = (number(one), number(other));
        let same = one == other || (one.is_nan() && other.is_nan());
        same || (one - other).abs() <= relative * one.abs().max(other.abs()) + absolute
    }
}

/// One instruction with the inputs that it is tried on.
#[derive(Debug, Clone)]
pub struct Family {
    /// The instruction, as PTX spells it, and perhaps what is particular to this program.
    pub name: String,
    /// The registers `%i0`, `%i1` … that each lane reads.
    pub inputs: Vec<Register>,
    /// The registers `%o0`, `%o1` … that each lane writes.
    pub outputs: Vec<Register>,
    /// The statements between; they may use `%p` and `%q` (predicates), `%x` and `%y` (32 bits), and `tile`, 1 KiB of
    /// shared memory.
    pub body: String,
    /// Each lane's inputs, 32 lanes to a warp; as many lanes as a multiple of 32.
    pub lanes: Vec<Vec<u64>>,
    /// How devices agree on the outputs.
    pub agreement: Agreement,
}

impl Family {
    /// The program: an entry `vectors` of two addresses. Lane `n` reads 8 bytes for each input at `input + n * 8 *
    /// inputs`, and writes 8 bytes for each output likewise.
    pub fn ptx(&self) -> String {
        let mut declared = String::new();
        let mut loads = String::new();
        let mut stores = String::new();
        // Writing to a string cannot fail.
        for (at, register) in self.inputs.iter().enumerate() {
            let _ = writeln!(declared, "  .reg .{} %i{at};", register.name());
            let _ = writeln!(loads, "  ld.global.{} %i{at}, [%in+{}];", register.name(), 8 * at);
        }
        for (at, register) in self.outputs.iter().enumerate() {
            let _ = writeln!(declared, "  .reg .{} %o{at};", register.name());
            let _ = writeln!(stores, "  st.global.{} [%out+{}], %o{at};", register.name(), 8 * at);
        }
        let (taken, given) = (8 * self.inputs.len(), 8 * self.outputs.len());
        format!(
            "// {}\n.version 7.8\n.target sm_80\n.address_size 64\n\
             .visible .entry vectors(.param .u64 input, .param .u64 output)\n{{\n\
             \x20 .reg .b64 %in, %out;\n  .reg .b32 %thread, %x, %y;\n  .reg .pred %p, %q;\n\
             \x20 .shared .align 16 .b8 tile[1024];\n{declared}\
             \x20 ld.param.u64 %in, [input];\n  ld.param.u64 %out, [output];\n\
             \x20 mov.u32 %x, %ctaid.x;\n  mov.u32 %y, %tid.x;\n  mad.lo.s32 %thread, %x, 32, %y;\n\
             \x20 mad.wide.u32 %in, %thread, {taken}, %in;\n  mad.wide.u32 %out, %thread, {given}, %out;\n\
             {loads}  {}\n{stores}  ret;\n}}\n",
            self.name, self.body
        )
    }
}

/// What a device gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The device's name.
    pub device: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// The driver's version, as `cuDriverGetVersion` has it.
    pub driver: i32,
    /// For each family its name and each lane's outputs.
    pub outputs: Vec<(String, Vec<Vec<u64>>)>,
}

impl Recording {
    /// How many vectors there are: lanes of all families.
    pub fn vectors(&self) -> usize {
        self.outputs.iter().map(|(_, lanes)| lanes.len()).sum()
    }

    /// The recording as JSON: the device, and a line for each family with its lanes' outputs in hexadecimal, several of
    /// one lane joined by spaces.
    pub fn json(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace(['"', '\\'], "'"));
        let (major, minor) = self.capability;
        let families = self.outputs.iter().map(|(name, lanes)| {
            let lane = |lane: &Vec<u64>| {
                let words: Vec<String> = lane.iter().map(|word| format!("{word:x}")).collect();
                quoted(&words.join(" "))
            };
            let lanes: Vec<String> = lanes.iter().map(lane).collect();
            format!("    {}: [{}]", quoted(name), lanes.join(", "))
        });
        format!(
            "{{\n  \"device\": {},\n  \"capability\": \"{major}.{minor}\",\n  \"driver\": {},\n  \"outputs\": {{\n{}\n  }}\n}}\n",
            quoted(&self.device),
            self.driver,
            families.collect::<Vec<_>>().join(",\n")
        )
    }
}
