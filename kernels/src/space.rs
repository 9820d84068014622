//! The index space of elementwise kernels: a shape, and how each operand lies in it.

use bytemuck::{Pod, Zeroable};

use crate::entry::blocks;

/// The most axes that a space has.
pub const MAX_DIMS: usize = 8;

/// Threads per block of kernels over a space: `MAP_THREADS` of `tile/space.cuh`.
pub(crate) const THREADS: u32 = 256;

/// The shape of an output: sizes of its axes, right-aligned, 1 in front.
pub type Dims = [u64; MAX_DIMS];

/// Right-aligns the sizes of the axes; of more than [`MAX_DIMS`] the last ones count.
pub fn dims(sizes: &[usize]) -> Dims {
    let mut dims = [1; MAX_DIMS];
    dims.iter_mut().rev().zip(sizes.iter().rev()).for_each(|(to, &from)| *to = from as u64);
    dims
}

/// One operand of an elementwise kernel: where it is, and how it lies along the axes of the output.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The device address of the element at place (0, …, 0).
    pub pointer: u64,
    /// Elements between neighbours along each axis, right-aligned like the dims; 0 where the operand is broadcast.
    pub strides: [i64; MAX_DIMS],
}

impl Operand {
    /// An operand of strides as a tensor has them, right-aligned.
    pub fn strided(pointer: u64, strides: &[usize]) -> Self {
        let mut own = [0; MAX_DIMS];
        own.iter_mut().rev().zip(strides.iter().rev()).for_each(|(to, &from)| *to = from as i64);
        Self { pointer, strides: own }
    }

    /// An operand without gaps, in row-major order.
    pub fn contiguous(pointer: u64, dims: Dims) -> Self {
        let mut strides = [0; MAX_DIMS];
        let mut stride = 1;
        for (own, size) in strides.iter_mut().zip(dims).rev() {
            *own = stride;
            stride *= size as i64;
        }
        Self { pointer, strides }
    }

    /// One element, broadcast.
    pub fn scalar(pointer: u64) -> Self {
        Self { pointer, strides: [0; MAX_DIMS] }
    }
}

/// An index space of `N` operands, with as few axes as their strides allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space<const N: usize> {
    elements: u64,
    rank: usize,
    flat: bool,
    dims: Dims,
    strides: [[i64; MAX_DIMS]; N],
}

impl<const N: usize> Space<N> {
    /// The space of an output of these dims, its operands in the order that the kernel wants.
    pub fn new(dims: Dims, operands: [&Operand; N]) -> Self {
        let elements = dims.iter().product();
        let mut space =
            Self { elements, rank: 0, flat: false, dims: [1; MAX_DIMS], strides: [[0; MAX_DIMS]; N] };
        for axis in (0..MAX_DIMS).rev().filter(|&axis| dims[axis] != 1) {
            space.push(dims[axis], operands.map(|o| o.strides[axis]));
        }
        let gapless = space.strides.iter().all(|strides| strides[0] == 1);
        let aligned = operands.iter().all(|o| o.pointer.is_multiple_of(16));
        space.flat = space.rank == 1 && gapless && aligned;
        space
    }

    /// Adds an axis outside the others, or lengthens the outermost one if every operand goes on where that one ends.
    fn push(&mut self, size: u64, strides: [i64; N]) {
        let merges = self.rank > 0 && {
            let last = self.rank - 1;
            (0..N).all(|k| strides[k] == self.strides[k][last] * self.dims[last] as i64)
        };
        if merges {
            self.dims[self.rank - 1] *= size;
            return;
        }
        self.dims[self.rank] = size;
        (0..N).for_each(|k| self.strides[k][self.rank] = strides[k]);
        self.rank += 1;
    }

    /// Blocks that cover the space when one thread moves `width` elements of a flat one.
    pub(crate) fn grid(&self, width: usize) -> [u32; 3] {
        let per_block = u64::from(THREADS) * if self.flat { width as u64 } else { 1 };
        [blocks(self.elements.div_ceil(per_block)), 1, 1]
    }
}

/// `Space<N>` of `tile/space.cuh`, to the byte.
macro_rules! packed {
    ($($name:ident = $n:literal),*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        pub(crate) struct $name {
            elements: u64,
            rank: u32,
            flat: u32,
            dims: Dims,
            strides: [[i64; MAX_DIMS]; $n],
        }

        impl From<Space<$n>> for $name {
            fn from(space: Space<$n>) -> Self {
                let Space { elements, rank, flat, dims, strides } = space;
                Self { elements, rank: rank as u32, flat: u32::from(flat), dims, strides }
            }
        }
    )*};
}
packed!(Space2 = 2, Space3 = 3, Space4 = 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_axes_merge_where_every_operand_goes_on() {
        let shape = dims(&[4, 5, 6]);
        let (y, x) = (Operand::contiguous(0, shape), Operand::contiguous(256, shape));
        let space = Space::new(shape, [&y, &x]);
        assert_eq!((space.rank, space.dims[0], space.flat), (1, 120, true));

        let row = Operand::strided(0, &[0, 0, 1]);
        let space = Space::new(shape, [&y, &row]);
        assert_eq!((space.rank, &space.dims[..2], space.flat), (2, &[6, 20][..], false));
        assert_eq!(
            (space.strides[0][..2].to_vec(), space.strides[1][..2].to_vec()),
            (vec![1, 6], vec![1, 0])
        );

        let transposed = Operand::strided(0, &[30, 1, 5]);
        assert_eq!(Space::new(shape, [&y, &transposed]).rank, 3);
    }

    #[test]
    fn a_space_is_flat_only_where_16_bytes_can_be_moved_at_once() {
        let shape = dims(&[7]);
        let at = |pointer| Operand::contiguous(pointer, shape);
        assert!(Space::new(shape, [&at(0), &at(16)]).flat);
        assert!(!Space::new(shape, [&at(0), &at(20)]).flat);
        assert!(!Space::new(shape, [&at(0), &Operand::scalar(0)]).flat);
    }

    #[test]
    fn grids_cover_the_elements_and_nothing_needs_no_block() {
        let grid = |n: usize, pointer| {
            let shape = dims(&[n]);
            let x = Operand::contiguous(pointer, shape);
            Space::new(shape, [&x, &x]).grid(4)[0]
        };
        assert_eq!([grid(0, 0), grid(1, 0), grid(1024, 0), grid(1025, 0), grid(257, 4)], [0, 1, 1, 2, 2]);
    }
}
