//! Every op of the registry on the emulated driver.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_conformance::{Check, Plan, Report, Sweep};
use warpsmith_emulator::alone;
use warpsmith_kernels::Float;
use warpsmith_kernels::softmax::{Form, Softmax, forward};
use warpsmith_tensor::{DType, Device, Error, Result, Tensor};

use crate::forward::show;
use crate::specs;

#[test]
fn every_kernel_of_the_even_ops_does_what_its_op_must() {
    apart("device::every_kernel_of_the_even_ops_does_what_its_op_must", 0);
}

#[test]
fn every_kernel_of_the_odd_ops_does_what_its_op_must() {
    apart("device::every_kernel_of_the_odd_ops_does_what_its_op_must", 1);
}

#[test]
fn the_even_ops_write_all_of_their_outputs_and_nothing_beside() {
    guarded("device::the_even_ops_write_all_of_their_outputs_and_nothing_beside", || {
        ask_every_second_op(0, &[Check::Guards]);
    });
}

#[test]
fn the_odd_ops_write_all_of_their_outputs_and_nothing_beside() {
    guarded("device::the_odd_ops_write_all_of_their_outputs_and_nothing_beside", || {
        ask_every_second_op(1, &[Check::Guards]);
    });
}

/// What a hole held before the call is what the question is about: no paint over it.
fn guarded(test: &str, ask: impl FnOnce()) {
    alone(test, &[("WARPSMITH_ARENA", "unpainted")], ask);
}

/// All questions but that of the guards, which are laid by how the arena hands out memory. Where each block is the driver's own,
/// the emulator sees the bounds of each: in the arena a read past the end of one, or of what nobody wrote, would find the bytes
/// of a neighbour or of who was there before.
fn apart(test: &str, half: usize) {
    let checks: Vec<Check> = Check::ALL.into_iter().filter(|check| *check != Check::Guards).collect();
    alone(test, &[("WARPSMITH_ARENA", "off")], || ask_every_second_op(half, &checks));
}

/// These questions to half of the ops, on a GPU of their own: one GPU's work is in one order, so two use both cores of a
/// small machine.
fn ask_every_second_op(half: usize, checks: &[Check]) {
    assert_eq!(warpsmith_emulator::install_gpus(2).expect("the emulator is built beside the tests"), 2);
    let device = Device::cuda(half).expect("the emulated GPU can be used");
    let ops = || -> Vec<Spec> { specs().into_iter().skip(half).step_by(2).collect() };
    for &check in checks {
        let plan = if check == Check::Values { Plan::Crossed } else { Plan::Small };
        let report = Sweep { check, specs: ops(), device: device.clone(), plan }.run(&|_, _, _| {});
        println!("--- {}", check.name());
        show(&report);
        // Those that say so have no kernel, and no others.
        let says_so = |spec: &Spec| !(spec.samples)()[0].op.has_kernel();
        let without: Vec<&str> = ops().iter().filter(|spec| says_so(spec)).map(|spec| spec.name).collect();
        let absent: Vec<&str> = report.absent().collect();
        assert!(absent.iter().all(|name| without.contains(name)), "ops without a kernel: {absent:?}");
        assert!(check != Check::Values || absent.len() == without.len(), "{absent:?}, not {without:?}");
    }
}

/// An op whose kernel reads and writes so many rows of 64, whatever its input has; the output has room for `room` of them.
#[derive(Clone, Debug)]
struct Rows {
    run: u64,
    room: usize,
}

impl Op for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        if x[0].dtype != DType::F32 {
            return Err(Error::dtype(self.name(), "takes f32"));
        }
        Ok(vec![Meta::new(x[0].shape.with_dim(0, self.room)?, DType::F32)])
    }
    fn reference(&self, _x: &[Array], _y: &mut [Array]) -> Result<()> {
        Ok(())
    }
    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(x)
    }
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        // What the arena lays behind the input.
        let _behind = Tensor::zeros(*x[0].shape(), DType::F32, &x[0].device())?;
        let mut out = Tensor::empty(y[0].shape, DType::F32, &x[0].device())?;
        let at = out.device_address_mut()?;
        let call = Softmax {
            form: Form::Plain,
            dtype: Float::F32,
            y: at,
            x: x[0].device_address()?,
            rows: self.run,
            n: 64,
        };
        out.device().launch(&forward(&call))?;
        Ok(vec![out])
    }
    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }
    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "N")
    }
}

fn ask(check: Check, samples: fn() -> Vec<Sample>) -> Report {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    let device = Device::cuda(0).expect("the emulated GPU can be used");
    let specs = vec![Spec { name: "rows", summary: "", samples }];
    Sweep { check, specs, device, plan: Plan::Small }.run(&|_, _, _| {})
}

/// The input has as many rows as are read, so that what is wrong is where they are written.
#[test]
fn a_row_that_nobody_writes_and_one_beside_the_output_are_seen() {
    guarded("device::a_row_that_nobody_writes_and_one_beside_the_output_are_seen", || {
        let told = |samples| {
            let total = ask(Check::Guards, samples).total();
            (total.cases, total.failures.iter().map(ToString::to_string).collect::<String>())
        };
        let (cases, failures) = told(|| vec![Sample::new(Rows { run: 3, room: 3 }, [Input::any(&[3, 64])])]);
        assert_eq!((cases, &failures[..]), (1, ""));
        let (cases, failures) = told(|| vec![Sample::new(Rows { run: 2, room: 3 }, [Input::any(&[2, 64])])]);
        let unwritten = "output 0: 64 elements depend on what the memory held before";
        assert!(cases == 1 && failures.contains(unwritten), "{cases} {failures}");
        let (cases, failures) = told(|| vec![Sample::new(Rows { run: 3, room: 2 }, [Input::any(&[3, 64])])]);
        let beside = "memory beside an output was written to";
        assert!(cases == 1 && failures.contains(beside), "{cases} {failures}");
    });
}

/// In the arena the row behind the input is there, and the same each time. Where blocks lie apart nothing is there.
#[test]
fn a_read_past_the_end_of_an_input_is_seen_where_blocks_lie_apart() {
    let test = "device::a_read_past_the_end_of_an_input_is_seen_where_blocks_lie_apart";
    alone(test, &[("WARPSMITH_ARENA", "off")], || {
        let report =
            ask(Check::Repeat, || vec![Sample::new(Rows { run: 3, room: 3 }, [Input::any(&[2, 64])])]);
        let told = format!("{:?} {:?}", report.broken, report.total().failures);
        assert!(!report.is_green() && told.contains("softmax_fwd_f32"), "{told}");
    });
}
