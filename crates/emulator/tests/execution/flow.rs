//! Divergence, calls, local memory, constants.

use crate::machine::under_every_schedule;

const PTX: &str = include_str!("kernels/flow.ptx");

#[test]
fn loops_of_different_length_in_a_called_function() {
    under_every_schedule(PTX, |machine| {
        let x: Vec<i32> = (0..70).map(|i| i - 3).collect();
        let (input, output) = (machine.put(&x), machine.put(&[-1i32; 70]));
        machine.launch("steps", [1, 1, 1], [70, 1, 1], 0, &[input, output]).unwrap();
        let collatz = |mut n: i32| {
            let mut steps = 0;
            while n != 1 {
                n = if n % 2 == 1 { 3 * n + 1 } else { n / 2 };
                steps += 1;
            }
            steps
        };
        let table = [3, 1, 4, 1, 5, 9, 2, 6];
        let expected: Vec<i32> =
            x.iter().enumerate().map(|(i, &n)| if n <= 0 { -1 } else { collatz(n) + table[i & 7] }).collect();
        assert_eq!(machine.get::<i32>(output, 70), expected);
    });
}

#[test]
fn arrays_in_local_memory() {
    under_every_schedule(PTX, |machine| {
        let x: Vec<i32> = (0..33 * 8).map(|i| (i * 7919 % 101) - 50).collect();
        let data = machine.put(&x);
        machine.launch("local_sort", [1, 1, 1], [33, 1, 1], 0, &[data]).unwrap();
        let mut expected = x;
        expected.chunks_mut(8).for_each(|part| part.sort_unstable());
        assert_eq!(machine.get::<i32>(data, 33 * 8), expected);
    });
}

#[test]
fn lanes_that_each_go_their_own_way() {
    under_every_schedule(PTX, |machine| {
        let x: Vec<i32> = (0..64).map(|i| i * 5 % 9).collect();
        let (input, output) = (machine.put(&x), machine.room(256));
        machine.launch("choose", [1, 1, 1], [64, 1, 1], 0, &[input, output]).unwrap();
        for (i, (found, x)) in machine.get::<f32>(output, 64).iter().zip(x).enumerate() {
            let lane = i as f64;
            let expected = match x {
                0 => lane.sin(),
                1 => (lane * 0.1).exp(),
                2 => lane.sqrt(),
                3 => 1.0 / (lane + 1.0),
                4 => (lane + 1.0).ln(),
                5 => (lane * 0.01).tanh(),
                6 => 2.0 * lane - 3.0 * lane,
                _ => lane.powf(1.5),
            };
            // CUDA promises a few units in the last place for each of these.
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 8.0 * f64::from(f32::EPSILON) * expected.abs(), "{i}: {found} for {expected}");
        }
    });
}

#[test]
fn variables_with_first_values_and_addresses() {
    under_every_schedule(PTX, |machine| {
        let output = machine.room(8);
        machine.launch("globals", [1, 1, 1], [32, 1, 1], 0, &[output]).unwrap();
        assert_eq!(machine.get::<i32>(output, 2), [7, 9]);
    });
}
