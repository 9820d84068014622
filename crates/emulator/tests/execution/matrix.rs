//! The tensor core by way of `cp.async` and `ldmatrix`.

use half::bf16;

use crate::machine::{Machine, under_every_schedule};

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

/// A kernel of one address: each lane takes a row of 16 bytes there, and its registers come back behind them.
fn tiles(instruction: &str, registers: usize, stores: bool) -> String {
    let list = (0..registers).map(|at| format!("%r{at}")).collect::<Vec<_>>().join(", ");
    let work = if stores {
        format!(
            "ld.global.v4.u32 {{%r0, %r1, %r2, %r3}}, [%rd3];\n{instruction} [%r8], {{{list}}};\nbar.warp.sync -1;\n\
             ld.shared.v4.u32 {{%r0, %r1, %r2, %r3}}, [%r8];"
        )
    } else {
        format!(
            "ld.global.v4.u32 {{%r0, %r1, %r2, %r3}}, [%rd3];\nst.shared.v4.u32 [%r8], {{%r0, %r1, %r2, %r3}};\n\
             bar.warp.sync -1;\nmov.u32 %r0, 0;\nmov.u32 %r1, 0;\nmov.u32 %r2, 0;\nmov.u32 %r3, 0;\n\
             {instruction} {{{list}}}, [%r8];"
        )
    };
    format!(
        ".version 8.4\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{{\n\
         .reg .b32 %r<10>;\n.reg .b64 %rd<5>;\n.shared .align 16 .b8 s[512];\n\
         ld.param.u64 %rd1, [p];\nmov.u32 %r9, %tid.x;\nmul.wide.u32 %rd2, %r9, 16;\nadd.s64 %rd3, %rd1, %rd2;\n\
         mov.u32 %r8, s;\nmad.lo.s32 %r8, %r9, 16, %r8;\nst.shared.v4.u32 [%r8], {{0, 0, 0, 0}};\nbar.warp.sync -1;\n\
         {work}\nst.global.v4.u32 [%rd3+512], {{%r0, %r1, %r2, %r3}};\nret;\n}}\n"
    )
}

/// Words that come out of a kernel of [`tiles`] for 128 words that go in, four to a lane.
fn through(machine: &mut Machine, words: &[u32; 128]) -> Vec<u32> {
    let mut all = words.to_vec();
    all.resize(256, 0);
    let address = machine.put(&all);
    machine.launch("k", [1, 1, 1], [32, 1, 1], 0, &[address]).unwrap();
    machine.get::<u32>(address, 256).split_off(128)
}

/// Every element of every tile alone, through each form. Row r of tile t lies where lane 8 t + r says; element (r, c) of it
/// is half c % 2 of register t of lane 4 r + c / 2, and transposed of lane 4 c + r / 2 (PTX ISA, "ldmatrix", "stmatrix").
#[test]
fn one_hot_tiles_light_one_half_register_each() {
    for (base, form, count, is_transposed) in ["ldmatrix", "stmatrix"].into_iter().flat_map(|base| {
        [("x1", 1), ("x2", 2), ("x4", 4)]
            .into_iter()
            .flat_map(move |(form, count)| [false, true].map(|turned| (base, form, count, turned)))
    }) {
        let turned = if is_transposed { ".trans" } else { "" };
        let text = format!("{base}.sync.aligned.m8n8.{form}{turned}.shared.b16");
        let mut machine = Machine::new(&tiles(&text, count, base == "stmatrix"));
        for (tile, r, c) in (0..count * 64).map(|at| (at / 64, at / 8 % 8, at % 8)) {
            let (row, column) = if is_transposed { (c, r) } else { (r, c) };
            // In memory: lane, word and half. In registers: the same.
            let memory = (8 * tile + r, c / 2, c % 2);
            let register = (4 * row + column / 2, tile, column % 2);
            let (from, to) = if base == "ldmatrix" { (memory, register) } else { (register, memory) };
            let hot = |(lane, word, half): (usize, usize, usize)| {
                let mut words = [0; 128];
                words[4 * lane + word] = 0xabcd << (16 * half);
                words
            };
            assert_eq!(
                through(&mut machine, &hot(from)),
                hot(to),
                "{text}: tile {tile}, row {r}, column {c}"
            );
        }
    }
}
