//! How one setting is read from text and printed as TOML.

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

/// Declares an enum whose variants are words in flags and files.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
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
                match text { $($word => Some(Self::$variant),)+ _ => None }
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

choice! {
    /// The precision of matrix products; weights, moments and sums stay in float32.
    Precision {
        /// IEEE single precision.
        Float32 = "float32",
        /// Operands rounded to bfloat16, sums in float32.
        Bfloat16 = "bfloat16",
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

choice! {
    /// Where the work is done.
    DeviceKind {
        /// CUDA if a driver answers, else the CPU.
        Auto = "auto",
        /// The CPU.
        Cpu = "cpu",
        /// The first CUDA device.
        Cuda = "cuda",
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
