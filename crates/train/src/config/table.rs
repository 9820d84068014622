//! The field table: one declaration per setting, from which the struct, its default, parsing, printing and help follow.

use super::{
    TrainConfig,
    value::{Kind, Value},
};

/// One setting, as the flag parser, the TOML reader and `--help` see it.
#[derive(Debug)]
pub struct Field {
    /// The name in flags and files, nanoGPT's where nanoGPT has one.
    pub name: &'static str,
    /// The heading it is listed under.
    pub group: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// One line of help, with nothing before or after it.
    pub help: &'static str,
    /// The value in a configuration, printed as TOML.
    pub get: fn(&TrainConfig) -> String,
    /// Stores a value read from text; false, and nothing stored, if the text is not of this [`Kind`].
    pub set: fn(&mut TrainConfig, &str) -> bool,
}

impl Field {
    /// The value of the [default](TrainConfig::default) preset, printed as TOML.
    pub fn default_value(&self) -> String {
        (self.get)(&TrainConfig::default())
    }
}

/// Reads `text` into `slot`; false, and `slot` untouched, if it is not a value of that type.
pub(super) fn store<T: Value>(slot: &mut T, text: &str) -> bool {
    match T::parse(text) {
        Some(value) => {
            *slot = value;
            true
        }
        None => false,
    }
}

/// The kind of the type that a getter returns: lets the table take it from the field itself.
pub(super) const fn kind_of<T: Value>(_: fn(&TrainConfig) -> &T) -> Kind {
    T::KIND
}

/// Declares `TrainConfig`, its `Default` and the table of its fields. The help line is also the rustdoc line.
macro_rules! fields {
    ($($group:literal { $($name:ident: $kind:ty = $default:expr, $help:literal;)+ })+) => {
        /// Every setting of a training run. nanoGPT's names; the default is its `train_shakespeare_char` preset.
        #[derive(Debug, Clone, PartialEq)]
        pub struct TrainConfig {
            $($(#[doc = $help] pub $name: $kind,)+)+
        }

        impl Default for TrainConfig {
            fn default() -> Self {
                TrainConfig { $($($name: $default,)+)+ }
            }
        }

        static FIELDS: &[Field] = &[$($(Field {
            name: stringify!($name),
            group: $group,
            kind: table::kind_of(|config| &config.$name),
            help: $help,
            get: |config| Value::to_toml(&config.$name),
            set: |config, text| table::store(&mut config.$name, text),
        },)+)+];
    };
}
pub(super) use fields;
