//! C = A·B over the last two axes, for every index of the axes before them (which broadcast).
//!
//! Derivative: ∂L/∂A = G·Bᵀ, ∂L/∂B = Aᵀ·G, summed over batch axes that were stretched.
//! Shapes: `(…, M, K)`, `(…, K, N)` → `(…, M, N)`. Transposed views are read in place: AᵀB and ABᵀ need no copy.
//! Numerics: each element is one chain of fused multiply-adds over k = 0, 1, …, K-1, so that a row alone has the bits
//! of the same row in a batch. bf16 operands are multiplied as they are and summed in f32, in an order that again depends on
//! K alone. See `warpsmith_tensor::cpu::matmul`.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_tensor::cpu::matmul::{self as kernel, Epilogue, MatMut, MatRef};
use warpsmith_tensor::{DType, Element, Error, Layout, Result, Shape, Tensor};

use crate::cuda_matmul::{self, After};
use crate::elementwise::{require_floats, sum_to};

/// Matrix product, batched.
#[derive(Clone, Copy, Debug)]
pub struct Matmul;

/// The shape of the batch axes: all but the last two.
fn batch_shape(op: &'static str, a: &Shape, b: &Shape) -> Result<Shape> {
    let outer = |s: &Shape| Shape::new(&s.dims()[..s.rank() - 2]);
    Shape::broadcast(op, &outer(a)?, &outer(b)?)
}

/// (M, K, N)
fn sizes(a: &Shape, b: &Shape) -> (usize, usize, usize) {
    let (a, b) = (a.dims(), b.dims());
    (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1])
}

/// A view error of the kernel is a bug here: shapes are checked before.
pub(crate) fn bug(op: &'static str) -> impl Fn(kernel::MatmulError) -> Error {
    move |error| Error::internal(op, error.to_string())
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        let (a, b) = (x[0].shape, x[1].shape);
        if a.rank() < 2 || b.rank() < 2 {
            return Err(Error::shape(self.name(), &[a, b], "both operands need at least two axes")
                .hint("reshape a vector to (1, K) or (K, 1)"));
        }
        let (m, k, n) = sizes(&a, &b);
        if k != b.dims()[b.rank() - 2] {
            let message = format!("inner sizes differ: {k} against {}", b.dims()[b.rank() - 2]);
            return Err(Error::shape(self.name(), &[a, b], message).hint("(M, K) times (K, N)"));
        }
        let mut dims = batch_shape(self.name(), &a, &b)?.dims().to_vec();
        dims.extend([m, n]);
        Ok(vec![Meta::new(Shape::new(&dims)?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let (m, k, n) = sizes(&x[0].shape, &x[1].shape);
        let batch = batch_shape(self.name(), &x[0].shape, &x[1].shape)?;
        let outer = |s: &Shape| Shape::new(&s.dims()[..s.rank() - 2]);
        for i in 0..batch.numel() {
            let from = |x: &Array| Ok(crate::elementwise::broadcast_index(i, &batch, &outer(&x.shape)?));
            let (a, b) = (&x[0].data[from(&x[0])? * m * k..], &x[1].data[from(&x[1])? * k * n..]);
            let c = &mut y[0].data[i * m * n..][..m * n];
            for row in 0..m {
                for col in 0..n {
                    c[row * n + col] = (0..k).map(|j| a[row * k + j] * b[j * n + col]).sum();
                }
            }
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let out = match y[0].dtype {
            DType::BF16 => products(&x, y[0].shape, kernel::matmul_bf16)?,
            DType::F16 => {
                let x = x.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<Vec<_>>>()?;
                products(&x, y[0].shape, kernel::matmul)?
            }
            _ => products(&x, y[0].shape, kernel::matmul)?,
        };
        Ok(vec![out.to_dtype(y[0].dtype)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let device = x[0].device();
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        if out.numel() == 0 {
            return Ok(vec![out]);
        }
        let batch = batch_shape(self.name(), x[0].shape(), x[1].shape())?;
        cuda_matmul::product(self.name(), [&x[0], &x[1]], &batch, &mut out, After::default())?;
        Ok(vec![out])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.grad(0)?;
        let transposed = |t: Tensor| {
            let rank = t.rank();
            t.view(t.layout().transpose(rank - 2, rank - 1)?)
        };
        let a = || sum_to(apply_single(Matmul, &[&grad, &transposed(back.input(1)?)?])?, &back.meta(0).shape);
        let b = || sum_to(apply_single(Matmul, &[&transposed(back.input(0)?)?, &grad])?, &back.meta(1).shape);
        Ok(vec![back.want(0, a)?, back.want(1, b)?])
    }

    fn cost(&self) -> Cost {
        Cost::new("(P*M*K + Q*K*N)*s", "B*M*N*s", "2*B*M*N*K")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let (m, k, n) = sizes(&x[0].shape, &x[1].shape);
        let outer = |x: &Meta| x.dims()[..x.shape.rank() - 2].iter().product();
        let batch = batch_shape(self.name(), &x[0].shape, &x[1].shape).map_or(0, |s| s.numel());
        vec![("B", batch), ("P", outer(&x[0])), ("Q", outer(&x[1])), ("M", m), ("K", k), ("N", n)]
    }

    /// Σ|aᵢ·bᵢ|
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = |a: &Array| Array { shape: a.shape, data: a.data.iter().map(|v| v.abs()).collect() };
        let mut scale = vec![Array::zeros(y[0].shape)];
        // The same product of the same shapes: it cannot fail where the first did not.
        let _ = self.reference(&[sizes(&x[0]), sizes(&x[1])], &mut scale);
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        sizes(&x[0].shape, &x[1].shape).1 as f64 + 1.0
    }
}

/// The products of all batch indices, of operands that hold `T`, in f32.
fn products<T: Element<Repr = T> + Copy>(
    x: &[Tensor],
    shape: Shape,
    multiply: impl Fn(
        MatRef<'_, T>,
        MatRef<'_, T>,
        MatMut<'_, f32>,
        Epilogue<'_>,
    ) -> std::result::Result<(), kernel::MatmulError>,
) -> Result<Tensor> {
    let (m, k, n) = sizes(x[0].shape(), x[1].shape());
    if m * k * n == 0 {
        // Empty operands have no storage in which the matrix of a batch index could start.
        return Tensor::zeros(shape, DType::F32, &x[0].device());
    }
    let mut out = Tensor::empty(shape, DType::F32, &x[0].device())?;
    let batch = batch_shape("matmul", x[0].shape(), x[1].shape())?;
    let (a, b) = (Matrices::<T>::new(&x[0], &batch)?, Matrices::<T>::new(&x[1], &batch)?);
    let starts = a.starts.positions().zip(b.starts.positions());
    for (c, (a_start, b_start)) in out.data_mut::<f32>()?.chunks_mut(m * n).zip(starts) {
        let c = MatMut::row_major(c, m, n).map_err(bug("matmul"))?;
        multiply(a.at(a_start)?, b.at(b_start)?, c, Epilogue::default()).map_err(bug("matmul"))?;
    }
    Ok(out)
}

/// A tensor as matrices of one layout, one per index of the batch axes.
struct Matrices<'a, T> {
    data: &'a [T],
    starts: Layout,
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a, T: Element<Repr = T> + Copy> Matrices<'a, T> {
    fn new(x: &'a Tensor, batch: &Shape) -> Result<Self> {
        let outer = x.rank() - 2;
        let (dims, strides) = (x.dims(), x.layout().strides());
        let len = x.storage_len();
        let starts =
            Layout::new(Shape::new(&dims[..outer])?, &strides[..outer], x.layout().offset(), len + 1)?;
        Ok(Self {
            data: x.storage_data::<T>()?,
            starts: starts.broadcast_to(batch)?,
            shape: [dims[outer], dims[outer + 1]],
            strides: [strides[outer], strides[outer + 1]],
        })
    }

    fn at(&self, start: usize) -> Result<MatRef<'a, T>> {
        let ([rows, cols], [row, col]) = (self.shape, self.strides);
        MatRef::new(&self.data[start..], rows, cols, row, col).map_err(bug("matmul"))
    }
}

methods! {
    /// The matrix product over the last two axes; axes before them broadcast.
    ///
    /// # Errors
    /// If an operand has fewer than two axes, the inner sizes differ, or the batch axes do not broadcast.
    fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Matmul, &[self, other])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "matmul",
        summary: "the matrix product, batched",
        samples: || {
            let sample = |a: &[usize], b: &[usize]| Sample::new(Matmul, [Input::any(a), Input::any(b)]);
            vec![
                sample(&[2, 5, 7], &[2, 7, 9]),
                sample(&[17, 33], &[33, 35]),
                sample(&[3, 1, 4, 6], &[2, 6, 5]),
                sample(&[1, 40], &[40, 1]),
                sample(&[3, 0], &[0, 2]),
                sample(&[0, 3], &[3, 2]),
                sample(&[2, 3, 0], &[2, 0, 4]),
            ]
        },
    }]
}
