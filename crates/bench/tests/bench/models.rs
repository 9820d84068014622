//! A training step and a text of a whole model: right on the CPU, and whatever is wrong with either is seen.

use warpsmith_bench::Result;
use warpsmith_bench::contender::{Call, Contender};
use warpsmith_bench::record::Status;
use warpsmith_bench::session::{Options, Session};
use warpsmith_bench::tasks::{Case, Pass};
use warpsmith_tensor::{DType, Device, Tensor};

use crate::{case, rows};

/// What is done to the engine's outputs, given the inputs.
type Spoil = fn(&mut [Tensor], &[Tensor]);

struct Spoiled(Spoil);

struct SpoiledCall {
    spoil: Spoil,
    honest: Box<dyn Call>,
    inputs: Vec<Tensor>,
}

impl Contender for Spoiled {
    fn name(&self) -> String {
        "spoiled".into()
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        let honest = case.work.engine().prepare(case, inputs)?;
        Ok(Box::new(SpoiledCall { spoil: self.0, honest, inputs: inputs.to_vec() }))
    }
}

impl Call for SpoiledCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.inputs = inputs.to_vec();
        self.honest.load(inputs)
    }

    fn poison(&mut self) -> Result<()> {
        self.honest.poison()
    }

    fn run(&mut self) -> Result<()> {
        self.honest.run()
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        let mut outputs = self.honest.outputs()?;
        (self.spoil)(&mut outputs, &self.inputs);
        Ok(outputs)
    }
}

/// Of two layers there are 2 + 2·12 + 2 parameters.
const PARAMETERS: usize = 28;

fn scaled(x: &mut Tensor, by: f32) {
    x.data_mut::<f32>().unwrap().iter_mut().for_each(|v| *v *= by);
}

fn told(task: &str, shape: &str, dtype: DType, spoil: Spoil) -> String {
    let case = case(task, shape, Pass::Forward, dtype);
    let row = rows(&case, &Device::Cpu, vec![Box::new(Spoiled(spoil))]).remove(0);
    assert_eq!((row.status, row.time.is_none()), (Status::Refused, true), "{task} {}", dtype.name());
    row.reason.unwrap()
}

#[test]
fn a_step_that_is_wrong_anywhere_is_refused() {
    let spoils: [(Spoil, &str); 6] = [
        (|y, _| scaled(&mut y[0], 1.02), "output 0[]"),
        // The bias of q, k and v in the first layer.
        (|y, _| scaled(&mut y[1 + 5], 0.0), "all zeros: output 6"),
        // Not clipped, or the mean over the wrong number of tokens.
        (|y, _| scaled(&mut y[1 + 4], 2.0), "output 5["),
        // The position embedding's last row has no gradient: off by one position.
        (|y, _| y[2].data_mut::<f32>().unwrap()[15 * 32..].fill(0.0), "output 2[15, "),
        // Nothing is updated.
        (|y, x| y[1 + PARAMETERS..].clone_from_slice(&x[2..]), "output 29[0, 0]"),
        (|y, _| y[2 * PARAMETERS].data_mut::<f32>().unwrap()[3] = f32::NAN, "output 56[3] is NaN"),
    ];
    for dtype in [DType::F32, DType::BF16] {
        for (spoil, expected) in spoils {
            let told = told("step", "2x16x2x2x32x65", dtype, spoil);
            // With products in bf16 the moments have so much room that new values often tell first.
            assert!(dtype == DType::BF16 || told.contains(expected), "{told}");
        }
    }
}

#[test]
fn a_text_with_a_wrong_token_is_refused() {
    let spoils: [(Spoil, &str); 2] = [
        (|y, _| y[0].data_mut::<i64>().unwrap()[2] ^= 1, "not the likeliest token"),
        (|y, _| y[0].data_mut::<i64>().unwrap()[3] = -1, "no token of the model"),
    ];
    for dtype in [DType::F32, DType::BF16] {
        for (spoil, expected) in spoils {
            let told = told("decode", "5x4x2x2x32x65", dtype, spoil);
            assert!(told.contains(expected), "{told}");
        }
    }
}

#[test]
fn a_model_of_random_weights_does_not_write_one_token_over_and_over() {
    for shape in ["5x4x2x2x32x65", "4x12x2x2x32x65"] {
        let case = case("decode", shape, Pass::Forward, DType::F32);
        let mut call = case.work.engine().prepare(&case, &case.inputs(1, &Device::Cpu).unwrap()).unwrap();
        call.run().unwrap();
        let tokens: Vec<i64> = call.outputs().unwrap()[0].to_vec().unwrap();
        assert!(
            tokens.windows(2).filter(|pair| pair[0] != pair[1]).count() >= tokens.len() / 2,
            "{tokens:?}"
        );
    }
}

/// Beyond what the oracle computes in f64: proven on small shapes first, then held to the CPU's f32.
#[test]
fn a_model_too_large_for_the_f64_oracle_is_proven_on_small_shapes_first() {
    for (task, shape) in [("step", "2x64x1x2x128x65"), ("decode", "120x2x2x4x128x65")] {
        let case = case(task, shape, Pass::Forward, DType::F32);
        assert!(case.work.wants_proof_on_small(), "{task}");
        let row = rows(&case, &Device::Cpu, vec![case.work.engine()]).remove(0);
        assert_eq!(row.status, Status::Ok, "{:?}", row.reason);
        assert!(row.tokens_per_second() > Some(0.0));
        let zeros: Spoil = |y, _| {
            y.iter_mut().for_each(|y| *y = Tensor::zeros(*y.shape(), y.dtype(), &Device::Cpu).unwrap());
        };
        let row = rows(&case, &Device::Cpu, vec![Box::new(Spoiled(zeros))]).remove(0);
        assert!(row.reason.unwrap().starts_with("on "), "a small shape shows it");
    }
}

/// The step is recorded once and launched, and so is a step of writing: both have the answers of the oracle.
#[cfg(all(feature = "cuda", target_os = "linux"))]
#[test]
fn the_cuda_path_of_both_is_proven_on_the_emulated_gpu() {
    let (_guard, device) = crate::emulated::alone();
    for (task, shape) in [("step", "2x7x1x2x16x37"), ("decode", "3x4x1x2x16x37")] {
        for dtype in [DType::F32, DType::BF16] {
            let case = case(task, shape, Pass::Forward, dtype);
            let row = crate::emulated::rows(&case, &device, vec![case.work.engine()]).remove(0);
            assert_eq!(row.status, Status::Ok, "{task} {}: {:?}", dtype.name(), row.reason);
            assert!(row.error.is_some_and(|share| share <= 1.0) && row.counts.is_some(), "{task}");
        }
    }
}

/// What one token more and one layer more cost a GPU: launches, and bytes that its lanes ask for beside the formula, which
/// counts each tensor once. A step of writing is replayed by then; what it moves are weights, in bf16 half of the formula's f32.
#[cfg(all(feature = "cuda", target_os = "linux"))]
#[test]
fn a_token_and_a_layer_cost_so_many_launches_and_bytes() {
    let (_guard, device) = crate::emulated::alone();
    let (token, layer) = (["3x6x2x2x64x65", "3x7x2x2x64x65"], ["1x16x1x2x64x65", "1x16x2x2x64x65"]);
    for (task, shapes, dtype, launches, times) in [
        ("decode", token, DType::F32, 28, 1.6),
        ("decode", token, DType::BF16, 30, 0.85),
        ("step", layer, DType::F32, 28, 2.8),
        ("step", layer, DType::BF16, 30, 2.5),
    ] {
        let [less, more] = shapes.map(|shape| {
            let case = case(task, shape, Pass::Forward, dtype);
            let options = Options { timed: false, ..crate::quick() };
            let mut session = Session::new(&device, options, &crate::emulated::Emulator).unwrap();
            let row = session.case(&case, &mut [case.work.engine()]).unwrap().remove(0);
            let counts = row.counts.unwrap_or_else(|| panic!("{task} {shape}: {:?}", row.reason));
            (counts.launches, counts.global_read_bytes + counts.global_write_bytes, row.bytes)
        });
        let (moved, formula) = ((more.1 - less.1) as f64, (more.2 - less.2) as f64);
        assert_eq!(more.0 - less.0, launches, "{task} {dtype}");
        assert!(moved <= times * formula, "{task} {dtype}: {moved} bytes where the formula has {formula}");
    }
}
