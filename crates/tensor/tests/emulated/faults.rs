//! Launches that cannot be, and kernels that break the rules of the machine.

use std::sync::Mutex;

use warpsmith_emulator::alone;
use warpsmith_kernels::{Entry, Launch, Module};
use warpsmith_tensor::cuda::Attributes;
use warpsmith_tensor::{Device, Kind, Scope, Tensor};

use crate::{cuda, device};

/// Stores 7 at the address that its parameter gives.
const POKE: &str = "
.version 8.4
.target sm_80
.address_size 64

.visible .entry poke(.param .align 8 .b8 poke_param_0[8])
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [poke_param_0];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r1, 7;
    st.global.u32 [%rd2], %r1;
    ret;
}
";

static GOOD: Module = Module::new("poke", POKE);
static POKES: Entry = Entry { module: &GOOD, name: "poke", param_bytes: 8 };
static MISSED: Entry = Entry { module: &GOOD, name: "pokes", param_bytes: 8 };
static WIDER: Entry = Entry { module: &GOOD, name: "poke", param_bytes: 16 };
static BROKEN: Module = Module::new("broken", ".version 8.4\n.target sm_80\nthis is no ptx\n");
static LOST: Entry = Entry { module: &BROKEN, name: "lost", param_bytes: 8 };

fn launch(entry: &'static Entry, address: u64) -> Launch {
    let params = address.to_le_bytes().to_vec();
    Launch { entry, grid: [1, 1, 1], block: [1, 1, 1], shared_bytes: 0, params }
}

#[test]
fn a_kernel_of_ones_own_runs() {
    let device = device();
    let x = Tensor::from_slice(&[1u32, 2], &[2], &device).unwrap();
    device.launch(&launch(&POKES, x.device_address().unwrap())).unwrap();
    assert_eq!(x.to_vec::<u32>().unwrap(), [7, 2]);
    let nothing = Launch { grid: [1, 0, 1], ..launch(&POKES, 0) };
    device.launch(&nothing).unwrap();
}

#[test]
fn who_asks_is_told_of_each_module_once_it_is_loaded() {
    static LOADED: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    alone("faults::who_asks_is_told_of_each_module_once_it_is_loaded", &[], || {
        let device = device();
        let x = Tensor::from_slice(&[1u32, 2], &[2], &device).unwrap();
        warpsmith_tensor::cuda::on_load(|name, _| LOADED.lock().unwrap().push(name));
        for _ in 0..2 {
            device.launch(&launch(&POKES, x.device_address().unwrap())).unwrap();
        }
        assert!(device.launch(&launch(&LOST, 0)).is_err());
        assert_eq!(*LOADED.lock().unwrap(), ["poke"]);
    });
}

/// The attributes go to the driver by a call of their own.
#[test]
fn a_launch_has_attributes() {
    let device = device();
    let x = Tensor::from_slice(&[1u32, 2], &[2], &device).unwrap();
    let poke = launch(&POKES, x.device_address().unwrap());
    let overlapping = Attributes { overlaps_previous: true, ..Attributes::default() };
    cuda(&device).stream().launch_with(&poke, overlapping).unwrap();
    assert_eq!(x.to_vec::<u32>().unwrap(), [7, 2]);
    // The emulated GPU has neither of these, and says so.
    let refused = [
        Attributes { cooperative: true, ..overlapping },
        Attributes { cluster: Some([2, 1, 1]), ..Attributes::default() },
    ];
    for attributes in refused {
        let error = cuda(&device).stream().launch_with(&poke, attributes).unwrap_err().to_string();
        assert!(error.contains("poke") && error.contains("cuLaunchKernelEx"), "{error}");
    }
}

#[test]
fn what_the_driver_refuses_names_kernel_and_layer() {
    let device = device();
    let _scope = Scope::enter("blocks.3");
    let error = device.launch(&launch(&LOST, 0)).unwrap_err().to_string();
    assert!(error.contains("broken") && error.contains("this is no ptx"), "the log is told: {error}");
    let error = device.launch(&launch(&MISSED, 0)).unwrap_err().to_string();
    assert!(error.contains("pokes") && error.contains("NOT_FOUND"), "{error}");
    let error = device.launch(&launch(&WIDER, 0)).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal, "{error}");
    let huge = Launch { block: [1024, 2, 1], ..launch(&POKES, 0) };
    let error = device.launch(&huge).unwrap_err().to_string();
    for part in ["poke", "(1024, 2, 1)", "cuLaunchKernel", "in blocks.3"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    for grid in [[1 << 31, 1, 1], [1, 65_536, 1]] {
        let error = device.launch(&Launch { grid, ..launch(&POKES, 0) }).unwrap_err();
        assert!(error.to_string().contains("more blocks than a GPU takes"), "{error}");
    }
    let short = Launch { params: vec![0; 4], ..launch(&POKES, 0) };
    assert!(device.launch(&short).is_err());
    assert!(Device::Cpu.launch(&launch(&POKES, 0)).is_err());
}

#[test]
fn after_a_fault_everything_tells_of_it_until_the_device_is_opened_anew() {
    let test = "faults::after_a_fault_everything_tells_of_it_until_the_device_is_opened_anew";
    alone(test, &[("WARPSMITH_LAUNCH_BLOCKING", "1")], || {
        let device = device();
        let x = Tensor::from_slice(&[1u32], &[1], &device).unwrap();
        let scope = Scope::enter("blocks.5");
        let error = device.launch(&launch(&POKES, 64)).unwrap_err().to_string();
        assert!(error.contains("poke") && error.contains("in blocks.5"), "{error}");
        drop(scope);
        for error in [x.copy().map(drop).unwrap_err(), x.to_vec::<u32>().map(drop).unwrap_err()] {
            let told = error.to_string();
            assert!(told.contains("cuda:0 was lost: poke failed in blocks.5"), "{told}");
        }
        drop((x, device));
        let device = crate::device();
        assert_eq!(Tensor::from_slice(&[5u32], &[1], &device).unwrap().to_vec::<u32>().unwrap(), [5]);
    });
}

/// A GPU tells of a fault when somebody waits, and by its driver's documentation serves the process no more.
#[test]
fn a_fault_is_found_late_and_ends_the_process() {
    let test = "faults::a_fault_is_found_late_and_ends_the_process";
    alone(test, &[("WARPSMITH_EMULATOR_STRICT", "1")], || {
        let device = device();
        let x = Tensor::from_slice(&[1u32], &[1], &device).unwrap();
        device.launch(&launch(&POKES, 64)).unwrap();
        let found = x.to_vec::<u32>().map(drop).unwrap_err().to_string();
        assert!(found.contains("ILLEGAL_ADDRESS") && found.contains("LAUNCH_BLOCKING=1"), "{found}");
        let later = x.copy().map(drop).unwrap_err().to_string();
        assert!(later.contains("was lost: ") && later.contains(" found a fault: "), "{later}");
        assert!(later.contains("start the program again"), "{later}");
        drop((x, device));
        let anew = Device::cuda(0).map(drop).unwrap_err().to_string();
        assert!(anew.contains("ILLEGAL_ADDRESS") && anew.contains("start the program again"), "{anew}");
    });
}

/// The memory of a GPU can fail without the process.
#[test]
fn after_an_error_of_the_memory_the_device_can_be_opened_anew() {
    let test = "faults::after_an_error_of_the_memory_the_device_can_be_opened_anew";
    alone(test, &[("WARPSMITH_EMULATOR_STRICT", "1"), ("WARPSMITH_EMULATOR_LOST_AT", "1")], || {
        let device = device();
        let x = Tensor::from_slice(&[1u32], &[1], &device).unwrap();
        device.launch(&launch(&POKES, x.device_address().unwrap())).unwrap();
        let found = device.synchronize().unwrap_err().to_string();
        assert!(found.contains("ECC_UNCORRECTABLE"), "{found}");
        let later = x.copy().map(drop).unwrap_err().to_string();
        assert!(later.contains("open it again"), "{later}");
        drop((x, device));
        let device = crate::device();
        assert_eq!(Tensor::from_slice(&[5u32], &[1], &device).unwrap().to_vec::<u32>().unwrap(), [5]);
    });
}
