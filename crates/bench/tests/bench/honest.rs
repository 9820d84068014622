//! The engine itself, which is right, on every task.

use std::cell::RefCell;
use std::rc::Rc;

use warpsmith_bench::clock::Cache;
use warpsmith_bench::contender::{Contender, prove};
use warpsmith_bench::counts::NoMeter;
use warpsmith_bench::engine::Engine;
use warpsmith_bench::oracle::{Slack, Verdict, judge};
use warpsmith_bench::record::{Ceilings, Status};
use warpsmith_bench::session::{Options, Session, measure_against};
use warpsmith_bench::tasks::{Case, KERNEL_TASKS, TASKS, preset};
use warpsmith_tensor::{DType, Device, Tensor};

use crate::watched::Watched;
use crate::{case, passes, quick, rows};

#[test]
fn every_task_pass_and_dtype_is_proven_and_timed_on_the_cpu() {
    for task in TASKS {
        for work in preset(task, "tiny").unwrap() {
            for pass in passes(&work) {
                for dtype in [DType::F32, DType::BF16, DType::F16] {
                    let case = Case { work: work.clone(), pass, dtype };
                    let row = rows(&case, &Device::Cpu, vec![work.engine()]).remove(0);
                    if dtype == DType::F16 && !KERNEL_TASKS.contains(&task) {
                        assert_eq!(row.status, Status::Unsupported, "{:?}", row.reason);
                        continue;
                    }
                    assert_eq!(row.status, Status::Ok, "{}: {:?}", case.name(), row.reason);
                    assert!(row.error.is_some_and(|share| share <= 1.0), "{}: {:?}", case.name(), row.error);
                    let time = row.time.unwrap();
                    assert!(time.n == 3 && time.median_us > 0.0 && time.samples_us.len() == 3, "{time:?}");
                    assert!(row.bytes > 0 && time.gb_s > 0.0);
                }
            }
        }
    }
}

/// Shapes beyond the size that is compared whole.
const LARGE: [(&str, &str); 8] = [
    ("attention", "1x400x2x20"),
    ("attention", "full:1x300x4/2x16"),
    ("matmul", "170x160x157"),
    ("softmax", "300x1024"),
    ("norm", "layer:300x1024"),
    ("norm", "rms:300x1024"),
    ("cross-entropy", "300x1024"),
    ("adamw", "2x270001"),
];

#[test]
fn the_parts_of_a_large_case_say_what_the_whole_would() {
    for (task, shape) in LARGE {
        let case = case(task, shape, warpsmith_bench::tasks::Pass::Forward, DType::F32);
        for pass in passes(&case.work) {
            let case = Case { pass, ..case.clone() };
            let inputs = case.inputs(3, &Device::Cpu).unwrap();
            let mut call = Engine.prepare(&case, &inputs).unwrap();
            let verdict = prove(call.as_mut(), &case, &inputs, false).unwrap();
            let Verdict::Right { worst, compared } = verdict else { panic!("{}: {verdict:?}", case.name()) };
            assert!(worst <= 1.0 && compared > 0, "{}", case.name());
            if task != "cross-entropy" || pass.name() == "bwd" {
                a_wrong_number_at_either_end_is_seen(&case, &inputs, &call.outputs().unwrap());
            }
        }
    }
}

fn a_wrong_number_at_either_end_is_seen(case: &Case, inputs: &[Tensor], outputs: &[Tensor]) {
    for which in 0..outputs.len() {
        for at in [0, outputs[which].numel() - 1] {
            let mut spoiled: Vec<Tensor> = outputs.to_vec();
            spoiled[which].data_mut::<f32>().unwrap()[at] += 1000.0;
            let verdict =
                judge(case, inputs, &spoiled, Slack { times: 1.0, inside: 0.0, by_row: false }).unwrap();
            let Verdict::Wrong(wrong) = verdict else { panic!("{}: output {which} at {at}", case.name()) };
            assert_eq!((wrong.output, wrong.count.0), (which, 1), "{}: {wrong}", case.name());
            let size = outputs[which].dims();
            let place = if at == 0 { vec![0; size.len()] } else { size.iter().map(|s| s - 1).collect() };
            assert_eq!(wrong.place, place, "{}", case.name());
        }
    }
}

/// A mean in f32 moves a whole row, and an element that is small by chance is then off by more than its own roundings allow; by
/// what is not small beside the row it may not be.
#[test]
fn a_peer_may_be_off_by_what_is_small_beside_the_row() {
    let case = case("norm", "layer:5x70", warpsmith_bench::tasks::Pass::Forward, DType::F32);
    let inputs = case.inputs(3, &Device::Cpu).unwrap();
    let mut call = Engine.prepare(&case, &inputs).unwrap();
    call.run().unwrap();
    let outputs = call.outputs().unwrap();
    let numbers = outputs[0].to_vec::<f32>().unwrap();
    let smallest = (0..70).min_by(|a, b| numbers[*a].abs().total_cmp(&numbers[*b].abs())).unwrap();
    for (off, by_row, is_right) in [(1e-6, false, false), (1e-6, true, true), (1e-4, true, false)] {
        let mut spoiled = outputs.clone();
        spoiled[0].data_mut::<f32>().unwrap()[smallest] += off;
        let slack = Slack { times: 4.0, inside: 0.0, by_row };
        let verdict = judge(&case, &inputs, &spoiled, slack).unwrap();
        assert_eq!(matches!(verdict, Verdict::Right { .. }), is_right, "{off} {by_row}: {verdict:?}");
    }
}

/// A library that sums in f32 what the op sums in f64 is not wrong, one that is four times as far off is.
#[test]
fn slack_is_of_the_roundings_that_the_op_claims() {
    let case = case("norm", "layer:5x70", warpsmith_bench::tasks::Pass::Forward, DType::F32);
    let inputs = case.inputs(3, &Device::Cpu).unwrap();
    let mut call = Engine.prepare(&case, &inputs).unwrap();
    call.run().unwrap();
    let outputs = call.outputs().unwrap();
    let judged = |number: f32, times| {
        let mut spoiled = outputs.clone();
        spoiled[0].data_mut::<f32>().unwrap()[7] = number;
        judge(&case, &inputs, &spoiled, Slack { times, inside: 0.0, by_row: false }).unwrap()
    };
    let Verdict::Wrong(wrong) = judged(1000.0, 1.0) else { panic!("1000 is right") };
    let off = |bounds: f64| (wrong.expected + bounds * wrong.allowed) as f32;
    for (number, times, is_right) in
        [(0.5, 1.0, true), (2.5, 1.0, false), (2.5, 4.0, true), (4.5, 4.0, false)]
    {
        let verdict = judged(off(number), times);
        assert_eq!(matches!(verdict, Verdict::Right { .. }), is_right, "{number} bounds off: {verdict:?}");
    }
}

#[test]
fn causal_attention_counts_half() {
    let flops = |shape| {
        let case = case("attention", shape, warpsmith_bench::tasks::Pass::Forward, DType::F32);
        case.cost(&case.inputs(0, &Device::Cpu).unwrap()).unwrap().1 as f64
    };
    let share = flops("1x64x2x16") / flops("full:1x64x2x16");
    assert!((share - 65.0 / 128.0).abs() < 1e-9, "{share}");
}

#[test]
fn shares_are_of_the_ceilings_of_the_same_run() {
    let case = case("matmul", "64x64x64", warpsmith_bench::tasks::Pass::Forward, DType::F32);
    let mut all = rows(&case, &Device::Cpu, vec![Box::new(Engine)]);
    let mut ceilings = Ceilings { copy_gb_s: Some(1.0), matmul_gflop_s: vec![("f32".into(), 1e-9)] };
    measure_against(&mut ceilings, &mut all);
    let time = all[0].time.as_ref().unwrap();
    assert_eq!(ceilings.matmul("f32"), Some(time.gflop_s), "the faster product is the ceiling");
    // A quotient and a product, each rounded once.
    let is = |share: Option<f64>, of: f64| share.is_some_and(|v| (v - of).abs() <= 2.0 * f64::EPSILON * of);
    assert!(is(time.percent_of_matmul, 100.0), "{:?}", time.percent_of_matmul);
    assert!(is(time.percent_of_copy, 100.0 * time.gb_s), "{:?}", time.percent_of_copy);
}

#[test]
fn a_cold_sample_is_of_one_call() {
    let case = case("softmax", "5x70", warpsmith_bench::tasks::Pass::Forward, DType::F32);
    let options = Options { cache: Cache::Cold, ..quick() };
    let mut session = Session::new(&Device::Cpu, options, &NoMeter).unwrap();
    let time = session.case(&case, &mut [Box::new(Engine)]).unwrap().remove(0).time.unwrap();
    assert_eq!((time.n, time.calls), (3, 1));
}

#[test]
fn nobody_is_always_the_first_of_a_round() {
    let log = Rc::new(RefCell::new(String::new()));
    let case = case("softmax", "5x70", warpsmith_bench::tasks::Pass::Forward, DType::F32);
    let named = |name: &'static str| {
        let log = log.clone();
        Watched::boxed(name, move || log.borrow_mut().push_str(name))
    };
    let rows = rows(&case, &Device::Cpu, vec![named("a"), named("b"), named("c")]);
    assert!(rows.iter().all(|row| row.time.as_ref().is_some_and(|time| time.n == 3)), "{rows:?}");
    // Two each to warm up, then three rounds.
    assert_eq!(*log.borrow(), "aabbcc abc cba abc".replace(' ', ""));
}

#[test]
fn a_pass_that_a_task_has_not_is_an_error() {
    let case = case("adamw", "1x10", warpsmith_bench::tasks::Pass::Backward, DType::F32);
    let mut session = Session::new(&Device::Cpu, quick(), &NoMeter).unwrap();
    let told = session.case(&case, &mut [Box::new(Engine)]).unwrap_err().to_string();
    assert!(told.contains("no backward pass"), "{told}");
}
