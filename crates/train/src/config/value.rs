//! How one setting is read from text and printed as TOML.

use std::fmt;
use std::str::FromStr;

use warpsmith_ops::linear::Precision;

/// What a setting takes; decides how a file must write it and what `--help` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, zero or more.
    Integer,
    /// A finite real number.
    Float,
    /// `true` or `false`; Python's `True` and `False` are read too.
    Bool,
    /// Any text, a path for example.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// The kind in words, for an error message: `a whole number`, `one of adamw, sgd`.
    pub fn expected(&self) -> String {
        match self {
            Kind::Integer => "a whole number, zero or more".to_string(),
            Kind::Float => "a finite number".to_string(),
            Kind::Bool => "true or false".to_string(),
            Kind::Text => "text".to_string(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// A type that a field of [`TrainConfig`](super::TrainConfig) may have.
pub(super) trait Value: Sized {
    const KIND: Kind;
    /// `None` when `text` is not such a value.
    fn parse(text: &str) -> Option<Self>;
    /// The value as TOML that [`Value::parse`] reads back, after TOML's own unquoting, to the same value.
    fn to_toml(&self) -> String;
}

impl Value for u64 {
    const KIND: Kind = Kind::Integer;

    fn parse(text: &str) -> Option<Self> {
        text.replace('_', "").parse().ok()
    }

    fn to_toml(&self) -> String {
        // TOML integers are signed 64-bit: a larger seed travels as a string.
        if i64::try_from(*self).is_ok() { self.to_string() } else { format!("\"{self}\"") }
    }
}

impl Value for usize {
    const KIND: Kind = Kind::Integer;

    fn parse(text: &str) -> Option<Self> {
        usize::try_from(u64::parse(text)?).ok()
    }

    fn to_toml(&self) -> String {
        (*self as u64).to_toml()
    }
}

impl Value for f64 {
    const KIND: Kind = Kind::Float;

    fn parse(text: &str) -> Option<Self> {
        text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn to_toml(&self) -> String {
        // Debug prints the shortest text that reads back to the same bits, always with a point or an exponent.
        format!("{self:?}").to_lowercase()
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "true" | "True" => Some(true),
            "false" | "False" => Some(false),
            _ => None,
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_string())
    }

    fn to_toml(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }
}

/// Declares an enum whose variants are words in flags and files; a short form is read too.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(or $short:literal)?,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The word for it in flags and files.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Value for $name {
            const KIND: Kind = Kind::Choice(&[$($word),+]);

            fn parse(text: &str) -> Option<Self> {
                match text { $($word $(| $short)? => Some(Self::$variant),)+ _ => None }
            }

            fn to_toml(&self) -> String {
                format!("\"{}\"", self.word())
            }
        }
    };
}

choice! {
    /// Which update rule moves the weights.
    OptimizerKind {
        /// Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101).
        AdamW = "adamw",
        /// Stochastic gradient descent, with momentum if asked for.
        Sgd = "sgd",
    }
}

choice! {
    /// The shape of the learning rate over the steps, after the warm-up.
    ScheduleKind {
        /// Half a cosine from `learning_rate` to `min_lr`, as nanoGPT does.
        Cosine = "cosine",
        /// A straight line from `learning_rate` to `min_lr`.
        Linear = "linear",
        /// Warm-up, stable, decay (MiniCPM, arXiv 2404.06395).
        Wsd = "wsd",
        /// `learning_rate` throughout.
        Constant = "constant",
    }
}

/// The precision of matrix products; weights, moments and sums stay in float32.
impl Value for Precision {
    const KIND: Kind = Kind::Choice(&Self::WORDS);

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_toml(&self) -> String {
        format!("\"{self}\"")
    }
}

choice! {
    /// Where the weights come from.
    InitFrom {
        /// Random, from `seed`.
        Scratch = "scratch",
        /// The newest complete checkpoint in `out_dir`.
        Resume = "resume",
    }
}

choice! {
    /// A made-up task to train on in place of text.
    TaskKind {
        /// No task: train on text.
        None = "none",
        /// Sort a string of digits.
        Sort = "sort",
        /// Add two numbers.
        Add = "add",
        /// Write a string backwards.
        Reverse = "reverse",
    }
}

/// Where the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// CUDA if a driver answers, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// CUDA on a GPU that the CPU plays: the same code and kernels, checked at each step, and slow.
    Emulated,
}

impl DeviceKind {
    /// The words for it in flags and files; `cuda` alone is number 0.
    pub const WORDS: &[&str] = &["auto", "cpu", "cuda", "cuda:N", "emulated"];
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Emulated => f.write_str("emulated"),
        }
    }
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let number = |word: &str| word.strip_prefix("cuda:")?.parse().ok();
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "emulated" => Ok(Self::Emulated),
            other => number(other)
                .map(Self::Cuda)
                .ok_or_else(|| format!("expected {}", Kind::Choice(Self::WORDS).expected())),
        }
    }
}

impl Value for DeviceKind {
    const KIND: Kind = Kind::Choice(Self::WORDS);

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_toml(&self) -> String {
        format!("\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_and_toml_booleans_are_read_and_nothing_else() {
        assert_eq!(
            ["true", "True", "false", "False"].map(bool::parse),
            [Some(true), Some(true), Some(false), Some(false)]
        );
        assert_eq!(["1", "yes", "TRUE", ""].map(bool::parse), [None; 4]);
    }

    #[test]
    fn precisions_have_short_names_too() {
        assert_eq!(["bf16", "bfloat16"].map(Precision::parse), [Some(Precision::Bf16); 2]);
        assert_eq!(["f32", "float32"].map(Precision::parse), [Some(Precision::F32); 2]);
        assert_eq!((Precision::parse("float16"), Precision::Bf16.to_toml()), (None, "\"bfloat16\"".into()));
    }

    #[test]
    fn devices_are_read_as_they_are_printed() {
        for kind in [
            DeviceKind::Auto,
            DeviceKind::Cpu,
            DeviceKind::Cuda(0),
            DeviceKind::Cuda(1),
            DeviceKind::Emulated,
        ] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!(DeviceKind::parse("cuda:0"), Some(DeviceKind::Cuda(0)));
        assert_eq!(["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", ""].map(DeviceKind::parse), [None; 6]);
    }

    #[test]
    fn integers_are_whole_and_not_negative() {
        assert_eq!(usize::parse("1_000"), Some(1000));
        assert_eq!(["-1", "1.0", "1e3", "", "99999999999999999999999"].map(usize::parse), [None; 5]);
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(f64::parse("1e-3"), Some(1e-3));
        assert_eq!(f64::parse("0"), Some(0.0));
        assert_eq!(["nan", "inf", "-inf", "1e999", "", "x"].map(f64::parse), [None; 6]);
    }
}
