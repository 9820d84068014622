//! Metadata: numbers, truth values, texts, and arrays of them.

use crate::reader::Reader;
use crate::{Error, Result};

/// A metadata value. Texts lie in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number that is not negative, of 8 to 64 bits.
    Unsigned(u64),
    /// A whole number with a sign, of 8 to 64 bits.
    Signed(i64),
    /// A number of 32 or 64 bits.
    Real(f64),
    /// A truth value.
    Truth(bool),
    /// A text.
    Text(&'a str),
    /// Values of one type.
    Array(Array<'a>),
}

/// Values of one type. They stay in the file, checked, and are read as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    element: u32,
    len: usize,
    bytes: &'a [u8],
}

const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// The bytes of a value of a type; texts have at least their length. `None` if there is no such type.
fn least_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        TEXT | 10..=12 => Some(8),
        _ => None,
    }
}

impl<'a> Value<'a> {
    /// The value of type `kind` that comes next.
    pub(crate) fn read(reader: &mut Reader<'a>, kind: u32) -> Result<Self> {
        const WHAT: &str = "a metadata value";
        Ok(match kind {
            0 => Self::Unsigned(reader.u8(WHAT)?.into()),
            1 => Self::Signed(reader.i8(WHAT)?.into()),
            2 => Self::Unsigned(reader.u16(WHAT)?.into()),
            3 => Self::Signed(reader.i16(WHAT)?.into()),
            4 => Self::Unsigned(reader.u32(WHAT)?.into()),
            5 => Self::Signed(reader.i32(WHAT)?.into()),
            6 => Self::Real(reader.f32(WHAT)?.into()),
            7 => Self::Truth(reader.truth(WHAT)?),
            TEXT => Self::Text(reader.text(WHAT)?),
            ARRAY => Self::Array(Array::read(reader)?),
            10 => Self::Unsigned(reader.u64(WHAT)?),
            11 => Self::Signed(reader.i64(WHAT)?),
            12 => Self::Real(reader.f64(WHAT)?),
            other => return Err(reader.wrong(reader.at(), format!("metadata type {other} is not known"))),
        })
    }

    /// The number, if it is a whole one that is not negative.
    pub fn as_unsigned(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The number, whole or not.
    pub fn as_real(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Real(value) => Some(value),
            _ => None,
        }
    }

    /// The text.
    pub fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The array.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match self {
            Self::Array(array) => Some(*array),
            _ => None,
        }
    }
}

impl<'a> Array<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let at = reader.at();
        let element = reader.u32("an array's type")?;
        let Some(size) = least_size(element) else {
            return Err(reader.wrong(at, format!("arrays of type {element} are not supported")));
        };
        let len = reader.count(size, "an array")?;
        let bytes = match element {
            TEXT | 7 => {
                // Their values can be wrong, and are looked at once, here.
                let mut ahead = Reader::new(reader.rest());
                (0..len)
                    .try_for_each(|_| Value::read(&mut ahead, element).map(drop))
                    .map_err(|e| moved(e, reader.at()))?;
                reader.take(ahead.at() as u64, "an array")?
            }
            _ => reader.take(len as u64 * size, "an array")?,
        };
        Ok(Self { element, len, bytes })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (mut reader, element) = (Reader::new(self.bytes), self.element);
        // All were read once before.
        (0..self.len).map_while(move |_| Value::read(&mut reader, element).ok())
    }
}

/// The same error, told from the start of the file.
fn moved(error: Error, by: usize) -> Error {
    match error {
        Error::Short { what, needed, at, there } => Error::Short { what, needed, at: at + by, there },
        Error::Malformed { at, what } => Error::Malformed { at: at + by, what },
        other => other,
    }
}
