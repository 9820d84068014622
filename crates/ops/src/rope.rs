//! Rotary position embedding: pair i of the head at position p turns by the angle p·θ^(-2i/D).
//!
//! (a, b) → (a·cos φ - b·sin φ, b·cos φ + a·sin φ), φ = p·θ^(-2i/D), so that the scalar product of a query
//! and a key depends on the distance of their positions alone. Token t stands at p = offset + t, or where a second input
//! says: then recorded work reads the positions anew at each launch. Pairs are (i, i + D/2), as in GPT-NeoX and Hugging
//! Face's Llama, or (2i, 2i + 1), as in the paper and GPT-J: weights trained with one mean nothing with the other.
//! Derivative: the gradient turned back. Shapes: `(B, T, H, D)` → `(B, T, H, D)`, D even; positions `(T,)` of i64, u32 or
//! u8. Numerics: angles, sines and
//! cosines in f64, rounded once, so that far positions are as good as near ones.
//! Source: Su et al., *RoFormer*, 2021, arXiv 2104.09864, §3.2.

use warpsmith_autograd::{
    Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_owned, apply_single,
};
use warpsmith_kernels::rope as kernel;
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{Device, Error, Result, Tensor};

use crate::cuda;
use crate::elementwise::unary_shape;
use crate::indices::{array_places, kind, places, require_index};

/// Which elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Element i with element i + D/2.
    Halves,
    /// Element 2i with element 2i + 1.
    Adjacent,
}

/// Where the tokens stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// One after another from this position: so many stand in the cache before the first.
    From(usize),
    /// Where the op's second input says, all before this position.
    Below(usize),
}

/// Turns each head by its position: x, or x and the positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Which elements of a head turn together.
    pub pairing: Pairing,
    /// θ, the base of the wavelengths: 10,000 in the paper.
    pub theta: f64,
    /// Where the tokens stand.
    pub positions: Positions,
    /// Whether to turn back.
    pub inverse: bool,
}

impl Rope {
    /// The position of each of T tokens, given the checked places of the second input if there is one.
    fn of_tokens(&self, tokens: usize, given: Option<Vec<usize>>) -> Vec<usize> {
        match (self.positions, given) {
            (Positions::From(offset), _) => (offset..offset + tokens).collect(),
            (Positions::Below(_), given) => given.unwrap_or_default(),
        }
    }

    /// One more than the last position that may come.
    fn limit(&self, tokens: usize) -> usize {
        match self.positions {
            Positions::From(offset) => offset + tokens,
            Positions::Below(limit) => limit,
        }
    }

    /// (cos φ, sin φ) of pair `i` of D/2 at a position.
    fn turn(&self, position: usize, i: usize, width: usize) -> (f64, f64) {
        let angle = position as f64 * self.theta.powf(-2.0 * i as f64 / width as f64);
        let (sin, cos) = angle.sin_cos();
        (cos, if self.inverse { -sin } else { sin })
    }

    /// Where the two elements of pair `i` stand in a head of width D.
    fn pair(&self, i: usize, width: usize) -> (usize, usize) {
        match self.pairing {
            Pairing::Halves => (i, i + width / 2),
            Pairing::Adjacent => (2 * i, 2 * i + 1),
        }
    }

    /// The values of both elements of every pair, from a function of both and their turn.
    fn for_pairs(
        &self,
        inputs: &[Array],
        y: &mut Array,
        f: impl Fn(f64, f64, f64, f64) -> (f64, f64),
    ) -> Result<()> {
        let x = &inputs[0];
        let (tokens, heads, width) = (x.dims()[1], x.dims()[2], x.dims()[3]);
        let given = inputs.get(1).map(|index| array_places(self.name(), index, self.limit(tokens)));
        let positions = self.of_tokens(tokens, given.transpose()?);
        for (row, (x, y)) in x.data.chunks(width.max(1)).zip(y.data.chunks_mut(width.max(1))).enumerate() {
            for i in 0..width / 2 {
                let (cos, sin) = self.turn(positions[row / heads % tokens], i, width);
                let (a, b) = self.pair(i, width);
                (y[a], y[b]) = f(x[a], x[b], cos, sin);
            }
        }
        Ok(())
    }
}

impl Op for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        if x[0].shape.rank() != 4 || !x[0].shape.last().is_multiple_of(2) {
            return Err(Error::shape(self.name(), &[x[0].shape], "takes (B, T, H, D) with an even D"));
        }
        if !(self.theta > 0.0 && self.theta.is_finite()) {
            return Err(Error::value(self.name(), format!("theta is {}, not above 0", self.theta)));
        }
        let given = matches!(self.positions, Positions::Below(_));
        match &x[1..] {
            [] if !given => {}
            [index] if given => {
                require_index(self.name(), index)?;
                if index.dims() != [x[0].dims()[1]] {
                    let message = "takes one position for each of the T tokens of (B, T, H, D)";
                    return Err(Error::shape(self.name(), &[x[0].shape, index.shape], message));
                }
            }
            _ => return Err(Error::internal(self.name(), "takes positions as its second input or none")),
        }
        unary_shape(self.name(), &x[..1])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.for_pairs(x, &mut y[0], |a, b, cos, sin| (a * cos - b * sin, b * cos + a * sin))
    }

    fn cpu(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (tokens, heads, width) = (y[0].dims()[1], y[0].dims()[2], y[0].dims()[3]);
        let given = x.get(1).map(|index| places(self.name(), index, self.limit(tokens))).transpose()?;
        let positions = self.of_tokens(tokens, given);
        let mut x = x.swap_remove(0);
        let half = width / 2;
        let mut turns = vec![0f32; tokens * width]; // (T, 2, D/2): cosines, then sines
        // A sine costs some 60 elementwise operations.
        for_rows(&mut turns, width, 60, |first, block| {
            for (t, turns) in block.chunks_mut(width).enumerate() {
                for i in 0..half {
                    let (cos, sin) = self.turn(positions[first + t], i, width);
                    (turns[i], turns[half + i]) = (cos as f32, sin as f32);
                }
            }
        });
        for_rows(x.data_mut::<f32>()?, width, 3, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, head) in block.chunks_mut(width).enumerate() {
                        let t = (first + i) / heads % tokens;
                        let (cos, sin) = turns[t * width..][..width].split_at(half);
                        self.rotate(head, cos, sin);
                    }
                },
            );
        });
        Ok(vec![x])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (mut x, index) = {
            let mut inputs = x.into_iter();
            (inputs.next().ok_or_else(|| Error::internal(self.name(), "takes x"))?, inputs.next())
        };
        let op = self.name();
        if x.numel() == 0 {
            return Ok(vec![x.contiguous()?]);
        }
        let [tokens, heads, width] = [1, 2, 3].map(|axis| x.dims()[axis]);
        let (device, batch) = (x.device(), x.dims()[0] as u64);
        // In place, or on the copy that a view with gaps needs anyway.
        let shared = if x.is_contiguous() && !x.is_unique() { Some(x.detach()) } else { None };
        if shared.is_some() {
            x = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        }
        let to = x.device_address_mut()?;
        let index = index.map(|index| index.contiguous()).transpose()?;
        let limit = self.limit(tokens);
        let given = |index: &Tensor| -> Result<kernel::Positions> {
            let (index, kind) = (index.device_address()?, kind(index.dtype()));
            Ok(kernel::Positions { index, kind, bad: device.watch(op, limit)? })
        };
        let call = kernel::Rope {
            dtype: y[0].dtype.float_on_device(op)?,
            y: to,
            x: shared.as_ref().map_or(Ok(to), Tensor::device_address)?,
            table: self.table_on_device(&device, limit, width)?,
            // Without an index the table begins at the first token's position.
            limit: if index.is_some() { limit } else { tokens } as u64,
            positions: index.as_ref().map(given).transpose()?,
            batch,
            tokens: cuda::size(op, tokens)?,
            heads: cuda::size(op, heads)?,
            width: cuda::size(op, width)?,
            adjacent: self.pairing == Pairing::Adjacent,
            inverse: self.inverse,
        };
        device.launch(&kernel::rope(&call))?;
        Ok(vec![x])
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[1], outputs: &[] }
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let inverse = Self { inverse: !self.inverse, ..*self };
        let grad = back.take_grad(0)?;
        match self.positions {
            Positions::From(_) => Ok(vec![apply_owned(inverse, vec![grad])?.pop()]),
            Positions::Below(_) => Ok(vec![apply_owned(inverse, vec![grad, back.input(1)?])?.pop(), None]),
        }
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + P", "N*s", "3*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("P", x.get(1).map_or(0, |index| index.shape.numel() * index.dtype.size()))]
    }

    /// |a·cos φ| + |b·sin φ|: the two may cancel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = Array::zeros(y[0].shape);
        // The oracle has found all positions before.
        let _ = self.for_pairs(x, &mut scale, |a, b, cos, sin| {
            ((a * cos).abs() + (b * sin).abs(), (b * cos).abs() + (a * sin).abs())
        });
        vec![scale]
    }
}

impl Rope {
    /// The turns of the call's first position and those after it, or of all that an index may name, from a table that serves
    /// all calls of this width.
    fn table_on_device(&self, device: &Device, limit: usize, width: usize) -> Result<u64> {
        // Powers of two, so that a growing offset makes few tables.
        let positions = limit.next_power_of_two().max(1024);
        let key = [self.theta.to_bits(), width as u64, positions as u64];
        let table = device.constant("rope", key, || kernel::table(positions, width, self.theta))?;
        let first = match self.positions {
            Positions::From(offset) => offset,
            Positions::Below(_) => 0,
        };
        Ok(table + (first * width * size_of::<f32>()) as u64)
    }

    /// Turns one head in place. Call inside `dispatch`.
    #[inline(always)]
    fn rotate(&self, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        match self.pairing {
            Pairing::Halves => {
                let (a, b) = head.split_at_mut(cos.len());
                for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            Pairing::Adjacent => {
                for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                    let (a, b) = (pair[0], pair[1]);
                    (pair[0], pair[1]) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
        }
    }
}

methods! {
    /// Turns the heads of (B, T, H, D) by their positions, which start at `offset`.
    ///
    /// # Errors
    /// If there are not four axes, D is odd, `theta` is not above 0, or the dtype is not a float.
    fn rope(&self, pairing: Pairing, theta: f64, offset: usize) -> Result<Tensor> {
        apply_single(Rope { pairing, theta, positions: Positions::From(offset), inverse: false }, &[self])
    }

    /// Turns the heads of (B, T, H, D) by positions (T,), all below `limit`.
    ///
    /// # Errors
    /// As [`Methods::rope`], and if the positions are not one whole number for each token; on a GPU a position that is not
    /// below `limit` is told at the next wait.
    fn rope_at(&self, pairing: Pairing, theta: f64, positions: &Tensor, limit: usize) -> Result<Tensor> {
        apply_single(Rope { pairing, theta, positions: Positions::Below(limit), inverse: false }, &[self, positions])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "rope",
        summary: "rotary position embedding",
        samples: || {
            let rope = |pairing, offset, dims: &[usize]| {
                let positions = Positions::From(offset);
                Sample::new(Rope { pairing, theta: 1e4, positions, inverse: false }, [Input::any(dims)])
            };
            let rope_at = |pairing, limit, dims: &[usize]| {
                let rope = Rope { pairing, theta: 1e4, positions: Positions::Below(limit), inverse: false };
                Sample::new(rope, [Input::any(dims), Input::index(&dims[1..2], limit)])
            };
            vec![
                rope(Pairing::Halves, 0, &[2, 5, 3, 34]),
                rope(Pairing::Adjacent, 0, &[2, 5, 3, 34]),
                rope(Pairing::Halves, 100_000, &[1, 3, 1, 6]),
                rope(Pairing::Adjacent, 7, &[1, 1, 2, 2]),
                rope(Pairing::Halves, 0, &[2, 0, 3, 4]),
                rope(Pairing::Adjacent, 0, &[1, 2, 3, 0]),
                rope_at(Pairing::Halves, 9, &[2, 5, 3, 34]),
                rope_at(Pairing::Adjacent, 3000, &[1, 1, 2, 6]),
            ]
        },
    }]
}
