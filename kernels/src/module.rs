//! One file of PTX.

use std::sync::OnceLock;

/// One file of PTX.
#[derive(Debug)]
pub struct Module {
    /// The name of the source without `.cu`.
    pub name: &'static str,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Plain(&'static str),
    /// A DEFLATE stream, and its text once somebody has asked for it.
    Packed(&'static [u8], OnceLock<String>),
}

impl Module {
    /// A module of this PTX.
    pub const fn new(name: &'static str, ptx: &'static str) -> Self {
        Self { name, text: Text::Plain(ptx) }
    }

    /// A module of PTX that the build script has packed.
    pub(crate) const fn packed(name: &'static str, stream: &'static [u8]) -> Self {
        Self { name, text: Text::Packed(stream, OnceLock::new()) }
    }

    /// The text that the driver compiles. The first call unpacks it.
    pub fn ptx(&self) -> &str {
        match &self.text {
            Text::Plain(text) => text,
            // The build script has written the stream, and the tests of this crate read every one: it is never empty.
            Text::Packed(stream, text) => text.get_or_init(|| {
                let bytes = miniz_oxide::inflate::decompress_to_vec(stream).unwrap_or_default();
                String::from_utf8(bytes).unwrap_or_default()
            }),
        }
    }
}

/// The module that `cargo xtask kernels` has written to `built/<name>.ptx`.
macro_rules! built {
    ($name:expr) => {
        $crate::Module::packed($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".ptx.deflate")))
    };
}

pub(crate) use built;
