//! The same values in other memory: every layout that a view can have, in storage whose other elements are poison.

use warpsmith_autograd::Array;
use warpsmith_tensor::{DType, Device, Layout, Result, Shape, Tensor};

use crate::Repeat;

/// How a tensor lies in its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Row-major, without gaps.
    Contiguous,
    /// One element off the alignment that allocations have.
    Misaligned,
    /// The last two axes exchanged.
    Transposed,
    /// All axes in reverse.
    Permuted,
    /// A slice out of the middle of each axis.
    Padded,
    /// Every second element of the last axis.
    Strided,
    /// Axes of size 1 with strides that mean nothing.
    LooseOnes,
    /// Each input in another layout.
    Mixed,
    /// Stride 0 along the first axis.
    RepeatedFirst,
    /// Stride 0 along the last axis.
    RepeatedLast,
    /// One number, stride 0 along every axis.
    RepeatedEverywhere,
}

impl Memory {
    /// All layouts, the plain one first.
    pub const ALL: [Self; 11] = [
        Self::Contiguous,
        Self::Misaligned,
        Self::Transposed,
        Self::Permuted,
        Self::Padded,
        Self::Strided,
        Self::LooseOnes,
        Self::Mixed,
        Self::RepeatedFirst,
        Self::RepeatedLast,
        Self::RepeatedEverywhere,
    ];

    /// What the values must be for this layout to hold them.
    pub fn repeat(self) -> Repeat {
        match self {
            Self::RepeatedFirst => Repeat::First,
            Self::RepeatedLast => Repeat::Last,
            Self::RepeatedEverywhere => Repeat::Everywhere,
            _ => Repeat::Nowhere,
        }
    }

    /// The layout of `shape` in this memory and the storage it takes; `None` if it would be nothing new.
    fn layout(self, shape: &Shape) -> Option<(Layout, usize)> {
        let (dims, rank, n) = (shape.dims(), shape.rank(), shape.numel());
        let gapless = |dims: &[usize]| Shape::new(dims).map(Layout::contiguous).ok();
        let held = |layout: Layout| Some((layout, layout.shape().numel()));
        match self {
            Self::Contiguous => held(Layout::contiguous(*shape)),
            Self::Misaligned => {
                let strides = Layout::contiguous(*shape);
                Layout::new(*shape, strides.strides(), 1, n + 2).ok().map(|l| (l, n + 2))
            }
            Self::Transposed if rank >= 2 && dims[rank - 1] > 1 && dims[rank - 2] > 1 => {
                let mut swapped = dims.to_vec();
                swapped.swap(rank - 1, rank - 2);
                held(gapless(&swapped)?.transpose(rank - 1, rank - 2).ok()?)
            }
            Self::Permuted if rank >= 3 => {
                let order: Vec<usize> = (0..rank).rev().collect();
                let reversed: Vec<usize> = dims.iter().rev().copied().collect();
                held(gapless(&reversed)?.permute(&order).ok()?)
            }
            Self::Padded if rank >= 1 => {
                let wide = gapless(&dims.iter().map(|d| d + 2).collect::<Vec<_>>())?;
                let inner = (0..rank).try_fold(wide, |l, axis| l.slice(axis, 1, dims[axis], 1)).ok()?;
                Some((inner, wide.shape().numel()))
            }
            Self::Strided if rank >= 1 && n > 0 => {
                let wide = gapless(
                    &dims
                        .iter()
                        .enumerate()
                        .map(|(a, d)| if a + 1 == rank { 2 * d } else { *d })
                        .collect::<Vec<_>>(),
                )?;
                Some((wide.slice(rank - 1, 0, dims[rank - 1], 2).ok()?, wide.shape().numel()))
            }
            Self::LooseOnes if dims.contains(&1) => {
                let own = Layout::contiguous(*shape);
                let strides: Vec<usize> =
                    dims.iter().zip(own.strides()).map(|(&d, &s)| if d == 1 { 97 } else { s }).collect();
                Layout::new(*shape, &strides, 0, n).ok().map(|l| (l, n))
            }
            Self::RepeatedFirst if rank >= 2 && dims[0] > 1 => {
                let one = gapless(&dims[1..])?;
                Some((one.broadcast_to(shape).ok()?, one.shape().numel()))
            }
            Self::RepeatedLast if rank >= 1 && dims[rank - 1] > 1 => {
                let one = Layout::contiguous(shape.with_dim(rank - 1, 1).ok()?);
                Some((one.broadcast_to(shape).ok()?, one.shape().numel()))
            }
            Self::RepeatedEverywhere if n > 1 => Some((gapless(&[])?.broadcast_to(shape).ok()?, 1)),
            _ => None,
        }
    }

    /// The memory of input number `i` of a call.
    fn of_input(self, i: usize) -> Self {
        const MIX: [Memory; 5] =
            [Memory::Padded, Memory::Contiguous, Memory::Transposed, Memory::Strided, Memory::Misaligned];
        if self == Self::Mixed { MIX[i % MIX.len()] } else { self }
    }
}

/// What fills the storage around a view: NaN for floats, an index that no axis has for integers.
fn poison(dtype: DType) -> f64 {
    if dtype.is_float() { f64::NAN } else { 9e15 }
}

/// The inputs of a call in this memory, on the host; `None` if every one of them would lie as in [`Memory::Contiguous`].
///
/// # Errors
/// If there is not enough memory.
pub fn lay(memory: Memory, arrays: &[Array], dtypes: &[DType]) -> Result<Option<Vec<Tensor>>> {
    let mut other = memory == Memory::Contiguous;
    let mut tensors = Vec::new();
    for (i, (array, &dtype)) in arrays.iter().zip(dtypes).enumerate() {
        let own = memory.of_input(i);
        let fitting = own.layout(&array.shape).filter(|(layout, _)| holds(layout, array));
        other |= fitting.is_some() && own != Memory::Contiguous;
        let (layout, len) = fitting.unwrap_or((Layout::contiguous(array.shape), array.data.len()));
        let mut storage = vec![poison(dtype); len];
        layout.positions().zip(&array.data).for_each(|(at, &v)| storage[at] = v);
        let tensor = Tensor::from_f64(&storage, Shape::new(&[len])?, dtype, &Device::Cpu)?;
        tensors.push(tensor.view(layout)?);
    }
    Ok(other.then_some(tensors))
}

/// Whether elements that share memory are equal.
fn holds(layout: &Layout, array: &Array) -> bool {
    let mut seen: std::collections::HashMap<usize, u64> = std::collections::HashMap::new();
    layout.positions().zip(&array.data).all(|(at, v)| *seen.entry(at).or_insert(v.to_bits()) == v.to_bits())
}
