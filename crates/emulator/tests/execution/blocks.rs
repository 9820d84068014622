//! Blocks: shared memory, barriers, vectors, counts.

use crate::machine::under_every_schedule;

const PTX: &str = include_str!("kernels/block.ptx");

#[test]
fn sums_over_blocks() {
    under_every_schedule(PTX, |machine| {
        let x: Vec<f32> = (0..1000).map(|i| (i % 17) as f32).collect();
        let (input, output) = (machine.put(&x), machine.room(8 * 4));
        let counts = machine.launch("block_sum", [8, 1, 1], [128, 1, 1], 0, &[input, output, 1000]).unwrap();
        let expected: Vec<f32> = x.chunks(128).map(|part| part.iter().sum()).collect();
        assert_eq!(machine.get::<f32>(output, 8), expected);
        assert_eq!((counts.global_read_bytes, counts.global_write_bytes), (4000, 32));
        assert_eq!((counts.global_read_sectors, counts.global_write_sectors), (125, 8));
        assert_eq!(counts.barriers, 8 * 4);
        assert_eq!(counts.shared_bank_conflicts, 0);
    });
}

#[test]
fn a_transpose_by_way_of_dynamic_shared_memory() {
    under_every_schedule(PTX, |machine| {
        let (rows, columns) = (37, 53);
        let x: Vec<i32> = (0..rows * columns).collect();
        let (input, output) = (machine.put(&x), machine.room(4 * (rows * columns) as u64));
        let sizes = rows as u64 | (columns as u64) << 32;
        let grid = [(columns as u32).div_ceil(16), (rows as u32).div_ceil(16), 1];
        machine.launch("transpose", grid, [16, 16, 1], 16 * 17 * 4, &[input, output, sizes]).unwrap();
        let expected: Vec<i32> = (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c)).collect();
        assert_eq!(machine.get::<i32>(output, expected.len()), expected);
    });
}

#[test]
fn vectors_and_a_struct_by_value() {
    under_every_schedule(PTX, |machine| {
        let x: Vec<f32> = (0..4 * 100).map(|i| i as f32).collect();
        let (input, output) = (machine.put(&x), machine.room(1600));
        let args = [input, output, 100, u64::from(2.5f32.to_bits())];
        let counts = machine.launch("scale_vectors", [2, 1, 1], [32, 1, 1], 0, &args).unwrap();
        let expected: Vec<f32> = x.iter().map(|x| x * 2.5).collect();
        assert_eq!(machine.get::<f32>(output, 400), expected);
        assert_eq!((counts.global_read_bytes, counts.global_read_sectors), (1600, 50));
    });
}
