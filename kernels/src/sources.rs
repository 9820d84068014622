//! The sources of the kernels, as the line tables of the PTX name them: for whoever shows a reader the line behind an
//! instruction. A program that asks for none of them carries none of them.

/// The path as line tables have it, and the text.
macro_rules! sources {
    ($($name:literal,)*) => {
        [$((concat!("kernels/", $name), include_str!(concat!("../", $name)))),*]
    };
}

/// The text of a source file of the kernels by its path in the repository, such as `kernels/tile/row.cuh`.
pub fn source(path: &str) -> Option<&'static str> {
    sources().iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

/// The source file that a module is built from: where that only names a dtype, the one that it includes.
pub fn source_of(module: &crate::Module) -> Option<&'static str> {
    let own = source(&format!("kernels/{}.cu", module.name))?;
    let names = own.lines().find_map(|line| line.strip_prefix("#include \"")?.strip_suffix(".cu\""));
    names.map_or(Some(own), |name| source(&format!("kernels/{name}.cu")))
}

/// Every source file: its path in the repository, and its text.
pub fn sources() -> &'static [(&'static str, &'static str)] {
    static SOURCES: [(&str, &str); 85] = sources! {
        "attention_backward.cu",
        "attention_backward_f16.cu",
        "attention_delta.cu",
        "attention_f32.cu",
        "attention_forward.cu",
        "attention_forward_f16.cu",
        "batch_norm.cu",
        "binary.cu",
        "cast.cu",
        "columns.cu",
        "compare.cu",
        "copy.cu",
        "cross_entropy.cu",
        "decode.cu",
        "dequantise.cu",
        "dropout.cu",
        "fill.cu",
        "gemv.cu",
        "index.cu",
        "index_add.cu",
        "matmul.cu",
        "matmul_f16.cu",
        "matmul_f32.cu",
        "matmul_reduce.cu",
        "normalise.cu",
        "optimise.cu",
        "pow.cu",
        "quantised_matmul.cu",
        "recurrent.cu",
        "reduce.cu",
        "rope.cu",
        "sample.cu",
        "select.cu",
        "softmax.cu",
        "swiglu.cu",
        "unary.cu",
        "unary_backward.cu",
        "unfold.cu",
        "ladder/attention/01_three_kernels.cu",
        "ladder/attention/02_fused.cu",
        "ladder/attention/03_tiled.cu",
        "ladder/attention/04_tensor_cores.cu",
        "ladder/attention/05_backward_three_kernels.cu",
        "ladder/attention/args.cuh",
        "ladder/matmul/01_naive.cu",
        "ladder/matmul/02_coalesced.cu",
        "ladder/matmul/03_shared_tile.cu",
        "ladder/matmul/04_register_tile.cu",
        "ladder/matmul/05_vectorised.cu",
        "ladder/matmul/06_tensor_cores.cu",
        "ladder/matmul/07_swizzled_pipeline.cu",
        "ladder/matmul/args.cuh",
        "ladder/softmax/args.cuh",
        "ladder/softmax/01_three_passes.cu",
        "ladder/softmax/02_online.cu",
        "ladder/softmax/03_warp_per_row.cu",
        "ladder/softmax/04_vectorised.cu",
        "ladder/softmax/05_shared_memory.cu",
        "ptx/convert.cuh",
        "ptx/cp_async.cuh",
        "ptx/exponential.cuh",
        "ptx/ldmatrix.cuh",
        "ptx/load.cuh",
        "ptx/mma.cuh",
        "ptx/philox.cuh",
        "ptx/shared.cuh",
        "ptx/shared_access.cuh",
        "tile/activation.cuh",
        "tile/attention.cuh",
        "tile/blocks.cuh",
        "tile/columns.cuh",
        "tile/dtype.cuh",
        "tile/eight.cuh",
        "tile/epilogue.cuh",
        "tile/halves.cuh",
        "tile/index.cuh",
        "tile/map.cuh",
        "tile/math.cuh",
        "tile/outer_product.cuh",
        "tile/row.cuh",
        "tile/softmax.cuh",
        "tile/space.cuh",
        "tile/swizzle.cuh",
        "tile/unbounded.cuh",
        "tile/vector.cuh",
    };
    &SOURCES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that is missing here would be a line that no reader can be shown.
    #[test]
    fn every_file_of_a_line_table_has_its_text() {
        for module in crate::entries().iter().map(|entry| entry.module) {
            let says = ["// Computes: ", "// Traffic: "];
            let says_all = |text: &str| says.iter().all(|part| text.contains(part));
            assert!(source_of(module).is_some_and(says_all), "{}", module.name);
            let paths = module.ptx().lines().filter_map(|line| line.trim().strip_prefix(".file"));
            for path in paths.filter_map(|line| line.split('"').nth(1)) {
                assert!(source(path).is_some(), "{path} of {}.ptx", module.name);
            }
        }
    }
}
