//! The kernels that users begin from, as `cargo xtask kernels` compiles them: right on every tiny shape that they take.

use warpsmith_bench::contender::Contender;
use warpsmith_bench::kernel::{Source, UserKernel, starter};
use warpsmith_bench::record::Status;
use warpsmith_bench::tasks::{Case, Pass, preset};
use warpsmith_tensor::DType;

use crate::emulated::{alone, rows};

macro_rules! ptx {
    ($name:literal) => {
        include_str!(concat!("../kernels/starters/", $name, ".ptx"))
    };
}

/// Task, entry, PTX, and the beginning of the shapes that it does not take.
const STARTERS: [(&str, &str, &str, &str); 7] = [
    ("attention", "attention", ptx!("attention"), "none"),
    ("matmul", "matmul", ptx!("matmul"), "none"),
    ("softmax", "softmax", ptx!("softmax"), "none"),
    ("norm", "layer_norm", ptx!("norm"), "rms:"),
    ("norm", "rms_norm", ptx!("norm"), "layer:"),
    ("cross-entropy", "cross_entropy", ptx!("cross_entropy"), "none"),
    // A list of parameters is as many launches.
    ("adamw", "adamw", ptx!("adamw"), "3x"),
];

#[test]
fn every_starter_is_right_on_the_tiny_shapes_of_its_task() {
    for (task, entry, ptx, not_taken) in STARTERS {
        let (mut right, line) = (0, starter(task).unwrap().lines().next().unwrap());
        for work in preset(task, "tiny").unwrap() {
            let line = line.trim_start_matches("// bench:").trim().to_owned();
            let source = Source::new(format!("{task}.ptx"), entry, ptx.to_owned(), line).unwrap();
            let kernel: Box<dyn Contender> = Box::new(UserKernel::new(source, "").unwrap());
            let case = Case { work, pass: Pass::Forward, dtype: DType::F32 };
            let (_guard, device) = alone();
            let row = rows(&case, &device, vec![kernel]).remove(0);
            let takes = !row.shape.starts_with(not_taken);
            let expected = if takes { Status::Ok } else { Status::Unsupported };
            assert_eq!(row.status, expected, "{entry} on {}: {:?}", row.shape, row.reason);
            right += usize::from(takes);
        }
        assert!(right > 0, "{entry} takes no tiny shape");
    }
}
