//! What the arena counts. One test alone: the counters are the process's, and tests run side by side.

use std::process::Command;

use warpsmith_tensor::{DType, Device, Shape, Tensor, arena};

const ALONE: &str = "WARPSMITH_ARENA_ALONE";

/// Runs itself in a process of its own, where no other test allocates.
#[test]
fn live_bytes_return_to_the_baseline_and_a_steady_state_takes_no_fresh_block() {
    if std::env::var_os(ALONE).is_some() {
        return steady_state();
    }
    let name = "arena::live_bytes_return_to_the_baseline_and_a_steady_state_takes_no_fresh_block";
    let status = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && text.contains("1 passed"), "{text}");
}

fn tensors(n: usize) -> Vec<Tensor> {
    (0..n)
        .map(|i| Tensor::zeros(Shape::new(&[100 + 37 * i]).unwrap(), DType::F32, &Device::Cpu).unwrap())
        .collect()
}

fn steady_state() {
    let baseline = arena::usage();
    let first = tensors(20);
    let wanted: u64 = first.iter().map(|t| (t.numel() * 4) as u64).sum();
    let used = arena::usage();
    assert!(used.live - baseline.live >= wanted, "{used:?} for {wanted}");
    // A class wastes at most an eighth, and each block at most one line more.
    assert!(used.live - baseline.live <= wanted * 9 / 8 + 20 * 64, "{used:?} for {wanted}");
    assert_eq!(used.fresh_blocks - baseline.fresh_blocks, 20);
    let views: Vec<Tensor> = first.iter().map(Tensor::clone).collect();
    assert_eq!(arena::usage().live, used.live, "handles cost nothing");
    drop(first);
    assert_eq!(arena::usage().live, used.live, "a view keeps its storage");
    drop(views);
    assert_eq!(arena::usage().live, baseline.live);
    assert_eq!(arena::usage().waiting, used.live - baseline.live);
    for _ in 0..50 {
        drop(tensors(20));
    }
    let steady = arena::usage();
    assert_eq!(steady.fresh_blocks, used.fresh_blocks);
    assert_eq!(steady.peak, used.peak);
    // Recycled memory is zeroed where zeros were asked for, and only there.
    let full = Tensor::full(Shape::new(&[500]).unwrap(), 7.0, DType::F32, &Device::Cpu).unwrap();
    drop(full);
    assert!(tensors(20).iter().all(|t| t.data::<f32>().unwrap().iter().all(|&v| v == 0.0)));
    arena::trim();
    arena::reset_peak();
    let trimmed = arena::usage();
    assert_eq!((trimmed.waiting, trimmed.live, trimmed.peak), (0, baseline.live, baseline.live));
}
