//! `printf` of C: the text of a format and its arguments.

/// Bytes of the longest text that is looked at: beyond it, the end of a string is missing.
pub(crate) const LONGEST: usize = 1 << 16;
/// The largest width or precision that is heeded: the formatter below panics on what has no room in 16 bits.
const WIDEST: usize = 1 << 15;

/// What a format needs to go on.
pub(crate) enum Ask {
    /// The next argument, of 4 or 8 bytes.
    Word(u64),
    /// The text at an address.
    String(u64),
}

/// The answer to an [`Ask`].
pub(crate) enum Given {
    Word(u64),
    String(Vec<u8>),
}

/// A conversion: `%[flags][width][.precision][length]letter`.
#[derive(Default)]
struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    /// Letters `h` before the last.
    short: usize,
    /// Bytes of an integer argument.
    bytes: u64,
    letter: u8,
}

/// Who has the arguments, and how many they have given.
struct Arguments<G> {
    give: G,
    count: u32,
}

impl<E, G: FnMut(Ask) -> Result<Given, E>> Arguments<G> {
    fn word(&mut self, bytes: u64) -> Result<u64, E> {
        self.count += 1;
        match (self.give)(Ask::Word(bytes))? {
            Given::Word(value) => Ok(value),
            Given::String(_) => Ok(0),
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, E> {
        let address = self.word(8)?;
        match (self.give)(Ask::String(address))? {
            Given::String(text) => Ok(text),
            Given::Word(_) => Ok(Vec::new()),
        }
    }

    /// A width or a precision: digits, or `*` for an argument.
    fn number(&mut self, rest: &mut &[u8]) -> Result<i32, E> {
        if take(rest, b"*").is_some() {
            return Ok(self.word(4)? as i32);
        }
        let mut value = 0i32;
        while let Some(digit) = take(rest, b"0123456789") {
            value = value.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
        }
        Ok(value)
    }
}

/// Takes the next byte if it is one of these.
fn take(rest: &mut &[u8], wanted: &[u8]) -> Option<u8> {
    let (&first, behind) = rest.split_first().filter(|(first, _)| wanted.contains(first))?;
    *rest = behind;
    Some(first)
}

/// The text of a format, and how many arguments it took. What is no conversion stands as it is written.
pub(crate) fn formatted<E>(
    format: &[u8],
    give: impl FnMut(Ask) -> Result<Given, E>,
) -> Result<(Vec<u8>, u32), E> {
    let (mut text, mut rest, mut arguments) = (Vec::new(), format, Arguments { give, count: 0 });
    while let Some((&byte, behind)) = rest.split_first() {
        let start = rest;
        rest = behind;
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        let how = Conversion::parse(&mut rest, &mut arguments)?;
        if !how.write(&mut text, &mut arguments)? {
            text.extend(&start[..start.len() - rest.len()]);
        }
    }
    Ok((text, arguments.count))
}

impl Conversion {
    /// Reads what stands behind a `%`.
    fn parse<E, G: FnMut(Ask) -> Result<Given, E>>(
        rest: &mut &[u8],
        arguments: &mut Arguments<G>,
    ) -> Result<Self, E> {
        let mut how = Self { bytes: 4, ..Self::default() };
        while let Some(flag) = take(rest, b"-+ #0") {
            match flag {
                b'-' => how.left = true,
                b'+' => how.plus = true,
                b' ' => how.space = true,
                b'#' => how.alternate = true,
                _ => how.zeros = true,
            }
        }
        let width = arguments.number(rest)?;
        how.left |= width < 0;
        how.width = (width.unsigned_abs() as usize).min(WIDEST);
        if take(rest, b".").is_some() {
            // A negative one counts as none.
            how.precision = usize::try_from(arguments.number(rest)?).ok().map(|p| p.min(WIDEST));
        }
        while let Some(length) = take(rest, b"hlLzjt") {
            match length {
                b'h' => how.short += 1,
                _ => how.bytes = 8,
            }
        }
        if let Some((&letter, behind)) = rest.split_first() {
            (how.letter, *rest) = (letter, behind);
        }
        Ok(how)
    }

    /// Writes the argument; false if the letter is none that C knows.
    fn write<E, G: FnMut(Ask) -> Result<Given, E>>(
        &self,
        text: &mut Vec<u8>,
        arguments: &mut Arguments<G>,
    ) -> Result<bool, E> {
        match self.letter {
            b'%' => text.push(b'%'),
            b'd' | b'i' => self.signed(text, arguments.word(self.bytes)?),
            b'u' | b'x' | b'X' | b'o' => self.unsigned(text, arguments.word(self.bytes)?),
            b'c' => self.pad(text, "", &[arguments.word(4)? as u8], false),
            b'p' => self.pad(text, "", format!("{:#x}", arguments.word(8)?).as_bytes(), false),
            b's' => {
                let mut bytes = arguments.string()?;
                bytes.truncate(self.precision.unwrap_or(usize::MAX));
                self.pad(text, "", &bytes, false);
            }
            b'f' | b'F' | b'e' | b'E' | b'g' | b'G' => self.real(text, f64::from_bits(arguments.word(8)?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn signed(&self, text: &mut Vec<u8>, value: u64) {
        let value = match (self.bytes, self.short) {
            (8, _) => value as i64,
            (_, 0) => i64::from(value as i32),
            (_, 1) => i64::from(value as i16),
            _ => i64::from(value as i8),
        };
        self.integer(text, self.sign(value < 0), value.unsigned_abs().to_string());
    }

    fn unsigned(&self, text: &mut Vec<u8>, value: u64) {
        let value = match self.short {
            0 => value,
            1 => u64::from(value as u16),
            _ => u64::from(value as u8),
        };
        let (prefix, digits) = match self.letter {
            b'u' => ("", value.to_string()),
            b'o' => ("0", format!("{value:o}")),
            b'x' => ("0x", format!("{value:x}")),
            _ => ("0X", format!("{value:X}")),
        };
        self.integer(text, if self.alternate && value != 0 { prefix } else { "" }, digits);
    }

    fn sign(&self, is_negative: bool) -> &'static str {
        match (is_negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn integer(&self, text: &mut Vec<u8>, prefix: &str, digits: String) {
        let least = self.precision.unwrap_or(1);
        let digits = if least == 0 && digits == "0" { String::new() } else { digits };
        let digits = format!("{digits:0>least$}");
        // A precision puts the zeros itself.
        let zeros = self.zeros && self.precision.is_none();
        self.pad(text, prefix, digits.as_bytes(), zeros);
    }

    fn real(&self, text: &mut Vec<u8>, value: f64) {
        let sign = self.sign(value.is_sign_negative());
        let precision = self.precision.unwrap_or(6);
        let magnitude = value.abs();
        let digits = match self.letter.to_ascii_lowercase() {
            _ if !value.is_finite() => (if value.is_nan() { "nan" } else { "inf" }).to_string(),
            b'f' => format!("{magnitude:.precision$}"),
            b'e' => exponential(magnitude, precision),
            _ => general(magnitude, precision.max(1), self.alternate),
        };
        let digits = if self.letter.is_ascii_uppercase() { digits.to_ascii_uppercase() } else { digits };
        self.pad(text, sign, digits.as_bytes(), self.zeros && value.is_finite());
    }

    /// Fills up to the width: with zeros behind the prefix, or with spaces on one side.
    fn pad(&self, text: &mut Vec<u8>, prefix: &str, body: &[u8], zeros: bool) {
        let missing = self.width.saturating_sub(prefix.len() + body.len());
        let (before, inner, after) = match (self.left, zeros) {
            (true, _) => (0, 0, missing),
            (_, true) => (0, missing, 0),
            _ => (missing, 0, 0),
        };
        text.extend(std::iter::repeat_n(b' ', before));
        text.extend(prefix.as_bytes());
        text.extend(std::iter::repeat_n(b'0', inner));
        text.extend(body);
        text.extend(std::iter::repeat_n(b' ', after));
    }
}

/// `%e`: an exponent with a sign and at least two digits.
fn exponential(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `%g`: the shorter way to write so many digits, without zeros at the end.
fn general(value: f64, digits: usize, keeps_zeros: bool) -> String {
    let rounded = exponential(value, digits - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') && !keeps_zeros {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if power < -4 || power >= digits as i32 {
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    let behind = (digits as i32 - 1 - power).max(0) as usize;
    trimmed(&format!("{value:.behind$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What glibc's `printf` wrote for these formats and arguments.
    #[test]
    fn texts_are_those_of_the_c_library() {
        let real = |value: f64| value.to_bits();
        let cases: [(&str, &[u64], &str); 28] = [
            ("no conversion\n", &[], "no conversion\n"),
            ("100%%|%d", &[7], "100%|7"),
            ("%d %i", &[u64::from(u32::MAX), 42], "-1 42"),
            ("%5d|%-5d|%05d|%+d|% d", &[42, 42, 42, 42, 42], "   42|42   |00042|+42| 42"),
            ("%.3d|%8.3d|%08.3d", &[7, 7, 7], "007|     007|     007"),
            ("%.0d|", &[0], "|"),
            ("%u %x %X %o", &[4_000_000_000, 255, 255, 8], "4000000000 ff FF 10"),
            ("%#x %#o %#x", &[255, 8, 0], "0xff 010 0"),
            ("%lld %lu", &[u64::MAX, u64::MAX], "-1 18446744073709551615"),
            ("%hd %hhu", &[0x1_ffff, 0x1ff], "-1 255"),
            ("%zu", &[1 << 40], "1099511627776"),
            ("%c%c|%3c|%-3c|", &[72, 105, 33, 33], "Hi|  !|!  |"),
            ("%f", &[real(3.25)], "3.250000"),
            (
                "%.2f %8.3f|%-8.1f|%08.2f",
                &[real(3.1428), real(-2.5), real(0.25), real(-1.5)],
                "3.14   -2.500|0.2     |-0001.50",
            ),
            ("%+.1f % .1f", &[real(1.0), real(1.0)], "+1.0  1.0"),
            ("%.0f", &[real(2.5)], "2"),
            ("%e %E", &[real(12345.678), real(0.00012)], "1.234568e+04 1.200000E-04"),
            ("%.2e", &[real(0.0)], "0.00e+00"),
            ("%e", &[real(1e-300)], "1.000000e-300"),
            ("%g %g %g", &[real(100_000.0), real(1_000_000.0), real(0.0001)], "100000 1e+06 0.0001"),
            ("%g %g %g", &[real(0.00001), real(1.5), real(0.0)], "1e-05 1.5 0"),
            ("%.3g %.10g %G", &[real(1234.5), real(1234.5), real(1e-10)], "1.23e+03 1234.5 1E-10"),
            ("%f %e %g", &[real(f64::INFINITY), real(f64::NEG_INFINITY), real(f64::NAN)], "inf -inf nan"),
            ("%05f|%F", &[real(f64::INFINITY), real(f64::NAN)], "  inf|NAN"),
            ("%*d|%-*d|%.*f", &[4, 7, 4, 7, 1, real(0.75)], "   7|7   |0.8"),
            ("%p", &[0x7000_0000_0100], "0x700000000100"),
            ("%y %", &[], "%y %"),
            ("%-8s|%.2s|%s", &[0, 0, 0], "text    |te|text"),
        ];
        for (format, words, expected) in cases {
            let mut words = words.iter().copied();
            let (text, _) = formatted::<()>(format.as_bytes(), |ask| match ask {
                Ask::Word(_) => Ok(Given::Word(words.next().ok_or(())?)),
                Ask::String(_) => Ok(Given::String(b"text".to_vec())),
            })
            .unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expected, "{format}");
            assert_eq!(words.next(), None, "{format} leaves arguments");
        }
    }

    #[test]
    fn sizes_beyond_reason_are_cut() {
        for (letter, word) in [('d', 7), ('u', 7), ('x', 7), ('f', 1), ('e', 1), ('g', 1)] {
            for size in ["32768", "65535", "65536", "99999999999"] {
                let format = format!("%{size}.{size}{letter}");
                let (text, count) = formatted::<()>(format.as_bytes(), |_| Ok(Given::Word(word))).unwrap();
                assert!((WIDEST..=WIDEST + 10).contains(&text.len()), "{format}: {}", text.len());
                assert_eq!(count, 1);
            }
        }
    }
}
