//! Whole matrices by `wmma`, in every shape, type and layout, held to plain loops.

use half::{bf16, f16};
use warpsmith_emulator::FaultKind;

use crate::machine::Machine;

/// One form: M, N, K, the types of A and B and of C and D, and which of A, B and C lie by columns.
struct Form {
    sizes: [usize; 3],
    operands: &'static str,
    sums: &'static str,
    by_columns: [bool; 3],
}

/// Small integers, exact in every type.
fn number(i: usize, seed: usize) -> f32 {
    ((i * 7 + seed * 3) % 13) as f32 - 6.0
}

/// The fragment's registers, from `first` on.
fn registers(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|i| format!("%r{i}")).collect();
    format!("{{{}}}", names.join(", "))
}

impl Form {
    fn shape(&self) -> String {
        let [m, n, k] = self.sizes;
        format!("m{m}n{n}k{k}")
    }

    /// Registers of a matrix of `rows` by `columns`: f16 operands are kept twice.
    fn count(&self, is_operand: bool, elements: usize) -> usize {
        match (is_operand, if is_operand { self.operands } else { self.sums }) {
            (true, "f16") => 8,
            (_, "f16" | "bf16") => elements / 64,
            _ => elements / 32,
        }
    }

    /// A kernel that adds C to A·B, lines of every matrix being 8 elements longer than they need.
    fn text(&self) -> String {
        let ([m, n, k], shape) = (self.sizes, self.shape());
        let layout = |i: usize| if self.by_columns[i] { "col" } else { "row" };
        let line =
            |i: usize, [rows, columns]: [usize; 2]| 8 + if self.by_columns[i] { rows } else { columns };
        let counts = [self.count(true, m * k), self.count(true, k * n), self.count(false, m * n)];
        let [a, b, c] = [registers(0, counts[0]), registers(20, counts[1]), registers(40, counts[2])];
        let ([row_a, row_b, row_c], [of_ab, of_c]) = ([0, 1, 2].map(layout), [self.operands, self.sums]);
        let [line_a, line_b, line_c] = [line(0, [m, k]), line(1, [k, n]), line(2, [m, n])];
        let types = match of_ab {
            "f16" => format!("{of_c}.{of_c}"),
            _ => format!("{of_c}.{of_ab}.{of_ab}.{of_c}"),
        };
        format!(
            ".version 8.4\n.target sm_80\n.address_size 64\n\
             .visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u64 pd)\n{{\n\
             .reg .b32 %r<80>;\n.reg .b64 %rd<5>;\n\
             ld.param.u64 %rd1, [pa];\nld.param.u64 %rd2, [pb];\nld.param.u64 %rd3, [pc];\nld.param.u64 %rd4, [pd];\n\
             wmma.load.a.sync.aligned.{row_a}.{shape}.global.{of_ab} {a}, [%rd1], {line_a};\n\
             wmma.load.b.sync.aligned.{row_b}.{shape}.{of_ab} {b}, [%rd2], {line_b};\n\
             wmma.load.c.sync.aligned.{row_c}.{shape}.global.{of_c} {c}, [%rd3], {line_c};\n\
             wmma.mma.sync.aligned.{row_a}.{row_b}.{shape}.{types} {c}, {a}, {b}, {c};\n\
             wmma.store.d.sync.aligned.{row_c}.{shape}.global.{of_c} [%rd4], {c}, {line_c};\nret;\n}}\n"
        )
    }

    /// Where element (row, column) of matrix `i` lies, and elements in all.
    fn place(&self, i: usize, [rows, columns]: [usize; 2]) -> (impl Fn(usize, usize) -> usize, usize) {
        let turned = self.by_columns[i];
        let (lines, along) = if turned { (columns, rows) } else { (rows, columns) };
        let place = move |r, c| if turned { c * (along + 8) + r } else { r * (along + 8) + c };
        (place, lines * (along + 8))
    }

    /// A matrix in memory.
    fn put(&self, machine: &mut Machine, i: usize, shape: [usize; 2], kind: &str) -> u64 {
        let (place, room) = self.place(i, shape);
        let mut values = vec![0.0; room];
        for at in 0..shape[0] * shape[1] {
            values[place(at / shape[1], at % shape[1])] = number(at, i);
        }
        match kind {
            "f16" => machine.put(&values.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>()),
            "bf16" => machine.put(&values.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>()),
            _ => machine.put(&values),
        }
    }

    fn check(&self) {
        let ([m, n, k], text) = (self.sizes, self.text());
        let mut machine = Machine::new(&text);
        let a = self.put(&mut machine, 0, [m, k], self.operands);
        let b = self.put(&mut machine, 1, [k, n], self.operands);
        let c = self.put(&mut machine, 2, [m, n], self.sums);
        let d = self.put(&mut machine, 2, [m, n], self.sums);
        let counts = machine.launch("k", [1, 1, 1], [32, 1, 1], 0, &[a, b, c, d]).unwrap();
        assert_eq!(counts.matrix_flops, (2 * m * n * k) as u64);
        let (place, room) = self.place(2, [m, n]);
        let found: Vec<f32> = match self.sums {
            "f16" => machine.get::<f16>(d, room).into_iter().map(f32::from).collect(),
            _ => machine.get::<f32>(d, room),
        };
        for (row, column) in (0..m * n).map(|at| (at / n, at % n)) {
            let products = (0..k).map(|j| number(row * k + j, 0) * number(j * n + column, 1));
            let expected = products.sum::<f32>() + number(row * n + column, 2);
            assert_eq!(found[place(row, column)], expected, "row {row}, column {column} of\n{text}");
        }
    }
}

#[test]
fn every_shape_type_and_layout_is_a_product() {
    let shapes = [[16, 16, 16], [32, 8, 16], [8, 32, 16]];
    let halves = shapes.map(|sizes| [(sizes, "f16", "f32"), (sizes, "f16", "f16"), (sizes, "bf16", "f32")]);
    for (sizes, operands, sums) in halves.into_iter().flatten().chain([([16, 16, 8], "tf32", "f32")]) {
        for layouts in 0..8 {
            let by_columns = [0, 1, 2].map(|i| layouts >> i & 1 == 1);
            Form { sizes, operands, sums, by_columns }.check();
        }
    }
}

#[test]
fn lanes_that_name_two_matrices_and_lines_that_begin_anywhere_are_faults() {
    let form = Form { sizes: [16, 16, 16], operands: "f16", sums: "f32", by_columns: [false; 3] };
    let kind = |text: &str| {
        let mut machine = Machine::new(text);
        let data = machine.put(&[0f32; 1024]);
        machine.launch("k", [1, 1, 1], [32, 1, 1], 0, &[data; 4]).unwrap_err().kind
    };
    let text = form.text();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from));
        text.replace(from, to)
    };
    assert_eq!(kind(&changed("[%rd1], 24", "[%rd1], 25")), FaultKind::Misaligned);
    assert_eq!(kind(&changed("[%rd1], 24", "[%rd1+16], 24")), FaultKind::Misaligned);
    assert_eq!(kind(&changed("[%rd1], 24", "[%rd1+4000], 24")), FaultKind::OutOfBounds);
    let by_lane =
        "mov.u32 %r79, %tid.x;\nmul.wide.u32 %rd2, %r79, 32;\nadd.u64 %rd1, %rd1, %rd2;\nwmma.load.a";
    assert_eq!(kind(&changed("wmma.load.a", by_lane)), FaultKind::Undefined);
}
