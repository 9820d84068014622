//! What the sweep cannot see of ops on a GPU: wrong indices, large vocabularies, wide heads, recorded steps. On the
//! emulated driver.

use std::sync::{Mutex, MutexGuard, PoisonError};

use warpsmith_autograd::{Array, Cost, Meta, Op, TensorExt, apply, apply_owned};
use warpsmith_kernels::softmax::{Form, Softmax, forward};
use warpsmith_kernels::{Float, Launch};
use warpsmith_ops::adamw::{AdamW, AdamWByNumbers};
use warpsmith_ops::attention::{AttentionOptions, Mask};
use warpsmith_ops::clip_by_norm::{ClipByNorm, ClipFactor};
use warpsmith_ops::cross_entropy::{CrossEntropy, cross_entropy_before};
use warpsmith_ops::embedding::EmbeddingBackward;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Kind, Result, Rng, Scope, Seed, Shape, Tensor};

/// The emulated GPU, for one test at a time: a wrong index is told to whoever waits first.
fn device() -> (Device, MutexGuard<'static, ()>) {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    (Device::cuda(0).expect("the emulated GPU can be used"), guard)
}

fn tensor<T: warpsmith_tensor::Element>(values: &[T], dims: &[usize], device: &Device) -> Tensor {
    Tensor::from_slice(values, dims, &Device::Cpu).unwrap().to_device(device).unwrap()
}

fn random(dims: &[usize], stream: u64, dtype: DType, device: &Device) -> Tensor {
    let x = Tensor::randn(dims, &Rng::restore(Seed(3), stream), &Device::Cpu).unwrap();
    x.to_dtype(dtype).unwrap().to_device(device).unwrap()
}

/// An op whose launch no GPU takes: blocks of more threads than there may be.
#[derive(Debug)]
struct TooWide;

impl Op for TooWide {
    fn name(&self) -> &'static str {
        "too_wide"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![x[0]])
    }
    fn reference(&self, _x: &[Array], _y: &mut [Array]) -> Result<()> {
        Ok(())
    }
    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(x)
    }
    fn cuda(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let at = x[0].device_address()?;
        let whole = Softmax { form: Form::Plain, dtype: Float::F32, x: at, y: at, rows: 2, n: 3 };
        x[0].device().launch(&Launch { block: [2048, 1, 1], ..forward(&whole) })?;
        Ok(x)
    }
    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "N")
    }
}

#[test]
fn a_launch_that_fails_says_in_which_op_and_on_what() {
    let (device, _guard) = device();
    let _scope = Scope::enter("blocks.3");
    let error = apply(TooWide, &[&random(&[2, 3], 0, DType::F32, &device)]).map(drop).unwrap_err();
    let told = error.to_string();
    assert_eq!(error.kind(), Kind::Device, "{told}");
    for part in ["softmax_fwd_f32", "(2048, 1, 1)", "CUDA_ERROR_INVALID_VALUE", "(2, 3) f32", "in blocks.3"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn a_wrong_index_is_an_error_of_its_op_when_the_host_waits() {
    let (device, _guard) = device();
    let table = random(&[3, 4], 0, DType::F32, &device);
    let wrong = tensor(&[0i64, 3], &[2], &device);
    let square = tensor(&[0i64, 1, 2, -1], &[1, 4], &device);
    let lengths = tensor(&[2i64, 5], &[2], &device);
    let heads = random(&[2, 4, 1, 8], 1, DType::F32, &device);
    let masked = AttentionOptions { key_lengths: Some(lengths), ..AttentionOptions::default() };
    let calls: [(&str, &dyn Fn() -> Result<Tensor>); 7] = [
        ("embedding", &|| table.embedding(&wrong)),
        ("embedding_backward", &|| {
            Ok(apply(EmbeddingBackward { rows: 3 }, &[&random(&[2, 4], 2, DType::F32, &device), &wrong])?
                .remove(0))
        }),
        ("index_select", &|| table.index_select(0, &wrong)),
        ("gather", &|| table.gather(0, &square)),
        ("scatter_add", &|| table.scatter_add(0, &square, &random(&[1, 4], 2, DType::F32, &device))),
        ("cross_entropy", &|| random(&[2, 3], 2, DType::F32, &device).cross_entropy(&wrong)),
        ("attention", &|| heads.attention(&heads, &heads, &masked)),
    ];
    for (op, call) in calls {
        let error = call().unwrap().to_f64_vec().unwrap_err();
        assert_eq!((error.kind(), error.op()), (Kind::Index, op), "{error}");
        let position = if op == "gather" || op == "scatter_add" { 3 } else { 1 };
        assert!(error.to_string().contains(&format!("position {position} ")), "{error}");
        device.synchronize().unwrap();
    }
}

/// How the logits of a loss lie, and by which op it is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The loss, then its gradient.
    InTwo,
    /// Both at once, from logits that somebody else holds too, which begin one element off the alignment of memory.
    Misaligned,
    /// Both at once, the gradient over the logits.
    InPlace,
}

/// The loss of rows of logits and the gradient of these. `g` is what the loss gets.
fn loss_and_gradient(way: Way, x: &Tensor, targets: &Tensor, g: f64) -> (f64, Vec<f64>) {
    let device = x.device();
    // The loss of both at once is f32 where the logits have 16 bits.
    let dtype = if way != Way::InTwo && x.dtype().is_half() { DType::F32 } else { x.dtype() };
    let g = Tensor::full(Shape::scalar(), g, dtype, &device).unwrap();
    let leaf = x.requires_grad().unwrap();
    let loss = match way {
        Way::InTwo => leaf.cross_entropy(targets),
        Way::Misaligned => cross_entropy_before(leaf.clone(), targets, &g, CrossEntropy::MEAN),
        Way::InPlace => {
            // A sum with zeros has the same bits and is held by nobody.
            let zeros = Tensor::zeros(*x.shape(), x.dtype(), &device).unwrap();
            cross_entropy_before(leaf.add(&zeros).unwrap(), targets, &g, CrossEntropy::MEAN)
        }
    };
    let loss = loss.unwrap();
    let grads = loss.backward_from(g).unwrap();
    (loss.to_f64_vec().unwrap()[0], grads.of(&leaf).unwrap().to_f64_vec().unwrap())
}

/// One row of logits for all targets, which nobody else holds: the gradient's rows have no room where it lies.
#[test]
fn the_gradient_of_rows_that_lie_over_each_other_has_a_place_of_its_own() {
    let (device, _guard) = device();
    let (rows, classes) = (4, 40);
    let all = |device: &Device| {
        let leaf = random(&[1, classes], 0, DType::F32, device).requires_grad().unwrap();
        let zeros = Tensor::zeros([1, classes], DType::F32, device).unwrap();
        let logits = leaf.add(&zeros).unwrap().broadcast_to(&[rows, classes]).unwrap();
        let g = Tensor::full(Shape::scalar(), 1.0, DType::F32, device).unwrap();
        let targets = tensor(&[3i64, 0, 39, 7], &[rows], device);
        let loss = cross_entropy_before(logits, &targets, &g, CrossEntropy::MEAN).unwrap();
        let gradient = loss.backward_from(g).unwrap().of(&leaf).unwrap().to_f64_vec().unwrap();
        [loss.to_f64_vec().unwrap(), gradient].concat()
    };
    for (found, exact) in all(&device).into_iter().zip(all(&Device::Cpu)) {
        assert!((found - exact).abs() <= 1e-6 * exact.abs().max(1.0), "{found} against {exact}");
    }
}

/// Rows of 50257 numbers begin at every alignment that there is.
#[test]
fn the_vocabulary_of_gpt2_is_no_multiple_of_anything() {
    let (device, _guard) = device();
    let (rows, classes) = (3, 50_257);
    let targets = [50_256i64, 0, 12_345];
    for (dtype, way) in [DType::F32, DType::BF16]
        .into_iter()
        .flat_map(|dtype| [Way::InTwo, Way::Misaligned, Way::InPlace].map(|way| (dtype, way)))
    {
        // One number more than there are logits, in front of them.
        let stored = random(&[rows * classes + 1], 0, dtype, &Device::Cpu);
        let logits = |stored: &Tensor| {
            let behind = stored.slice(0, 1, rows * classes, 1).unwrap();
            behind.reshape(&[rows, classes]).unwrap()
        };
        let x = logits(&stored.to_device(&device).unwrap());
        let x = if way == Way::Misaligned { x } else { x.copy().unwrap() };
        assert_eq!(x.device_address().unwrap() % 16 != 0, way == Way::Misaligned);
        let (loss, gradient) = loss_and_gradient(way, &x, &tensor(&targets, &[rows], &device), 0.5);
        let oracle = logits(&stored).to_dtype(DType::F64).unwrap();
        let (exact, expected) =
            loss_and_gradient(Way::InTwo, &oracle, &tensor(&targets, &[rows], &Device::Cpu), 0.5);
        // 16-bit results are rounded once. In f32 the exponents, up to 16 and a logarithm of 12, are sums of numbers that are
        // rounded, and a loss adds up a row's exponentials.
        let unit =
            if dtype == DType::F32 { 64.0 * dtype.unit_roundoff() } else { 1.1 * dtype.unit_roundoff() };
        assert!((loss - exact).abs() <= unit * exact, "{dtype} {way:?}: {loss} against {exact}");
        // p - q loses nothing where q is 0; at the target it is close to -1/6.
        assert_eq!(gradient.len(), expected.len());
        for (i, (found, exact)) in gradient.iter().zip(&expected).enumerate() {
            let allowed = unit * exact.abs();
            assert!((found - exact).abs() <= allowed, "{dtype} {way:?} {i}: {found} against {exact}");
        }
    }
}

/// Attention that kept its scores would take sixteen times as much for four times as many tokens.
#[test]
fn attention_and_its_gradient_take_no_memory_for_scores() {
    let (device, _guard) = device();
    let Device::Cuda(cuda) = &device else { panic!("{device} is no GPU") };
    for dtype in [DType::F32, DType::BF16] {
        let [short, long] = [256, 1024].map(|t| {
            let [q, k, v] = [0, 1, 2].map(|stream| random(&[1, t, 1, 8], stream, dtype, &device));
            let q = q.requires_grad().unwrap();
            let before = cuda.usage().live;
            cuda.reset_peak();
            let options = AttentionOptions { mask: Mask::Causal, ..AttentionOptions::default() };
            let out = q.attention(&k, &v, &options).unwrap();
            out.backward_from(out.detach()).unwrap().of(&q).unwrap();
            cuda.usage().peak - before
        });
        assert!(short > 0 && long <= 4 * short, "{dtype}: {short} bytes for 256 tokens, {long} for 1024");
    }
}

#[test]
fn heads_wider_than_any_kernel_are_an_error_that_says_so() {
    let (device, _guard) = device();
    let q = random(&[1, 2, 1, 264], 0, DType::F32, &device);
    let error = q.attention(&q, &q, &AttentionOptions::default()).unwrap_err();
    assert!(error.to_string().contains("264") && error.to_string().contains("256"), "{error}");
}

#[test]
fn a_size_that_rounds_up_beyond_32_bits_with_a_sign_is_refused() {
    let (device, _guard) = device();
    // No rows: nothing is computed, but the width is looked at.
    let x = Tensor::zeros(Shape::new(&[0, (1 << 31) - 200]).unwrap(), DType::F32, &device).unwrap();
    let error = x.softmax().unwrap_err().to_string();
    assert!(error.contains("2147483448 is beyond the kernel's 2147479552"), "{error}");
}

#[test]
fn one_query_reads_a_long_cache_in_parts_and_keeps_its_bits_in_a_batch() {
    let (device, _guard) = device();
    let options = AttentionOptions { mask: Mask::Causal, ..AttentionOptions::default() };
    for dtype in [DType::F32, DType::BF16] {
        let [q, k, v] = [(1, 0), (600, 1), (600, 2)]
            .map(|(t, stream)| random(&[3, t, if t == 1 { 4 } else { 2 }, 80], stream, dtype, &device));
        let out = q.attention(&k, &v, &options).unwrap();
        let wide = |t: &Tensor| t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        let exact = wide(&q).attention(&wide(&k), &wide(&v), &options).unwrap().to_f64_vec().unwrap();
        let found = out.to_f64_vec().unwrap();
        // Values are around 1, and the exact output is a mean of 600 of them.
        for (found, exact) in found.iter().zip(&exact) {
            assert!(
                (found - exact).abs() <= dtype.unit_roundoff() * exact.abs() + 1e-5,
                "{found} against {exact}"
            );
        }
        let row = |t: &Tensor, b: usize| t.slice(0, b, 1, 1).unwrap();
        for b in 0..3 {
            let alone =
                row(&q, b).attention(&row(&k, b), &row(&v, b), &options).unwrap().to_f64_vec().unwrap();
            assert_eq!(alone, found[b * 4 * 80..][..4 * 80], "row {b}");
        }
        // A recorded step sees the whole cache and is told on the device how much of it counts.
        for filled in [1, 63, 64, 65, 257, 600] {
            let lengths = Tensor::from_slice(&[filled as i64; 3], &[3], &device).unwrap();
            let told = AttentionOptions { key_lengths: Some(lengths), ..options.clone() };
            let told = q.attention(&k, &v, &told).unwrap().to_f64_vec().unwrap();
            let part = |t: &Tensor| t.slice(1, 0, filled, 1).unwrap();
            let cut = q.attention(&part(&k), &part(&v), &options).unwrap().to_f64_vec().unwrap();
            assert_eq!(told, cut, "{filled} keys in {dtype}");
        }
    }
}

#[test]
fn an_update_can_be_recorded_and_takes_the_same_step() {
    let (device, _guard) = device();
    let Device::Cuda(cuda) = &device else { panic!("{device} is no GPU") };
    let of = |stream: u64| [3usize, 70, 9000].map(|n| random(&[n], stream + n as u64, DType::F32, &device));
    let (parameters, gradients) = (of(1), of(2));
    let zeros = of(0).map(|t| Tensor::zeros(*t.shape(), DType::F32, &device).unwrap());
    let op = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let numbers = tensor(&op.numbers().map(|n| n as f32), &[7], &device);
    let update = || -> Result<Vec<Tensor>> {
        let clipping = apply(ClipFactor { max_norm: 1.0 }, &gradients.each_ref())?;
        let mut inputs = vec![&numbers, &clipping[1]];
        for ((p, g), zeros) in parameters.iter().zip(&gradients).zip(&zeros) {
            inputs.extend([p, g, zeros, zeros]);
        }
        apply(AdamWByNumbers, &inputs)
    };
    let read = |out: Vec<Tensor>| -> Vec<Vec<f64>> { out.iter().map(|t| t.to_f64_vec().unwrap()).collect() };
    let eager = read(update().unwrap());
    let (graph, out) = cuda.stream().capture(update).unwrap();
    graph.launch().unwrap();
    assert_eq!(read(out), eager);
    let clipped = apply_owned(ClipByNorm { max_norm: 1.0 }, gradients.to_vec()).unwrap();
    let mut inputs = Vec::new();
    for ((p, g), zeros) in parameters.iter().zip(&clipped[1..]).zip(&zeros) {
        inputs.extend([p, g, zeros, zeros]);
    }
    assert_eq!(read(apply(op, &inputs).unwrap()), eager, "clipped before the update");
    assert_ne!(eager[0], parameters[0].to_f64_vec().unwrap());
}
