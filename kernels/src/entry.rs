//! Entries of modules, and launches.

use crate::Module;

/// One `__global__` function. It takes one parameter, a struct by value.
#[derive(Debug)]
pub struct Entry {
    /// Where it is.
    pub module: &'static Module,
    /// Its symbol: `<op>_<pass>_<dtype>`.
    pub name: &'static str,
    /// Bytes of its parameter.
    pub param_bytes: usize,
}

impl Entry {
    /// A launch of blocks of one axis with this parameter.
    pub(crate) fn launch(&'static self, grid: [u32; 3], block: u32, params: &impl bytemuck::Pod) -> Launch {
        self.launch_in(grid, [block, 1, 1], params)
    }

    /// A launch with this parameter.
    pub(crate) fn launch_in(
        &'static self,
        grid: [u32; 3],
        block: [u32; 3],
        params: &impl bytemuck::Pod,
    ) -> Launch {
        let params = bytemuck::bytes_of(params).to_vec();
        debug_assert_eq!(params.len(), self.param_bytes, "{}", self.name);
        Launch { entry: self, grid, block, shared_bytes: 0, params }
    }
}

/// The most blocks that a GPU takes in x, in y and in z.
pub const MOST_BLOCKS: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

/// Blocks along one side of a grid. What 32 bits do not hold becomes as many as no GPU takes, and never a few: too large a
/// launch is an error of the driver, not a result of which most is missing.
pub(crate) fn blocks(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// All that one kernel launch needs but the stream.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What runs.
    pub entry: &'static Entry,
    /// Blocks in x, y, z. A 0 means that there is nothing to do: a [`Stream`] launches nothing.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub shared_bytes: u32,
    /// The parameter's bytes.
    pub params: Vec<u8>,
}

impl Launch {
    /// Whether it has more blocks than a GPU takes.
    pub fn is_too_large(&self) -> bool {
        self.grid.iter().zip(MOST_BLOCKS).any(|(&blocks, most)| blocks > most)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.grid.contains(&0)
    }
}

/// Something that runs launches in order.
pub trait Stream {
    /// What may go wrong.
    type Error;

    /// Queues one launch; does nothing if [`Launch::is_empty`].
    ///
    /// # Errors
    /// Whatever the driver says.
    fn launch(&self, launch: &Launch) -> Result<(), Self::Error>;
}

/// The module of a kernel: its name and the PTX that is built from it.
macro_rules! module {
    ($name:literal) => {
        static MODULE: $crate::Module = $crate::module::built!($name);
    };
}

/// As [`module`], of a large kernel for f16 and bf16: a module each, of which a program mostly needs one.
macro_rules! half_modules {
    ($name:literal) => {
        static F16: $crate::Module = $crate::module::built!(concat!($name, "_f16"));
        static BF16: $crate::Module = $crate::module::built!($name);
    };
}

/// Tables of entries, one entry per float dtype in the order of [`crate::Float`], and `ENTRIES`, the list of tables.
macro_rules! entries {
    ($($table:ident: $args:ty = $($name:literal)|+;)*) => {
        $(static $table: [$crate::Entry; [$($name),+].len()] = [$($crate::Entry {
            module: &MODULE,
            name: $name,
            param_bytes: size_of::<$args>(),
        }),+];)*

        /// Every entry of this kernel.
        pub static ENTRIES: &[&[$crate::Entry]] = &[$(&$table),*];
    };
}

/// As [`entries`], for kernels in [`half_modules`]: of each name the entry for f16 and, after it, that for bf16.
macro_rules! half_entries {
    ($($table:ident: $args:ty = $($name:literal)|+;)*) => {
        $(static $table: [$crate::Entry; 2 * [$($name),+].len()] = {
            const fn entry(module: &'static $crate::Module, name: &'static str) -> $crate::Entry {
                $crate::Entry { module, name, param_bytes: size_of::<$args>() }
            }
            [$(entry(&F16, concat!($name, "_f16")), entry(&BF16, concat!($name, "_bf16"))),+]
        };)*

        /// Every entry of this kernel.
        pub static ENTRIES: &[&[$crate::Entry]] = &[$(&$table),*];
    };
}

/// As [`entries`], for kernels built for every float dtype: `TABLE: Args = "<op>_<pass>";`. Behind `@also`, tables as there.
macro_rules! float_entries {
    (
        $($table:ident: $args:ty = $name:literal;)*
        $(@also $($other:ident: $other_args:ty = $($other_name:literal)|+;)*)?
    ) => {
        $(static $table: [$crate::Entry; 3] = {
            const fn entry(name: &'static str) -> $crate::Entry {
                $crate::Entry { module: &MODULE, name, param_bytes: size_of::<$args>() }
            }
            [
                entry(concat!($name, "_f32")),
                entry(concat!($name, "_f16")),
                entry(concat!($name, "_bf16")),
            ]
        };)*
        $($(static $other: [$crate::Entry; [$($other_name),+].len()] = [$($crate::Entry {
            module: &MODULE,
            name: $other_name,
            param_bytes: size_of::<$other_args>(),
        }),+];)*)?

        /// Every entry of this kernel.
        pub static ENTRIES: &[&[$crate::Entry]] = &[$(&$table,)* $($(&$other,)*)?];
    };
}

pub(crate) use {entries, float_entries, half_entries, half_modules, module};
