//! Recorded work: the same as done at once, on memory that stays.

use warpsmith_kernels::Float;
use warpsmith_kernels::dropout::{Dropout, dropout};
use warpsmith_tensor::{DType, Error, Shape, Tensor};

use crate::{cuda, device};

fn full(n: usize, value: f64, device: &warpsmith_tensor::Device) -> Tensor {
    Tensor::full(Shape::new(&[n]).unwrap(), value, DType::F32, device).unwrap()
}

/// One test: recording takes the device's one stream, and tests run side by side.
#[test]
fn a_recording_is_done_at_each_launch_and_keeps_its_memory() {
    warpsmith_emulator::alone("graphs::a_recording_is_done_at_each_launch_and_keeps_its_memory", &[], || {
        let device = device();
        let stream = cuda(&device).stream();
        let input = Tensor::from_slice(&[1f32, 2.0, 3.0], &[3], &device).unwrap();
        let (graph, (copied, fives)) = stream
            .capture(|| {
                drop(full(3, 9.0, &device));
                Ok((input.copy()?, full(4, 5.0, &device)))
            })
            .unwrap();
        let requests = cuda(&device).usage().requests;
        for _ in 0..3 {
            graph.launch().unwrap();
        }
        assert_eq!(copied.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(fives.to_vec::<f32>().unwrap(), [5.0; 4]);
        assert_eq!(cuda(&device).usage().requests, requests, "a launch takes no memory");

        // The input's memory is the graph's too: nobody is given it, and the graph still reads what was there.
        let address = input.device_address().unwrap();
        drop(input);
        let others: Vec<Tensor> = (0..100).map(|_| full(3, 7.0, &device)).collect();
        assert!(others.iter().all(|t| t.device_address().unwrap() != address));
        graph.launch().unwrap();
        assert_eq!(copied.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        drop((others, copied, fives, graph));
        assert_eq!(cuda(&device).usage().live, 0);
        cuda(&device).trim().unwrap();
        assert_eq!(cuda(&device).usage().reserved, 0, "all of it came back");
    });
}

#[test]
fn what_cannot_be_recorded_is_an_error_and_leaves_nothing_behind() {
    warpsmith_emulator::alone(
        "graphs::what_cannot_be_recorded_is_an_error_and_leaves_nothing_behind",
        &[],
        || {
            let device = device();
            let stream = cuda(&device).stream();
            let x = full(3, 1.0, &device);
            let told = |error: Error| error.to_string();
            let read = stream.capture(|| x.to_vec::<f32>()).map(drop).unwrap_err();
            assert!(told(read).contains("copies between host and device"));
            let write = stream.capture(|| Tensor::from_slice(&[1f32], &[1], &device)).map(drop).unwrap_err();
            assert!(told(write).contains("copies between host and device"));
            let nested = stream.capture(|| stream.capture(|| Ok(())).map(drop)).map(drop).unwrap_err();
            assert!(told(nested).contains("being recorded"));
            let other =
                stream.capture(|| std::thread::scope(|s| s.spawn(|| x.copy().map(drop)).join().unwrap()));
            assert!(told(other.map(drop).unwrap_err()).contains("another thread"));
            let own = stream.capture(|| -> Result<(), Error> { Err(Error::value("mine", "no")) }).map(drop);
            assert_eq!(told(own.unwrap_err()), "mine: no");
            let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _ = stream.capture(|| -> Result<(), Error> { panic!("in the work") });
            }));
            assert!(panics.is_err());
            assert_eq!(x.copy().unwrap().to_vec::<f32>().unwrap(), [1.0; 3]);
            let (graph, copied) = stream.capture(|| x.copy()).unwrap();
            graph.launch().unwrap();
            assert_eq!(copied.to_vec::<f32>().unwrap(), [1.0; 3]);
        },
    );
}

/// A kernel that reads the number says which launch it is.
#[test]
fn launches_are_numbered_for_what_they_record() {
    warpsmith_emulator::alone("graphs::launches_are_numbered_for_what_they_record", &[], || {
        let device = device();
        assert_eq!((device.advance(), warpsmith_tensor::Device::Cpu.advance()), (0, 0));
        let ones = Tensor::from_slice(&[1f32; 8], &[8], &device).unwrap();
        let drop_out = |stream, advance| {
            let mut y = ones.copy()?;
            let at = y.device_address_mut()?;
            device.launch(&dropout(&Dropout {
                dtype: Float::F32,
                y: at,
                x: at,
                elements: 8,
                p: 0.5,
                seed: 3,
                stream,
                advance,
            }))?;
            Ok(y)
        };
        let (plain, _) = cuda(&device).stream().capture(|| drop_out(2, 0)).unwrap();
        assert!(!plain.is_numbered(), "nobody asked for the number, so a launch is nothing but the launch");
        let (recording, out) = device.record(|| drop_out(2, device.advance())).unwrap();
        for number in [0u64, 7, 1] {
            recording.launch_as(number).unwrap();
            let eager = drop_out(2 + (number << 32), 0).unwrap();
            assert_eq!(out.to_vec::<f32>().unwrap(), eager.to_vec::<f32>().unwrap(), "launch {number}");
        }
        assert!(warpsmith_tensor::Device::Cpu.record(|| Ok(())).is_err());
    });
}

#[test]
fn events_are_in_order() {
    let device = device();
    let stream = cuda(&device).stream();
    let start = stream.record_event().unwrap();
    let _x = full(1000, 1.0, &device);
    let end = stream.record_event().unwrap();
    assert!(end.milliseconds_since(&start).unwrap() >= 0.0);
}
