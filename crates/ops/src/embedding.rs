//! yₙ = tableᵢ where i = idsₙ: the rows of a table by number.
//!
//! Derivative: ∂L/∂tableᵢ = Σ gₙ over the n with idsₙ = i, in the order of n; the other rows are zero.
//! Shapes: `(V, C)`, `(…)` of i64, u32 or u8 → `(…, C)`. Numerics: a move of data, exact in every dtype.
//! The backward pass sorts the positions by id (counting sort, stable) and then sums each row of the table on its
//! own, so it needs no atomics and its bits do not depend on the number of threads.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_single,
};
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{DType, Element, Error, Result, Shape, Tensor, with_dtype};

use crate::indices::{Unit, add_on_device, take_on_device};

/// Rows of a table, chosen by ids.
#[derive(Clone, Copy, Debug)]
pub struct Embedding;

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let (table, ids) = (&x[0], &x[1]);
        require_ids(self.name(), ids)?;
        if table.shape.rank() != 2 {
            return Err(Error::shape(self.name(), &[table.shape, ids.shape], "the table must be (V, C)"));
        }
        let dims = [ids.dims(), &table.dims()[1..]].concat(); // (…, C)
        Ok(vec![Meta::new(Shape::new(&dims)?, table.dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let (rows, width) = (x[0].dims()[0], x[0].dims()[1]);
        for (n, &id) in x[1].data.iter().enumerate() {
            let id = checked(self.name(), id as i64, n, rows)?;
            y[0].data[n * width..][..width].copy_from_slice(&x[0].data[id * width..][..width]);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let ids = row_numbers(self.name(), &x[1], x[0].dims()[0])?;
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        with_dtype!(y[0].dtype, T => gather::<T>(&x[0], &ids, &mut out)?);
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        take_on_device(self.name(), Unit::Slice, [&x[0], &x[1]], 0, &y[0])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[1])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (rows, ids) = (back.meta(0).dims()[0], back.input(1)?);
        let grad = back.take_grad(0)?;
        let table = back.want(0, || apply_single(EmbeddingBackward { rows }, &[&grad, &ids]))?;
        Ok(vec![table, None])
    }

    fn cost(&self) -> Cost {
        Cost::new("I*C*s + I*i", "I*C*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("I", x[1].shape.numel()), ("i", x[1].dtype.size()), ("C", x[0].shape.last())]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

/// An error unless `ids` holds whole numbers.
fn require_ids(op: &'static str, ids: &Meta) -> Result<()> {
    if ids.dtype.is_index() {
        return Ok(());
    }
    Err(Error::dtype(op, format!("ids are i64, u32 or u8, not {}", ids.dtype))
        .operands([(ids.shape, ids.dtype)])
        .hint("convert with to_dtype"))
}

/// The id as a row number, or an error that says which id it is and what rows there are.
fn checked(op: &'static str, id: i64, position: usize, rows: usize) -> Result<usize> {
    usize::try_from(id).ok().filter(|&id| id < rows).ok_or_else(|| {
        let message = format!("id {id} at position {position}, but the table has {rows} rows");
        Error::index(op, message).hint("was the text encoded by another tokenizer than the model's?")
    })
}

/// All ids as row numbers, row-major.
fn row_numbers(op: &'static str, ids: &Tensor, rows: usize) -> Result<Vec<usize>> {
    let check = |(n, id): (usize, i64)| checked(op, id, n, rows);
    match ids.dtype() {
        DType::U32 => ids.to_vec::<u32>()?.into_iter().map(i64::from).enumerate().map(check).collect(),
        DType::U8 => ids.to_vec::<u8>()?.into_iter().map(i64::from).enumerate().map(check).collect(),
        _ => ids.to_vec::<i64>()?.into_iter().enumerate().map(check).collect(),
    }
}

/// Copies row `ids[n]` of the table to row `n` of `out`.
fn gather<T: Element>(table: &Tensor, ids: &[usize], out: &mut Tensor) -> Result<()> {
    let width = table.dims()[1];
    let (row_stride, step) = (table.layout().strides()[0], table.layout().strides()[1]);
    let (data, offset) = (table.storage_data::<T>()?, table.layout().offset());
    for_rows(out.data_mut::<T>()?, width, 1, |first, block| {
        for (to, &id) in block.chunks_mut(width).zip(&ids[first..]) {
            let start = offset + id * row_stride;
            if step == 1 || width == 1 {
                to.copy_from_slice(&data[start..start + width]);
            } else {
                to.iter_mut().enumerate().for_each(|(c, to)| *to = data[start + c * step]);
            }
        }
    });
    Ok(())
}

/// The gradient of the table of [`Embedding`], from (g, ids).
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingBackward {
    /// V, the number of rows of the table.
    pub rows: usize,
}

impl Op for EmbeddingBackward {
    fn name(&self) -> &'static str {
        "embedding_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let (grad, ids) = (&x[0], &x[1]);
        require_ids(self.name(), ids)?;
        crate::elementwise::require_floats(self.name(), &x[..1])?;
        match grad.dims().split_last() {
            Some((&width, outer)) if outer == ids.dims() => {
                Ok(vec![Meta::new(Shape::new(&[self.rows, width])?, grad.dtype)])
            }
            _ => {
                let message = "the gradient must have the shape of the ids and one more axis";
                Err(Error::shape(self.name(), &[grad.shape, ids.shape], message))
            }
        }
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[0].last();
        for (n, &id) in x[1].data.iter().enumerate() {
            let id = checked(self.name(), id as i64, n, self.rows)?;
            let sum = &mut y[0].data[id * width..][..width];
            sum.iter_mut().zip(&x[0].data[n * width..]).for_each(|(sum, g)| *sum += g);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let by_id = Positions::sorted(&row_numbers(self.name(), &x[1], self.rows)?, self.rows);
        let grad = x[0].contiguous()?;
        let (g, width) = (grad.data::<f32>()?, y[0].shape.last());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &grad.device())?;
        for_rows(out.data_mut::<f32>()?, width, 1, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, sum) in block.chunks_mut(width).enumerate() {
                        sum.fill(0.0);
                        for &n in by_id.of(first + i) {
                            let g = &g[n * width..][..width];
                            for c in 0..width {
                                sum[c] += g[c];
                            }
                        }
                    }
                },
            );
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let zeros = Tensor::zeros(y[0].shape, y[0].dtype, &x[0].device())?;
        add_on_device(self.name(), Unit::Slice, zeros, [&x[1], &x[0]], 0)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + I*i", "V*C*s", "N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let ids = &x[1];
        vec![("I", ids.shape.numel()), ("i", ids.dtype.size()), ("V", self.rows), ("C", x[0].shape.last())]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = Array { shape: x[0].shape, data: x[0].data.iter().map(|g| g.abs()).collect() };
        let mut scale = vec![Array::zeros(y[0].shape)];
        // Ids that gave a result give the sum of its terms' sizes, too.
        let _ = self.reference(&[sizes, x[1].clone()], &mut scale);
        scale
    }

    /// One rounding per term, and all positions may name one row.
    fn roundings(&self, x: &[Meta]) -> f64 {
        x[1].shape.numel() as f64
    }
}

/// Positions grouped by id, ascending within each id.
struct Positions {
    /// Where each id's group starts; one more entry marks the end.
    starts: Vec<usize>,
    positions: Vec<usize>,
}

impl Positions {
    fn sorted(ids: &[usize], rows: usize) -> Self {
        let mut starts = vec![0; rows + 1];
        ids.iter().for_each(|&id| starts[id + 1] += 1);
        (0..rows).for_each(|id| starts[id + 1] += starts[id]);
        let (mut next, mut positions) = (starts.clone(), vec![0; ids.len()]);
        for (n, &id) in ids.iter().enumerate() {
            positions[next[id]] = n;
            next[id] += 1;
        }
        Self { starts, positions }
    }

    #[inline(always)]
    fn of(&self, id: usize) -> &[usize] {
        &self.positions[self.starts[id]..self.starts[id + 1]]
    }
}

methods! {
    /// The rows of this table `(V, C)` that `ids` (any shape; i64, u32 or u8) name: `(…, C)`.
    ///
    /// # Errors
    /// If the table has not two axes, the ids are not whole numbers, or an id is not below V.
    fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        apply_single(Embedding, &[self, ids])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "embedding",
            summary: "rows of a table by id",
            samples: || {
                let rows = |table: &[usize], ids: &[usize]| {
                    Sample::new(Embedding, [Input::any(table), Input::index(ids, table[0])])
                };
                vec![
                    rows(&[11, 35], &[3, 7]),
                    rows(&[1, 1], &[1]),
                    rows(&[5, 3], &[]),
                    rows(&[5, 3], &[2, 0]),
                    rows(&[4, 0], &[3]),
                ]
            },
        },
        Spec {
            name: "embedding_backward",
            summary: "the gradient of the table: sums rows of the gradient by id",
            samples: || {
                let sums = |rows: usize, grad: &[usize]| {
                    let ids = Input::index(&grad[..grad.len() - 1], rows);
                    Sample::new(EmbeddingBackward { rows }, [Input::any(grad), ids])
                };
                vec![
                    sums(11, &[3, 7, 35]),
                    sums(40, &[9, 3]),
                    sums(1, &[1, 1]),
                    sums(3, &[0, 5]),
                    sums(2, &[70, 1]),
                ]
            },
        },
    ]
}
