use super::*;

/// C (M, N) = A (M, K)·B (K, N), A transposed or not.
fn product(dtype: Float, [m, n, k]: [u32; 3], a_transposed: bool) -> Matmul {
    let (a_row, a_col) = if a_transposed { (1, i64::from(m)) } else { (i64::from(k), 1) };
    Matmul::plain(
        dtype,
        [m, n, k],
        Matrix { pointer: 0x1000, row: a_row, col: a_col, batch: [0; 3] },
        Matrix { pointer: 0x2000, row: i64::from(n), col: 1, batch: [0; 3] },
        0x3000,
    )
}

#[test]
fn parts_of_k_cover_it_and_only_weight_gradients_have_several() {
    for k in [0, 1, 31, 512, 1024, 1025, 5000, 65536] {
        for shape in [[1, 1, k], [768, 768, k], [768, 3072, k], [50257, 768, k]] {
            for transposed in [false, true] {
                let plan = Plan::of(&product(Float::Bf16, shape, transposed));
                assert!(u64::from(plan.splits) * u64::from(plan.k_per_split) >= u64::from(k));
                assert!(plan.splits == 1 || (plan.splits - 1) * plan.k_per_split < k, "no part is empty");
                assert!(plan.k_per_split.is_multiple_of(32));
                assert!(transposed || plan.splits == 1);
            }
        }
    }
    assert!(Plan::of(&product(Float::Bf16, [768, 768, 65536], true)).splits > 4);
}

#[test]
fn a_split_product_asks_for_its_partial_sums_and_launches_twice() {
    let p = product(Float::F16, [64, 48, 4096], true);
    let plan = Plan::of(&p);
    assert_eq!(plan.workspace_bytes(), u64::from(plan.splits) * 64 * 48 * 4);
    let launches = matmul(&p, 0x9000).unwrap();
    let names: Vec<_> = launches.iter().map(|l| l.entry.name).collect();
    assert_eq!(names, ["matmul_tn_small_f16", "matmul_reduce_f16"]);
    assert_eq!(launches[0].grid, [plan.splits, 1, 1]);
}

#[test]
fn entries_follow_layout_size_and_dtype() {
    let name = |p: &Matmul| matmul(p, 0).unwrap()[0].entry.name;
    let mut p = product(Float::Bf16, [4096, 4096, 64], false);
    assert_eq!(name(&p), "matmul_nn_bf16");
    (p.b.row, p.b.col) = (1, 64);
    assert_eq!(name(&p), "matmul_nt_bf16");
    assert_eq!(name(&product(Float::F16, [4096, 4096, 4096], false)), "matmul_nn_wide_f16");
    assert_eq!(name(&product(Float::F16, [64, 4096, 4096], false)), "matmul_nn_small_f16");
    let mut p = product(Float::F16, [4096, 4096, 4096], true);
    assert_eq!(name(&p), "matmul_tn_wide_f16");
    (p.b.row, p.b.col) = (1, 4096);
    assert_eq!(name(&p), "matmul_tt_f16", "both transposed: none is wide");
    p.dtype = Float::F32;
    assert_eq!(name(&p), "matmul_strided_f32");
    p.dtype = Float::F16;
    p.b.col = 2;
    p.b.row = 3;
    let error = matmul(&p, 0).unwrap_err();
    assert_eq!(error, UnsupportedStrides { operand: "B", strides: [3, 2] });
    assert!(error.to_string().contains("copy it first"));
}

/// The products of a training step of GPT-2 over 16 and 64 rows of 1024 tokens, and a square one: how much of a large GPU
/// works, of the time that its busiest multiprocessor does.
#[test]
fn plans_fill_the_waves_of_a_large_gpu() {
    use Tile::{Small, Wide};
    let table = [
        ([4096, 4096, 4096], false, Wide, 1, 0.96),
        ([16384, 2304, 768], false, Wide, 1, 0.96),
        ([16384, 768, 768], false, Wide, 1, 0.96),
        ([16384, 3072, 768], false, Wide, 1, 0.96),
        ([16384, 768, 3072], false, Wide, 1, 0.96),
        ([16384, 768, 2304], false, Wide, 1, 0.96),
        ([16384, 50257, 768], false, Wide, 1, 0.99),
        ([65536, 768, 3072], false, Wide, 1, 0.96),
        ([4096, 768, 768], false, Wide, 1, 0.72),
        ([1024, 768, 768], false, Small, 1, 0.72),
        ([768, 768, 65536], true, Wide, 7, 0.95),
        ([768, 2304, 65536], true, Wide, 7, 0.95),
        ([768, 3072, 65536], true, Wide, 7, 0.95),
    ];
    let mut wrong = Vec::new();
    for (shape, transposed, tile, splits, least) in table {
        let p = product(Float::Bf16, shape, transposed);
        let plan = Plan::of(&p);
        let area = u64::from(plan.tile.rows() * plan.tile.cols());
        let work = u64::from(p.m) * u64::from(p.n) * u64::from(plan.splits);
        let fill = work as f64 / (plan.waves() * 132 * area) as f64;
        if (plan.tile, plan.splits) != (tile, splits) || fill < least {
            wrong.push(format!("{shape:?}: {:?}, K in {}, {fill:.3}", plan.tile, plan.splits));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_to_compute_is_an_empty_launch() {
    assert!(matmul(&product(Float::Bf16, [0, 5, 3], false), 0).unwrap()[0].is_empty());
    assert!(!matmul(&product(Float::Bf16, [2, 5, 0], false), 0).unwrap()[0].is_empty());
}
