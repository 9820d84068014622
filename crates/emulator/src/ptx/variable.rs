//! Declarations of variables and registers, and constants.

use super::Mistake;
use super::parser::Parser;
use super::syntax::{Operand, Variable, VariableSpace};

/// No variable is larger: the address spaces of a block and a thread are smaller by far.
const LARGEST: u64 = 1 << 32;
/// What a text may spell out as first values, in bytes beyond which zeros are refused.
const LARGEST_INIT: u64 = 1 << 26;

/// The value of a number as written: decimal, hexadecimal, octal, binary, or the bits of a float.
pub(super) fn constant(text: &str, is_negative: bool) -> Option<Operand<'static>> {
    let digits = |from: usize, count: usize| text.get(from..).filter(|rest| rest.len() == count);
    match text.as_bytes() {
        [b'0', b'f' | b'F', ..] => {
            let bits = u32::from_str_radix(digits(2, 8)?, 16).ok()?;
            Some(Operand::Float32(bits ^ (u32::from(is_negative) << 31)))
        }
        [b'0', b'd' | b'D', ..] => {
            let bits = u64::from_str_radix(digits(2, 16)?, 16).ok()?;
            Some(Operand::Float64(bits ^ (u64::from(is_negative) << 63)))
        }
        _ if text.contains('.') => {
            let value: f64 = text.parse().ok()?;
            Some(Operand::Float64(if is_negative { -value } else { value }.to_bits()))
        }
        _ => {
            let value = integer_of(text)?;
            Some(Operand::Integer(if is_negative { value.wrapping_neg() } else { value }))
        }
    }
}

/// An integer as written, without its sign.
pub(super) fn integer_of(text: &str) -> Option<u64> {
    let text = text.strip_suffix(['U', 'u']).unwrap_or(text);
    match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => u64::from_str_radix(text.get(2..)?, 16).ok(),
        [b'0', b'b' | b'B', ..] => u64::from_str_radix(text.get(2..)?, 2).ok(),
        [b'0', _, ..] => u64::from_str_radix(text, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// The size in bytes of a fundamental type without its dot; predicates count as one.
pub(crate) fn size_of_type(kind: &str) -> Option<u64> {
    Some(match kind {
        "pred" | "b8" | "u8" | "s8" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" => 4,
        "b64" | "u64" | "s64" | "f64" => 8,
        "b128" => 16,
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    /// The parameters or results of a function, in parentheses.
    pub(super) fn parameters(&mut self) -> Result<Vec<Variable<'a>>, Mistake> {
        let mut found = Vec::new();
        self.expect(b'(')?;
        while !self.takes(b')') {
            self.variables(&mut found, false)?;
            if !self.takes(b',') && !self.is_mark(b')') {
                return self.mistake("`,` or `)`");
            }
        }
        Ok(found)
    }

    /// One declaration; of registers it may name several.
    pub(super) fn variables(&mut self, into: &mut Vec<Variable<'a>>, is_extern: bool) -> Result<(), Mistake> {
        let space = self.space()?;
        let (mut align, mut lanes) = (0, 1);
        let kind = loop {
            let Some(kind) = self.word("a type such as .b32")?.strip_prefix('.') else {
                return self.mistake("a type with its dot before");
            };
            match kind {
                "align" => align = self.integer()?,
                "ptr" | "global" | "const" | "shared" | "local" | "param" => {}
                "v2" => lanes = 2,
                "v4" => lanes = 4,
                _ => break kind,
            }
        };
        let Some(size) = size_of_type(kind) else {
            return Err(Mistake::at(self.line(), format!("`.{kind}` is no type")));
        };
        // `.param .u64 .ptr .global .align 16 name` says what the parameter points to, not how it lies.
        let own_align = if align == 0 { size * lanes } else { align };
        let mut points_at = false;
        while self.peek().is_some_and(|token| token.text.starts_with('.')) {
            points_at |= self.takes_word(".ptr");
            if self.takes_word(".align") {
                self.integer()?;
            } else if self.takes_word(".global") || self.takes_word(".const") || points_at {
                let _ = self.takes_word(".shared") || self.takes_word(".local") || self.takes_word(".param");
            } else {
                return self.mistake("a name");
            }
        }
        if !own_align.is_power_of_two() || own_align > 1 << 16 {
            return Err(Mistake::at(self.line(), format!("an alignment of {own_align}")));
        }
        loop {
            into.push(self.variable(space, kind, own_align, size * lanes, is_extern)?);
            if space != VariableSpace::Register || !self.takes(b',') {
                return Ok(());
            }
        }
    }

    fn variable(
        &mut self,
        space: VariableSpace,
        kind: &'a str,
        align: u64,
        size: u64,
        is_extern: bool,
    ) -> Result<Variable<'a>, Mistake> {
        let line = self.line();
        let mut found = Variable {
            name: self.word("a name")?,
            space,
            kind,
            align,
            bytes: size,
            count: None,
            is_extern,
            init: Vec::new(),
            addresses: Vec::new(),
            line,
        };
        if self.takes(b'<') {
            found.count = Some(self.small()?);
            self.expect(b'>')?;
        }
        while self.takes(b'[') {
            let count = if self.is_mark(b']') { 0 } else { self.integer()? };
            found.bytes = self.bounded(found.bytes.checked_mul(count).filter(|&bytes| bytes < LARGEST))?;
            self.expect(b']')?;
        }
        if self.takes(b'=') {
            self.first_value(&mut found, size, 0)?;
            let bytes = self.bounded(Some(found.bytes).filter(|&bytes| bytes < LARGEST_INIT))? as usize;
            if found.init.len() > bytes {
                return Err(Mistake::at(line, format!("{} has more values than room", found.name)));
            }
            found.init.resize(bytes, 0);
        }
        Ok(found)
    }

    fn first_value(&mut self, into: &mut Variable<'a>, size: u64, depth: usize) -> Result<(), Mistake> {
        if self.takes(b'{') {
            if depth > 8 {
                return self.mistake("values that nest less deep");
            }
            while !self.takes(b'}') {
                self.first_value(into, size, depth + 1)?;
                if !self.takes(b',') && !self.is_mark(b'}') {
                    return self.mistake("`,` or `}`");
                }
            }
            return Ok(());
        }
        if self.number_at_hand().is_some()
            || !matches!(self.peek().map(|t| t.text), Some(word) if is_name(word))
        {
            let value = self.literal_bits(size)?;
            into.init.extend_from_slice(&value.to_le_bytes()[..size.min(8) as usize]);
            return Ok(());
        }
        let mut symbol = self.word("a variable")?;
        let is_wrapped = symbol == "generic" || symbol.starts_with("mask");
        if is_wrapped {
            self.expect(b'(')?;
            symbol = self.word("a variable")?;
        }
        let addend = if self.takes(b'+') { self.integer()? } else { 0 };
        if is_wrapped {
            self.expect(b')')?;
        }
        into.addresses.push((into.init.len(), symbol, addend));
        into.init.extend_from_slice(&[0; 8][..size.min(8) as usize]);
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_in_every_spelling() {
        assert_eq!(constant("0f3F800000", true), Some(Operand::Float32(0xbf80_0000)));
        assert_eq!(constant("0d3FF0000000000000", false), Some(Operand::Float64(0x3ff0_0000_0000_0000)));
        assert_eq!(constant("0x1F", false), Some(Operand::Integer(31)));
        assert_eq!(constant("017", false), Some(Operand::Integer(15)));
        assert_eq!(constant("0b101U", false), Some(Operand::Integer(5)));
        assert_eq!(constant("8", true), Some(Operand::Integer(8u64.wrapping_neg())));
        assert_eq!(constant("1.5", false), Some(Operand::Float64(1.5f64.to_bits())));
        for bad in ["0f3F8", "0x", "9z", "0f3F80000é"] {
            assert_eq!(constant(bad, false), None, "{bad}");
        }
    }
}
