//! Drawing tokens: the definition (real weights, sorted), the host's way and the kernel give the same.

use warpsmith::ops::sample::{ALL_EXCLUDED, FINE, HAS_NAN, Sample};
use warpsmith::prelude::*;

use super::{Checked, gpu};

const PLAIN: Sample =
    Sample { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: Seed(7), stream: 0, draw: 0 };

/// Logits (rows, n) of spread 3.
fn logits(rows: usize, n: usize) -> Result<Tensor, Box<dyn std::error::Error>> {
    let values: Vec<f32> = Rng::new(Seed(3)).normal(rows * n).iter().map(|l| 3.0 * l).collect();
    Ok(Tensor::from_slice(&values, &[rows, n], &Device::Cpu)?)
}

fn tokens(logits: &Tensor, how: Sample) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let [tokens, flags] = logits.sample(how)?;
    assert!(flags.to_vec::<u32>()?.iter().all(|&flag| flag == FINE));
    Ok(tokens.to_vec::<u32>()?)
}

/// The definition weighs with real numbers, the others with integers in units of 2⁻⁴⁰: they part only if a draw falls
/// within some 500·2⁻⁴⁰ of an edge, which none of these does.
#[test]
fn the_fast_ways_are_the_definition() -> Checked {
    let (_alone, device) = gpu();
    let here = logits(8, 300)?;
    let (exact, there) = (here.to_dtype(DType::F64)?, here.to_device(&device)?);
    let cuts =
        [(0, 1.0, 0.0), (40, 1.0, 0.0), (0, 0.9, 0.0), (0, 1.0, 0.02), (100, 0.95, 0.01), (1, 0.5, 0.0)];
    for (i, (top_k, top_p, min_p)) in cuts.into_iter().enumerate() {
        let how = Sample { temperature: 0.8 + 0.1 * i as f64, top_k, top_p, min_p, draw: i as u64, ..PLAIN };
        let definition = tokens(&exact, how)?;
        assert_eq!(tokens(&here, how)?, definition, "{how:?}");
        assert_eq!(tokens(&there, how)?, definition, "{how:?}");
    }
    let greedy = Sample { temperature: 0.0, ..PLAIN };
    assert_eq!(tokens(&there, greedy)?, tokens(&exact, greedy)?);
    for dtype in [DType::F16, DType::BF16] {
        // Few bits: many ties.
        let (here, there) = (here.to_dtype(dtype)?, there.to_dtype(dtype)?);
        assert_eq!(tokens(&here, PLAIN)?, tokens(&there, PLAIN)?);
    }
    Ok(())
}

#[test]
fn the_vocabulary_of_gpt2_is_drawn_from() -> Checked {
    let (_alone, device) = gpu();
    let here = logits(1, 50_257)?;
    let how = Sample { top_k: 200, draw: 3, ..PLAIN };
    assert_eq!(tokens(&here.to_device(&device)?, how)?, tokens(&here, how)?);
    Ok(())
}

#[test]
fn rows_without_a_token_say_so_and_bad_numbers_are_refused() -> Checked {
    let (none, nan) = (f32::NEG_INFINITY, f32::NAN);
    let rows = [0.0, nan, nan, none, none, none, 1.0, f32::INFINITY, none];
    let logits = Tensor::from_slice(&rows, &[3, 3], &Device::Cpu)?;
    for logits in [logits.to_dtype(DType::F64)?, logits.clone()] {
        let [tokens, flags] = logits.sample(PLAIN)?;
        assert_eq!(flags.to_vec::<u32>()?, [HAS_NAN, ALL_EXCLUDED, FINE]);
        let tokens = tokens.to_vec::<u32>()?;
        assert_eq!((tokens[0], tokens[2]), (1, 1));
    }
    for bad in [
        Sample { temperature: f64::NAN, ..PLAIN },
        Sample { top_p: 0.0, ..PLAIN },
        Sample { min_p: 1.5, ..PLAIN },
    ] {
        assert!(logits.sample(bad).is_err(), "{bad:?}");
    }
    assert!(Tensor::from_slice::<f32>(&[], &[2, 0], &Device::Cpu)?.sample(PLAIN).is_err());
    Ok(())
}
