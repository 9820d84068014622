//! What elementwise kernels share: one output and `N` inputs of any strides, all of one float dtype.

use bytemuck::{Pod, Zeroable};

use crate::space::{Dims, Operand, Space, Space2, Space3, Space4, THREADS};
use crate::{Entry, Float, Launch};

/// The operands of y = f(x₀, …) at every place of a shape.
#[derive(Clone, Copy, Debug)]
pub struct Map<const N: usize> {
    /// The dtype of all operands.
    pub dtype: Float,
    /// The shape of y.
    pub dims: Dims,
    /// The output. It may be an input only if both lie alike.
    pub y: Operand,
    /// The inputs, stretched to the shape by strides of 0.
    pub x: [Operand; N],
}

/// `MapArgs<N>` of `tile/map.cuh`, and the launch of a kernel that takes it.
macro_rules! map {
    ($($args:ident = $n:literal, $space:ident;)*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        pub(crate) struct $args {
            y: u64,
            x: [u64; $n],
            attributes: [u64; 2],
            space: $space,
        }

        impl Map<$n> {
            /// The launch of one of the entries, which are in the order of the dtypes.
            pub(crate) fn launch(&self, entries: &'static [Entry; 3], attributes: [f64; 2]) -> Launch {
                let mut operands = [&self.y; $n + 1];
                operands[1..].iter_mut().zip(&self.x).for_each(|(to, x)| *to = x);
                let space = Space::new(self.dims, operands);
                let grid = space.grid(16 / self.dtype.size());
                let (y, x) = (self.y.pointer, self.x.map(|x| x.pointer));
                let params = $args { y, x, attributes: attributes.map(f64::to_bits), space: space.into() };
                entries[self.dtype as usize].launch(grid, THREADS, &params)
            }
        }
    )*};
}
map! {
    Map1Args = 1, Space2;
    Map2Args = 2, Space3;
    Map3Args = 3, Space4;
}

/// The functions of one module that are launched alike: an enum of them, its fields the attributes, the tables of their
/// entries, and the launch of one with `$inputs` inputs.
macro_rules! functions {
    (
        $(#[$about:meta])*
        $functions:ident: $args:ty;
        $(#[$does:meta])*
        $launch:ident: $inputs:literal;
        $(
            $(#[$doc:meta])*
            $variant:ident $({ $($(#[$field_doc:meta])* $field:ident,)+ })? = $table:ident $op:literal;
        )+
    ) => {
        $crate::entry::float_entries! { $($table: $args = $op;)+ }

        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum $functions {
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: f64,)+ })?,)+
        }

        $(#[$does])*
        pub fn $launch(function: $functions, operands: &$crate::Map<$inputs>) -> $crate::Launch {
            let (entries, given): (_, &[f64]) = match function {
                $($functions::$variant $({ $($field),+ })? => (&$table, &[$($($field),+)?]),)+
            };
            let mut attributes = [0.0; 2];
            attributes[..given.len()].copy_from_slice(given);
            operands.launch(entries, attributes)
        }
    };
}
pub(crate) use functions;
