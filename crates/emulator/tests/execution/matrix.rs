//! The tensor core by way of `cp.async` and `ldmatrix`.

use half::bf16;

use crate::machine::under_every_schedule;

#[test]
fn a_tile_through_the_tensor_core() {
    under_every_schedule(include_str!("kernels/matrix.ptx"), |machine| {
        let a: Vec<f32> = (0..16 * 16).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
        let b: Vec<f32> = (0..16 * 8).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
        let narrow = |x: &[f32]| x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>();
        let (pa, pb) = (machine.put(&narrow(&a)), machine.put(&narrow(&b)));
        let output = machine.room(16 * 8 * 4);
        let counts = machine.launch("tile_product", [1, 1, 1], [32, 1, 1], 0, &[pa, pb, output]).unwrap();
        let cell = |m: usize, n: usize| (0..16).map(|k| a[m * 16 + k] * b[k * 8 + n]).sum::<f32>();
        let expected: Vec<f32> = (0..16 * 8).map(|at| cell(at / 8, at % 8)).collect();
        assert_eq!(machine.get::<f32>(output, 128), expected);
        assert_eq!(counts.matrix_flops, 2 * 16 * 8 * 16);
        assert_eq!((counts.global_read_bytes, counts.global_write_bytes), (768, 512));
    });
}
