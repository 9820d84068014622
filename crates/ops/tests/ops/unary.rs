//! Formulas at the numbers where formulas break.

use warpsmith_ops::unary::Unary;

/// Holds the f32 formula to the f64 one at the numbers where formulas break: both NaN, or both infinite of one sign,
/// or both within the op's bound of each other.
fn check_special_values<U: Unary>() {
    let tiny = f32::from_bits(1);
    let numbers = [0.0, tiny, 1e-40, f32::MIN_POSITIVE, 1e-20, 0.5, 1.0, 2.0, 20.0, 87.0, 104.0, 1e10, 1e30];
    let edges = [f32::MAX, f32::INFINITY];
    let both = numbers.iter().chain(&edges).flat_map(|&v| [v, -v]).chain([f32::NAN]);
    for f in U::samples() {
        for x in both.clone() {
            let y = warpsmith_tensor::cpu::dispatch(
                #[inline(always)]
                || f.cpu(x),
            );
            let expected = f.reference(f64::from(x));
            let rounded = expected as f32;
            let fits = if rounded.is_nan() || rounded.is_infinite() {
                y.is_nan() == rounded.is_nan() && (y == rounded || rounded.is_nan())
            } else {
                let unit = 2f64.powi(-24);
                let bound = unit * (expected.abs() + U::ROUNDINGS[0] * f.scale(f64::from(x)));
                // Below the normal numbers a rounding is absolute.
                let floor = unit * f64::from(f32::MIN_POSITIVE) * (1.0 + U::ROUNDINGS[0]);
                (f64::from(y) - expected).abs() <= bound + floor
            };
            assert!(fits, "{f:?}({x}) = {y}, expected {expected}");
        }
    }
}

#[test]
fn formulas_hold_at_special_values() {
    check_special_values::<warpsmith_ops::exp::Exp>();
    check_special_values::<warpsmith_ops::ln::Ln>();
    check_special_values::<warpsmith_ops::sqrt::Sqrt>();
    check_special_values::<warpsmith_ops::rsqrt::Rsqrt>();
    check_special_values::<warpsmith_ops::square::Square>();
    check_special_values::<warpsmith_ops::abs::Abs>();
    check_special_values::<warpsmith_ops::relu::Relu>();
    check_special_values::<warpsmith_ops::silu::Silu>();
    check_special_values::<warpsmith_ops::sigmoid::Sigmoid>();
    check_special_values::<warpsmith_ops::tanh::Tanh>();
    check_special_values::<warpsmith_ops::pow::Pow>();
    check_special_values::<warpsmith_ops::clamp::Clamp>();
}
