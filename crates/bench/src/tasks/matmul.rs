//! C = A·B, `MxNxK`; backward dA = G·Bᵀ and dB = Aᵀ·G.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Array, Cost, Differentiability, Meta, Op, apply_single};
use warpsmith_ops::matmul::Matmul as Product;
use warpsmith_tensor::{DType, Device, Rng, Tensor};

use super::{Pass, Workload, meta, sizes};
use crate::Result;
use crate::oracle::{Term, Window};
use crate::tensors::normal;

/// (M, K) times (K, N).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matmul {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
}

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    let [m, n, k] = sizes(text, "MxNxK")?;
    Ok(Arc::new(Matmul { m, n, k }))
}

impl fmt::Display for Matmul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.m, self.n, self.k)
    }
}

/// (dA, dB) from (G, A, B): the two products that the gradient of a matmul runs, as one op.
#[derive(Clone, Copy, Debug)]
struct Gradients;

fn transposed(x: &Tensor) -> warpsmith_tensor::Result<Tensor> {
    x.view(x.layout().transpose(0, 1)?)
}

fn turned(x: &Array) -> Array {
    let &[rows, columns] = x.dims() else { return x.clone() };
    let data = (0..rows * columns).map(|i| x.data[i % rows * columns + i / rows]).collect();
    Array { shape: x.shape.with_dim(0, columns).and_then(|s| s.with_dim(1, rows)).unwrap_or(x.shape), data }
}

impl Gradients {
    fn products(x: &[Tensor]) -> warpsmith_tensor::Result<Vec<Tensor>> {
        let (g, a, b) = (&x[0], &x[1], &x[2]);
        Ok(vec![apply_single(Product, &[g, &transposed(b)?])?, apply_single(Product, &[&transposed(a)?, g])?])
    }

    /// The operands of both products.
    fn operands(x: &[Array]) -> [[Array; 2]; 2] {
        [[x[0].clone(), turned(&x[2])], [turned(&x[1]), x[0].clone()]]
    }
}

impl Op for Gradients {
    fn name(&self) -> &'static str {
        "matmul_backward"
    }

    fn shape(&self, x: &[Meta]) -> warpsmith_tensor::Result<Vec<Meta>> {
        Ok(vec![x[1], x[2]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> warpsmith_tensor::Result<()> {
        let pairs = Self::operands(x).into_iter().zip(y);
        pairs.into_iter().try_for_each(|(operands, y)| Product.reference(&operands, std::slice::from_mut(y)))
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> warpsmith_tensor::Result<Vec<Tensor>> {
        Self::products(&x)
    }

    fn cuda(&self, x: Vec<Tensor>, _y: &[Meta]) -> warpsmith_tensor::Result<Vec<Tensor>> {
        Self::products(&x)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("(2*M*N + M*K + K*N)*s", "(M*K + K*N)*s", "4*M*N*K")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("M", x[1].dims()[0]), ("K", x[1].dims()[1]), ("N", x[2].dims()[1])]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let pairs = Self::operands(x).into_iter().zip(y);
        pairs.flat_map(|(operands, y)| Product.scale(&operands, std::slice::from_ref(y))).collect()
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        x[0].dims().iter().copied().max().unwrap_or(0) as f64 + 1.0
    }
}

/// Above so many multiply-adds the oracle looks at parts.
const WHOLE: usize = 1 << 22;
/// Rows and columns of one part.
const PART: usize = 16;

impl Workload for Matmul {
    fn task(&self) -> &'static str {
        "matmul"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        vec![("M", self.m), ("N", self.n), ("K", self.k)]
    }

    fn names(&self, pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        match pass {
            Pass::Forward => (&["A", "B"], &["C"]),
            Pass::Backward => (&["G", "A", "B"], &["dA", "dB"]),
        }
    }

    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>> {
        Ok(if pass == Pass::Forward { Arc::new(Product) } else { Arc::new(Gradients) })
    }

    fn inputs(&self, pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let [a, b] = [[self.m, self.k], [self.k, self.n]].map(|dims| normal(&dims, dtype, rng, device));
        let mut inputs = vec![a?, b?];
        if pass == Pass::Backward {
            inputs.insert(0, normal(&[self.m, self.n], dtype, rng, device)?);
        }
        Ok(inputs)
    }

    fn windows(&self, pass: Pass) -> Vec<Window> {
        let (m, n, k) = (self.m, self.n, self.k);
        if m * n * k <= WHOLE {
            return vec![match pass {
                Pass::Forward => Window::whole(Term::whole(Product, 2), 1),
                Pass::Backward => Window::whole(Term::whole(Gradients, 3), 2),
            }];
        }
        let corners = |size: usize| {
            let starts = [0, (size / 2 + 7).min(size.saturating_sub(PART)), size.saturating_sub(PART)];
            starts.map(|from| from..(from + PART).min(size))
        };
        let (rows, columns, inner) = (corners(m), corners(n), corners(k));
        let parts = (0..9).flat_map(|i| {
            let (r, c) = (rows[i / 3].clone(), columns[i % 3].clone());
            let (j, of_b) = (inner[i % 3].clone(), inner[i / 3].clone());
            match pass {
                Pass::Forward => vec![Window {
                    terms: vec![Term::new(Product, vec![vec![r.clone(), 0..k], vec![0..k, c.clone()]])],
                    outputs: vec![Some(vec![r, c])],
                }],
                // Rows of dA want rows of G and of B; columns of dB want columns of G, and of A.
                Pass::Backward => vec![
                    Window {
                        terms: vec![Term::new(
                            Gradients,
                            vec![vec![r.clone(), 0..n], vec![r.clone(), j.clone()], vec![j.clone(), 0..n]],
                        )],
                        outputs: vec![Some(vec![r, j.clone()]), None],
                    },
                    Window {
                        terms: vec![Term::new(
                            Gradients,
                            vec![
                                vec![0..m, c.clone()],
                                vec![0..m, of_b.clone()],
                                vec![of_b.clone(), c.clone()],
                            ],
                        )],
                        outputs: vec![None, Some(vec![of_b, c])],
                    },
                ],
            }
        });
        parts.collect()
    }

    fn metas(&self, pass: Pass, dtype: DType) -> Result<Vec<Meta>> {
        let (m, n, k) = (self.m, self.n, self.k);
        let operands = vec![meta(&[m, k], dtype)?, meta(&[k, n], dtype)?];
        let gradient = meta(&[m, n], dtype)?;
        Ok(if pass == Pass::Forward { operands } else { [vec![gradient], operands].concat() })
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        [[37, 41, 29], [129, 65, 33], [64, 128, 257], [3, 200, 64], [1, 1, 1]]
            .into_iter()
            .map(|[m, n, k]| -> Arc<dyn Workload> { Arc::new(Self { m, n, k }) })
            .collect()
    }
}
