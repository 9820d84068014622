//! The kernels that can be run: one line each.

mod attention;
mod maps;
mod moves;
mod products;
mod rows;

use warpsmith_kernels::Float;

use super::case::Case;

const ALL: &[Float] = &Float::ALL;
/// Those of the tensor cores first, then f32.
const PRODUCTS: &[Float] = &[Float::Bf16, Float::F16, Float::F32];

/// Every one of them.
pub fn cases() -> Vec<Case> {
    let rows = |name, make| Case { name, letters: &["ROWS", "N"], default: &[4, 256], dtypes: ALL, make };
    let product =
        |name, make| Case { name, letters: &["M", "N", "K"], default: &[64, 64, 64], dtypes: PRODUCTS, make };
    let attend = |name, make| Case {
        name,
        letters: &["B", "T", "H", "D"],
        default: &[1, 64, 1, 64],
        dtypes: PRODUCTS,
        make,
    };
    let table =
        |name, make| Case { name, letters: &["V", "C", "TOKENS"], default: &[32, 64, 48], dtypes: ALL, make };
    let mut all = vec![
        rows("softmax", rows::softmax),
        rows("softmax_backward", rows::softmax_backward),
        rows("log_softmax", rows::log_softmax),
        rows("log_softmax_backward", rows::log_softmax_backward),
        rows("layer_norm", rows::layer_norm),
        rows("layer_norm_backward", rows::layer_norm_backward),
        rows("rms_norm", rows::rms_norm),
        rows("rms_norm_backward", rows::rms_norm_backward),
        rows("cross_entropy", rows::cross_entropy),
        rows("cross_entropy_backward", rows::cross_entropy_backward),
        rows("sum_rows", moves::sum_rows),
        rows("sum_columns", moves::sum_columns),
        rows("max", moves::max),
        product("matmul_nn", products::nn),
        product("matmul_nt", products::nt),
        product("matmul_tn", products::tn),
        attend("attention", attention::forward),
        attend("attention_backward", attention::backward),
        table("embedding", moves::embedding),
        table("embedding_backward", moves::embedding_backward),
        rows("add", maps::add),
        rows("sub", maps::sub),
        rows("mul", maps::mul),
        rows("div", maps::div),
        rows("maximum", maps::maximum),
        rows("swiglu", maps::swiglu),
        rows("swiglu_backward", maps::swiglu_backward),
        rows("neg", maps::neg),
        rows("gelu", maps::gelu),
        rows("gelu_backward", maps::gelu_backward),
    ];
    all.extend(maps::functions());
    all
}
