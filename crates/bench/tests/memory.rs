//! What a case is said to need is what it takes. In a process of its own: the arena is one for all.

use warpsmith_bench::clock::Cache;
use warpsmith_bench::counts::NoMeter;
use warpsmith_bench::record::Status;
use warpsmith_bench::session::{Options, Session};
use warpsmith_bench::tasks::{Case, Pass, parse};
use warpsmith_tensor::{DType, Device, arena};

/// How many times what was said may be taken: the sum leaves out what one contender after another takes and gives back.
const NEAR: f64 = 1.75;

/// The tensors of a run on the CPU, at their most: no fewer than was said, and not many more, or what is said would be of no use.
#[test]
fn no_case_takes_less_than_is_said_nor_much_more() {
    for (task, shape, dtype) in [
        ("matmul", "700x600x500", DType::F32),
        ("softmax", "500x1000", DType::F32),
        ("norm", "layer:500x1000", DType::F32),
        ("cross-entropy", "500x1000", DType::BF16),
        ("attention", "1x300x4/2x64", DType::F32),
        ("adamw", "3x200000", DType::F32),
        ("step", "4x64x2x2x64x300", DType::F32),
        ("decode", "40x20x2x2x64x300", DType::F32),
    ] {
        let work = parse(task, shape).expect("it is a shape");
        for pass in [Pass::Forward, Pass::Backward].into_iter().filter(|pass| work.has(*pass)) {
            let case = Case { work: work.clone(), pass, dtype };
            let options =
                Options { cache: Cache::Warm, rounds: 1, seconds: 1e-3, ..Options::usual(&Device::Cpu) };
            let mut session = Session::new(&Device::Cpu, options, &NoMeter).expect("it needs no memory");
            arena::reset_peak();
            let before = arena::usage().live;
            let rows = session.case(&case, &mut [work.engine()]).expect("it fits");
            let taken = (arena::usage().peak - before) as f64;
            assert_eq!(rows[0].status, Status::Ok, "{}: {:?}", case.name(), rows[0].reason);
            let need = work.footprint(pass, dtype).expect("it is a case");
            // What the oracle takes for a model are tensors too.
            let said = need.on_device(1) + need.oracle;
            println!("{}: {:.2} of {said:.0}", case.name(), taken / said);
            assert!(said <= taken, "{}: {said} said, {taken} taken", case.name());
            assert!(taken <= NEAR * said, "{}: {said} said, {taken} taken", case.name());
        }
    }
}
