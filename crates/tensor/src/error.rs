//! The one error type: what was asked, what came, where in the model, and what to do about it.

use std::fmt;

use crate::{DType, Shape, scope};

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for programs to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shapes that do not fit the op or each other.
    Shape,
    /// A dtype that the op does not take, or two that differ.
    DType,
    /// A device that is absent, or two that differ.
    Device,
    /// An index or id outside its range.
    Index,
    /// A gradient asked of something that has none.
    Gradient,
    /// Memory could not be had.
    Memory,
    /// A value outside its range: a negative rate, a probability over one.
    Value,
    /// A file or its contents.
    File,
    /// A broken promise inside the engine: a bug of ours.
    Internal,
}

/// What went wrong, in which op, on which shapes and dtypes, in which layer of the model.
///
/// Printed on one line: `matmul: inner sizes differ: 3 against 4; got (2, 3) f32, (4, 5) f32; in blocks.3.attn`.
#[derive(thiserror::Error)]
pub struct Error(Box<Detail>);

struct Detail {
    kind: Kind,
    op: &'static str,
    message: String,
    operands: Vec<(Shape, Option<DType>)>,
    hint: Option<String>,
    scope: String,
}

impl Error {
    /// An error of `kind` in `op`; the scope is that of the calling thread, now.
    pub fn new(kind: Kind, op: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            kind,
            op,
            message: message.into(),
            operands: Vec::new(),
            hint: None,
            scope: scope::current(),
        }))
    }

    /// Shapes that do not fit.
    pub fn shape(op: &'static str, shapes: &[Shape], message: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::Shape, op, message);
        error.0.operands = shapes.iter().map(|s| (*s, None)).collect();
        error
    }

    /// A dtype that does not fit.
    pub fn dtype(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::DType, op, message)
    }

    /// A value outside its range.
    pub fn value(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Value, op, message)
    }

    /// An index outside its range.
    pub fn index(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Index, op, message)
    }

    /// A promise broken inside the engine.
    pub fn internal(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, op, message).hint("this is a bug in Warpsmith, please report it")
    }

    /// Adds the operands (shape and dtype) that the op was given.
    pub fn operands(mut self, operands: impl IntoIterator<Item = (Shape, DType)>) -> Self {
        self.0.operands = operands.into_iter().map(|(s, d)| (s, Some(d))).collect();
        self
    }

    /// As [`Error::operands`], if the error names none yet: for callers that know what a launch was given.
    pub fn or_operands(self, operands: impl IntoIterator<Item = (Shape, DType)>) -> Self {
        if self.0.operands.is_empty() { self.operands(operands) } else { self }
    }

    /// Names the op for which memory was asked in vain; other errors have named theirs.
    pub fn while_running(mut self, op: &'static str) -> Self {
        if self.0.kind == Kind::Memory {
            self.0.op = op;
        }
        self
    }

    /// Adds a sentence that says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What went wrong, for programs to match on.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The op that failed.
    pub fn op(&self) -> &'static str {
        self.0.op
    }

    /// The layer that the op ran in, as `blocks.3.attn`; empty outside any layer.
    pub fn scope(&self) -> &str {
        &self.0.scope
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail { op, message, operands, hint, scope, .. } = &*self.0;
        write!(f, "{op}: {message}")?;
        for (i, (shape, dtype)) in operands.iter().enumerate() {
            write!(f, "{}{shape}", if i == 0 { "; got " } else { ", " })?;
            if let Some(dtype) = dtype {
                write!(f, " {dtype}")?;
            }
        }
        if !scope.is_empty() {
            write!(f, "; in {scope}")?;
        }
        match hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self}", self.0.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    #[test]
    fn an_error_is_one_line_that_names_op_operands_and_layer() {
        let _block = Scope::enter("blocks.3");
        let _attn = Scope::enter("attn");
        let shapes = [(Shape::new(&[2, 3]).unwrap(), DType::F32), (Shape::new(&[4]).unwrap(), DType::F32)];
        let error = Error::shape("matmul", &[], "inner sizes differ: 3 against 4")
            .operands(shapes)
            .hint("transpose one");
        assert_eq!(
            error.to_string(),
            "matmul: inner sizes differ: 3 against 4; got (2, 3) f32, (4,) f32; in blocks.3.attn (transpose one)"
        );
        assert_eq!(error.kind(), Kind::Shape);
        assert_eq!(error.scope(), "blocks.3.attn");
    }
}
