//! Products of matrices. The two letters say how A and B lie: n as written, t transposed.

use warpsmith::autograd::{Array, Cost, Meta, Op};
use warpsmith::ops::matmul::Matmul as Product;
use warpsmith::tensor::{Error, Shape, Tensor};
use warpsmith_kernels::matmul::{self, Matmul, Matrix, Plan};

use super::super::case::{Call, Draw};
use crate::cli::Failure;

type Made = Result<Call, Failure>;

pub fn nn(d: &Draw<'_>) -> Made {
    product(d, [false, false])
}

pub fn nt(d: &Draw<'_>) -> Made {
    product(d, [false, true])
}

pub fn tn(d: &Draw<'_>) -> Made {
    product(d, [true, false])
}

/// C (M, N) = A (M, K) · B (K, N), of which each may lie transposed.
fn product(d: &Draw<'_>, [a_lies, b_lies]: [bool; 2]) -> Made {
    let [m, n, k] = [d.sizes[0], d.sizes[1], d.sizes[2]];
    let side = |rows, cols, lies| d.numbers(&if lies { [cols, rows] } else { [rows, cols] }, -1.0, 1.0);
    let (a, b) = (side(m, k, a_lies)?, side(k, n, b_lies)?);
    let matrix = |pointer, rows: usize, cols: usize, lies: bool| {
        let (row, col) = if lies { (1, rows as i64) } else { (cols as i64, 1) };
        Matrix { pointer, row, col, batch: [0; 3] }
    };
    let dtype = d.float;
    let describe = move |a, b, c| {
        Matmul::plain(
            dtype,
            [m as u32, n as u32, k as u32],
            matrix(a, m, k, a_lies),
            matrix(b, k, n, b_lies),
            c,
        )
    };
    let room = Plan::of(&describe(0, 0, 0)).workspace_bytes();
    let call = Call::new(Transposed { a: a_lies, b: b_lies }, vec![a, b], move |at| {
        matmul::matmul(&describe(at.x[0], at.x[1], at.y[0]), at.room).map_err(|e| e.to_string())
    });
    Ok(call.with_room(room))
}

/// The product of matrices that may lie transposed: what `permute` and [`Product`] are together.
#[derive(Debug, Clone, Copy)]
struct Transposed {
    a: bool,
    b: bool,
}

impl Transposed {
    fn upright<T>(self, x: &[T], turn: impl Fn(&T) -> Result<T, Error>) -> Result<Vec<T>, Error>
    where
        T: Clone,
    {
        let one = |x: &T, lies| if lies { turn(x) } else { Ok(x.clone()) };
        Ok(vec![one(&x[0], self.a)?, one(&x[1], self.b)?])
    }

    fn metas(self, x: &[Meta]) -> Result<Vec<Meta>, Error> {
        self.upright(x, |m| Ok(Meta::new(turned(m.dims())?, m.dtype)))
    }

    fn arrays(self, x: &[Array]) -> Result<Vec<Array>, Error> {
        self.upright(x, |a| {
            let [rows, cols] = [a.dims()[0], a.dims()[1]];
            let data = (0..rows * cols).map(|i| a.data[i % rows * cols + i / rows]).collect();
            Ok(Array { shape: turned(a.dims())?, data })
        })
    }
}

/// Rows for columns.
fn turned(dims: &[usize]) -> Result<Shape, Error> {
    Shape::new(&[dims[1], dims[0]])
}

impl Op for Transposed {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>, Error> {
        Product.shape(&self.metas(x)?)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<(), Error> {
        Product.reference(&self.arrays(x)?, y)
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>, Error> {
        Product.cpu(x, y)
    }

    fn cost(&self) -> Cost {
        Product.cost()
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.metas(x).map_or_else(|_| Vec::new(), |x| Product.symbols(&x))
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        self.arrays(x).map_or_else(|_| y.to_vec(), |x| Product.scale(&x, y))
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        self.metas(x).map_or(0.0, |x| Product.roundings(&x))
    }
}
