//! The oracle: attention and its gradient as the papers write them, in f64.

use warpsmith_autograd::Array;
use warpsmith_tensor::Result;

use super::geometry::{Sizes, key_lengths};
use super::{Attention, Dropout};

/// Element numbers in (B, T, H, D) arrays.
struct Index {
    times: usize,
    heads: usize,
    width: usize,
}

impl Index {
    fn of(array: &Array) -> Self {
        let dims = array.dims();
        Self { times: dims[1], heads: dims[2], width: dims[3] }
    }

    /// Where row (b, t, h) starts.
    fn row(&self, b: usize, t: usize, h: usize) -> usize {
        ((b * self.times + t) * self.heads + h) * self.width
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// One query row: where it is, which keys it sees, and its scores.
struct Row {
    b: usize,
    h: usize,
    i: usize,
    /// (key, score) of each visible key.
    scores: Vec<(usize, f64)>,
}

impl Attention {
    /// Calls `body` for every query row, in the order of (B, H, Tq).
    fn rows(
        &self,
        sizes: &Sizes,
        x: &[Array],
        lengths: Option<&Array>,
        mut body: impl FnMut(Row),
    ) -> Result<()> {
        let (q, k) = (&x[0], &x[1]);
        let (at_q, at_k) = (Index::of(q), Index::of(k));
        let lengths = key_lengths("attention", sizes, lengths.map(|a| a.data.iter().map(|&v| v as i64)))?;
        let (d, factor) = (sizes.width, self.factor(sizes.width));
        for (b, &length) in lengths.iter().enumerate() {
            for h in 0..sizes.heads {
                for i in 0..sizes.queries {
                    let query = &q.data[at_q.row(b, i, h)..][..d];
                    let score = |j| dot(query, &k.data[at_k.row(b, j, h / sizes.group())..][..d]) * factor;
                    let scores = self.visible(sizes, i, length).map(|j| (j, score(j))).collect();
                    body(Row { b, h, i, scores });
                }
            }
        }
        Ok(())
    }

    /// What the dropout multiplies a probability by.
    fn dropout_factor(&self, sizes: &Sizes, row: &Row, j: usize) -> f64 {
        let index = Dropout::row_start(sizes, row.b, row.h, row.i) + j as u64;
        // The mask alone is drawn; the factor itself is exact here, not rounded to f32.
        self.dropout.map_or(1.0, |d| if d.factor(index) == 0.0 { 0.0 } else { 1.0 / (1.0 - d.p as f64) })
    }

    /// out = softmax(q·kᵀ·scale + mask)·v, and the logarithm of each softmax's denominator.
    pub(super) fn forward_reference(&self, sizes: &Sizes, x: &[Array], y: &mut [Array]) -> Result<()> {
        let v = &x[2];
        let (at_v, at_out) = (Index::of(v), Index::of(&y[0]));
        let d = sizes.width;
        self.rows(sizes, x, x.get(3), |row| {
            let statistic = (row.b * sizes.heads + row.h) * sizes.queries + row.i;
            if row.scores.is_empty() {
                y[1].data[statistic] = f64::NEG_INFINITY;
                return;
            }
            let largest = |a: f64, &(_, s): &(usize, f64)| if a > s || a.is_nan() { a } else { s };
            let max = row.scores.iter().fold(f64::NEG_INFINITY, largest);
            let total: f64 = row.scores.iter().map(|(_, s)| (s - max).exp()).sum();
            y[1].data[statistic] = max + total.ln();
            let out = &mut y[0].data[at_out.row(row.b, row.i, row.h)..][..d];
            for &(j, s) in &row.scores {
                let p = (s - max).exp() / total * self.dropout_factor(sizes, &row, j);
                let value = &v.data[at_v.row(row.b, j, row.h / sizes.group())..][..d];
                out.iter_mut().zip(value).for_each(|(o, v)| *o += p * v); // (D)
            }
        })
    }

    /// (dq, dk, dv) from (dout, q, k, v, out, lse[, lengths]), by the formulas in the module doc.
    pub(super) fn backward_reference(&self, sizes: &Sizes, x: &[Array], y: &mut [Array]) -> Result<()> {
        let [dout, q, k, v, out, lse] = [0, 1, 2, 3, 4, 5].map(|i| &x[i]);
        let (at_q, at_k) = (Index::of(q), Index::of(k));
        let (d, factor) = (sizes.width, self.factor(sizes.width));
        self.rows(sizes, &x[1..], x.get(6), |row| {
            let at = at_q.row(row.b, row.i, row.h);
            let grad = &dout.data[at..][..d];
            let delta = dot(grad, &out.data[at..][..d]);
            let total = lse.data[(row.b * sizes.heads + row.h) * sizes.queries + row.i];
            for &(j, s) in &row.scores {
                let p = (s - total).exp();
                let keep = self.dropout_factor(sizes, &row, j);
                let key = at_k.row(row.b, j, row.h / sizes.group());
                let dp = dot(grad, &v.data[key..][..d]) * keep;
                let ds = p * (dp - delta) * factor;
                for c in 0..d {
                    y[0].data[at + c] += ds * k.data[key + c];
                    y[1].data[key + c] += ds * q.data[at + c];
                    y[2].data[key + c] += p * keep * grad[c];
                }
            }
        })
    }
}

/// An array of the magnitudes of another.
fn magnitudes(x: &Array) -> Array {
    Array { shape: x.shape, data: x.data.iter().map(|v| v.abs()).collect() }
}

impl Attention {
    /// Σ|q·k|·|scale| of each visible pair, the most of any key in each row; NaN-free inputs assumed.
    fn score_sizes(&self, sizes: &Sizes, x: &[Array], lengths: Option<&Array>) -> Vec<f64> {
        let (q, k) = (magnitudes(&x[0]), magnitudes(&x[1]));
        let absolute = Self { scale: Some(self.factor(sizes.width).abs()), ..*self };
        let mut largest = Vec::with_capacity(sizes.batch * sizes.heads * sizes.queries);
        // A sum of magnitudes cannot fail where the sum did not.
        let _ = absolute.rows(sizes, &[q, k], lengths, |row| {
            largest.push(row.scores.iter().map(|(_, s)| *s).fold(0.0, f64::max));
        });
        largest
    }
}

/// See [`warpsmith_autograd::Op::scale`] of [`Attention`].
pub(super) fn forward_scale(op: &Attention, x: &[Array], y: &[Array]) -> Vec<Array> {
    let mut scale = vec![Array::zeros(y[0].shape), y[1].clone()];
    let Ok(sizes) = Sizes::new("attention", &x[0].shape, &x[1].shape, &x[2].shape) else { return scale };
    let scores = op.score_sizes(&sizes, x, x.get(3));
    let mut inputs = x.to_vec();
    inputs[2] = magnitudes(&x[2]);
    let _ = op.forward_reference(&sizes, &inputs, &mut scale);
    let at = Index::of(&y[0]);
    for (row, &size) in scores.iter().enumerate() {
        let (b, h, i) =
            (row / sizes.queries / sizes.heads, row / sizes.queries % sizes.heads, row % sizes.queries);
        scale[0].data[at.row(b, i, h)..][..sizes.width].iter_mut().for_each(|s| *s *= 1.0 + size);
        scale[1].data[row] = 1.0 + size + y[1].data[row].abs();
    }
    scale
}

/// See [`warpsmith_autograd::Op::scale`] of [`super::AttentionBackward`].
pub(super) fn backward_scale(op: &Attention, x: &[Array], y: &[Array]) -> Vec<Array> {
    let mut scale: Vec<Array> = y.iter().map(|y| Array::zeros(y.shape)).collect();
    let Ok(sizes) = Sizes::new("attention", &x[1].shape, &x[2].shape, &x[3].shape) else { return scale };
    let sizes_of_scores = op.score_sizes(&sizes, &x[1..], x.get(6));
    let [dout, q, k, v, out] = [0, 1, 2, 3, 4].map(|i| magnitudes(&x[i]));
    let (at_q, at_k, d) = (Index::of(&q), Index::of(&k), sizes.width);
    let factor = op.factor(d).abs();
    let _ = op.rows(&sizes, &x[1..], x.get(6), |row| {
        let at = at_q.row(row.b, row.i, row.h);
        let grad = &dout.data[at..][..d];
        let delta = dot(grad, &out.data[at..][..d]);
        let statistic = (row.b * sizes.heads + row.h) * sizes.queries + row.i;
        let total = x[5].data[statistic];
        for &(j, s) in &row.scores {
            let p = (s - total).exp() * (1.0 + sizes_of_scores[statistic] + total.abs());
            let keep = op.dropout_factor(&sizes, &row, j);
            let key = at_k.row(row.b, j, row.h / sizes.group());
            let ds = p * (dot(grad, &v.data[key..][..d]) * keep + delta) * factor;
            for c in 0..d {
                scale[0].data[at + c] += ds * k.data[key + c];
                scale[1].data[key + c] += ds * q.data[at + c];
                scale[2].data[key + c] += p * keep * grad[c];
            }
        }
    });
    scale
}
