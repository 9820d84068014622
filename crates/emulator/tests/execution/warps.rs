//! Instructions across a warp.

use crate::machine::under_every_schedule;

#[test]
fn every_instruction_of_a_warp() {
    under_every_schedule(include_str!("kernels/warp.ptx"), |machine| {
        let output = machine.room(32 * 64);
        machine.launch("warp_ops", [1, 1, 1], [32, 1, 1], 0, &[output]).unwrap();
        let found = machine.get::<u32>(output, 32 * 16);
        for lane in 0..32u32 {
            let bits =
                |holds: &dyn Fn(u32) -> bool| (0..32).filter(|&l| holds(l)).fold(0u32, |all, l| all | 1 << l);
            let below = |lane: u32| lane.wrapping_sub(3);
            let segment = lane / 8 * 8;
            let source = segment + lane / 2 % 8;
            let bytes = u64::from(lane * 0x0101_0101) | 0x89ab_cdefu64 << 32;
            let select = 0x7410 + lane;
            let permuted = (0..4).fold(0u32, |all, at| {
                let nibble = select >> (4 * at) & 15;
                let byte = (bytes >> (8 * (nibble & 7))) as u8;
                all | u32::from(byte) << (8 * at)
            });
            let odd = lane & 1 != 0;
            let expected = [
                if lane < 3 { lane } else { below(lane) },
                if lane % 16 + 5 < 16 { lane + 5 } else { lane },
                source * source,
                lane ^ 9,
                bits(&|l| l % 3 == 0),
                1,
                0,
                bits(&|l| l % 5 == lane % 5),
                u32::MAX,
                1,
                496,
                15,
                (0..32).fold(0, |all, l| all ^ (l * 77)),
                if odd { 7 } else { 0x5555_5555 },
                lane.count_ones()
                    + lane.leading_zeros()
                    + if lane == 0 { 0 } else { lane.trailing_zeros() + 1 }
                    + lane.reverse_bits(),
                permuted,
            ];
            for (at, expected) in expected.into_iter().enumerate() {
                let found = found[lane as usize * 16 + at];
                assert_eq!(found, expected, "lane {lane}, result {at}: {found:#x} for {expected:#x}");
            }
        }
    });
}
