//! How near two vectors lie.

/// The cosine of the angle between two vectors, a·b / (|a|·|b|), summed in f64. NaN if one of them is zero. What one vector
/// has more than the other does not count.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_angles() {
        assert_eq!(cosine(&[3.0, 4.0], &[3.0, 4.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!((cosine(&[1.0, 1.0], &[-1.0, 0.0]) + 0.5_f64.sqrt()).abs() < 1e-15);
        assert!(cosine(&[0.0], &[1.0]).is_nan());
    }
}
