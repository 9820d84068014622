//! bf16 copies of f32 numbers: made once, and never out of date, whoever writes the numbers.

use warpsmith_emulator::alone;
use warpsmith_kernels::fill;
use warpsmith_tensor::{DType, Device, Shape, Tensor};

use crate::{cuda, device};

fn numbers(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, &[values.len()], device).unwrap()
}

/// The copy as f32.
fn copy_of(x: &Tensor) -> Vec<f32> {
    x.rounded(true).unwrap().to_dtype(DType::F32).unwrap().to_vec().unwrap()
}

/// What the numbers round to, by the way that keeps nothing.
fn rounded(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap().to_vec().unwrap()
}

#[test]
fn a_copy_is_made_once_and_again_when_the_numbers_change() {
    alone("rounded::a_copy_is_made_once_and_again_when_the_numbers_change", &[], || {
        let device = device();
        let mut x = numbers(&[1.001, -3.3333, 1e-30, 7.5, 0.1, 2.0], &device);
        assert_eq!(x.rounded(false).unwrap().to_vec::<half::bf16>().unwrap().len(), 6);
        assert_eq!(cuda(&device).usage().copies, 0, "nobody asked to keep it");
        let place = x.rounded(true).unwrap().device_address().unwrap();
        assert_eq!(cuda(&device).usage().copies, 12);
        assert_eq!((copy_of(&x), x.rounded(false).unwrap().device_address().unwrap()), (rounded(&x), place));
        // A view of it is the same view of the copy.
        let turned = x
            .view(
                warpsmith_tensor::Layout::new(warpsmith_tensor::Shape::new(&[2, 2]).unwrap(), &[1, 3], 1, 6)
                    .unwrap(),
            )
            .unwrap();
        assert_eq!(copy_of(&turned), rounded(&turned));
        assert_eq!(turned.rounded(true).unwrap().device_address().unwrap(), place + 2);
        drop(turned);
        // In place by a kernel, from the host, and by somebody who gets a copy of his own.
        x.accumulate(&numbers(&[0.3; 6], &device)).unwrap();
        assert_eq!((copy_of(&x), x.rounded(true).unwrap().device_address().unwrap()), (rounded(&x), place));
        x.overwrite(&[9.1f32, 8.2, 7.3, 6.4, 5.5, 4.6]).unwrap();
        assert_eq!(copy_of(&x), rounded(&x));
        let shared = x.clone();
        x.accumulate(&numbers(&[1.7; 6], &device)).unwrap();
        assert_eq!((copy_of(&x), copy_of(&shared)), (rounded(&x), rounded(&shared)));
        assert_eq!(cuda(&device).usage().copies, 24);
        drop((x, shared));
        assert_eq!((cuda(&device).usage().copies, cuda(&device).usage().live), (0, 0));
    });
}

#[test]
fn a_recorded_graph_reads_and_spoils_copies_as_eager_work_does() {
    alone("rounded::a_recorded_graph_reads_and_spoils_copies_as_eager_work_does", &[], || {
        let device = device();
        let stream = cuda(&device).stream();
        let mut x = numbers(&[1.001, 2.3, 4.7], &device);
        let step = numbers(&[0.37, 0.51, 0.11], &device);
        copy_of(&x);
        // Reads the copy, then moves the numbers.
        let mut seen = numbers(&[0.0; 3], &device);
        let work = |x: &mut Tensor, seen: &mut Tensor| {
            seen.accumulate(&x.rounded(true)?.to_dtype(DType::F32)?)?;
            x.accumulate(&step)
        };
        work(&mut x, &mut seen).unwrap();
        let (graph, ()) = stream.capture(|| work(&mut x, &mut seen)).unwrap();
        let mut expected: Vec<f32> = seen.to_vec().unwrap();
        for launch in 0..4 {
            expected.iter_mut().zip(rounded(&x)).for_each(|(sum, new)| *sum += new);
            graph.launch().unwrap();
            assert_eq!(seen.to_vec::<f32>().unwrap(), expected, "launch {launch}");
            if launch % 2 == 0 {
                assert_eq!(copy_of(&x), rounded(&x), "after launch {launch}");
            }
        }
        // Eager work between two launches.
        x.overwrite(&[5.3f32, 6.1, 7.9]).unwrap();
        expected.iter_mut().zip(rounded(&x)).for_each(|(sum, new)| *sum += new);
        graph.launch().unwrap();
        assert_eq!(seen.to_vec::<f32>().unwrap(), expected);
    });
}

#[test]
fn a_copy_that_came_after_the_recording_is_spoiled_by_it() {
    alone("rounded::a_copy_that_came_after_the_recording_is_spoiled_by_it", &[], || {
        let device = device();
        let mut x = numbers(&[1.001, 2.3, 4.7], &device);
        let step = numbers(&[0.37, 0.51, 0.11], &device);
        x.accumulate(&step).unwrap();
        let (graph, ()) = cuda(&device).stream().capture(|| x.accumulate(&step)).unwrap();
        for _ in 0..2 {
            assert_eq!(copy_of(&x), rounded(&x));
            graph.launch().unwrap();
        }
        assert_eq!(copy_of(&x), rounded(&x));
    });
}

/// Numbers that a kernel fills together with their copy: the copy is what is read, in a recording and at its launches, too, and
/// whoever writes the numbers alone spoils it. A part of something larger and other dtypes have none.
#[test]
fn who_fills_new_numbers_fills_their_copy() {
    alone("rounded::who_fills_new_numbers_fills_their_copy", &[], || {
        let device = device();
        // Another number in the copy than the one it is of: what is read tells which was read.
        let filled = |value: f32, of_copy: f32| -> warpsmith_tensor::Result<Tensor> {
            let mut x = Tensor::empty(Shape::new(&[4])?, DType::F32, &device)?;
            let [at, copy] = x.device_addresses_filled()?;
            assert_eq!(at, x.device_address()?);
            let pair = |bits: u32| u64::from(bits) << 32 | u64::from(bits);
            let half = u32::from(half::bf16::from_f32(of_copy).to_bits());
            device.launch(&fill::fill(at, pair(value.to_bits()), 2))?;
            device.launch(&fill::fill(copy, pair(half << 16 | half), 1))?;
            Ok(x)
        };
        let mut x = filled(1.5, 7.0).unwrap();
        assert_eq!((x.to_vec::<f32>().unwrap(), copy_of(&x)), (vec![1.5; 4], vec![7.0; 4]));
        assert_eq!(cuda(&device).usage().copies, 8);
        x.accumulate(&numbers(&[1.0; 4], &device)).unwrap();
        assert_eq!(copy_of(&x), [2.5; 4], "rounded anew");
        let mut seen = numbers(&[0.0; 4], &device);
        let work = |seen: &mut Tensor| {
            let x = filled(1.5, 7.0)?;
            seen.accumulate(&x.rounded(false)?.to_dtype(DType::F32)?)?;
            Ok(x)
        };
        work(&mut seen).unwrap();
        let (graph, _kept) = cuda(&device).stream().capture(|| work(&mut seen)).unwrap();
        for launch in 1..3 {
            graph.launch().unwrap();
            assert_eq!(seen.to_vec::<f32>().unwrap(), [7.0 * (launch + 1) as f32; 4], "launch {launch}");
        }
        let whole = numbers(&[1.0, 2.0, 3.0, 4.0], &device);
        let mut part = whole.view(whole.layout().slice(0, 1, 2, 1).unwrap()).unwrap();
        drop(whole);
        assert_eq!(part.device_addresses_filled().unwrap()[1], 0);
        let mut narrow = Tensor::empty(Shape::new(&[4]).unwrap(), DType::BF16, &device).unwrap();
        assert_eq!(narrow.device_addresses_filled().unwrap()[1], 0);
    });
}
