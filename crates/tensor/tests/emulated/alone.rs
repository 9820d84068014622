//! The kernels without this crate: the example is a program of somebody who has a driver and nothing else of ours.

#[path = "../../examples/kernels_alone.rs"]
mod example;

#[test]
fn a_program_with_a_stream_of_its_own_launches_them() -> Result<(), Box<dyn std::error::Error>> {
    let _device = super::device();
    let [softmax, product, attention] = example::run()?;
    let near = |ours: &[f32], truth: &[f64]| {
        ours.len() == truth.len() && ours.iter().zip(truth).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6)
    };
    let sum = 1.0 + 1f64.exp() + 2f64.exp();
    let first = [1.0 / sum, 1f64.exp() / sum, 2f64.exp() / sum];
    assert!(near(&softmax, &[&first[..], &[1.0 / 3.0; 3]].concat()), "{softmax:?}");
    assert!(near(&product, &[8.0, 9.0, 15.0, 21.0]), "{product:?}");
    // Scores are 8·i·j for tokens i and j ≤ i: the first has itself alone, and the others nearly so.
    let rows: Vec<f64> = (0..5)
        .map(|i| {
            let weights: Vec<f64> = (0..=i).map(|j| f64::from(8 * i * (j - i)).exp()).collect();
            let weighted: f64 = weights.iter().zip(0..).map(|(w, j)| w * f64::from(j)).sum();
            weighted / weights.iter().sum::<f64>()
        })
        .collect();
    let truth: Vec<f64> = rows.iter().flat_map(|row| [*row; 64]).collect();
    assert!(near(&attention, &truth), "{attention:?}");
    Ok(())
}
