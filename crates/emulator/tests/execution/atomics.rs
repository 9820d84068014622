//! Atomic updates.

use crate::machine::under_every_schedule;

#[test]
fn every_atomic_update_ends_in_the_same_value_under_every_schedule() {
    under_every_schedule(include_str!("kernels/atomics.ptx"), |machine| {
        let i = machine.put(&[0i32, 0, 100, -100, 0, 0]);
        let u =
            machine.put(&[u32::MAX, 0, 0, 0, 3, 0, 77, 0].into_iter().chain([0; 64]).collect::<Vec<u32>>());
        let l = machine.put(&[0u64; 2]);
        let (f, d) = (machine.put(&[0f32]), machine.put(&[0f64]));
        machine.launch("atomics", [1, 1, 1], [64, 1, 1], 0, &[i, u, l, f, d]).unwrap();
        let sum = (0..64).sum::<i32>();
        assert_eq!(machine.get::<i32>(i, 6), [128, -192, -5, 63, sum, 63]);
        let found = machine.get::<u32>(u, 72);
        // 64 steps of a counter that wraps behind 40, up from 0 and down from 3.
        assert_eq!(found[..5], [0, u32::MAX, 0, 64 % 41, 3 + 41 * 2 - 64]);
        assert!((1..=64).contains(&found[5]), "the first to come sets it, and nobody after");
        let mut exchanged: Vec<u32> = found[8..].iter().copied().chain([found[6]]).collect();
        exchanged.sort_unstable();
        let expected: Vec<u32> = (0..64).chain([77]).collect();
        assert_eq!(exchanged, expected, "every value is handed on once");
        assert_eq!(machine.get::<u64>(l, 2), [64 << 33, 63 << 40]);
        assert_eq!((machine.get::<f32>(f, 1)[0], machine.get::<f64>(d, 1)[0]), (32.0, 16.0));
    });
}
