//! Fewer points for the same picture: of each run of neighbours, the lowest and the highest.

/// A point; a `y` that is not finite is a gap in the line.
pub(super) type Point = (f64, f64);

/// The most points that a line is drawn with.
pub(super) const MOST: usize = 600;

/// At most `most` (4 or more) drawable points of `points`, in order: first and last, and the extremes of equal runs in
/// between, so that no spike is lost. A run with a gap in it ends with a gap.
pub(super) fn downsample(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points.to_vec();
    }
    let (first, rest) = points.split_at(1);
    let (inner, last) = rest.split_at(rest.len() - 1);
    let run = inner.len().div_ceil((most - 2) / 2).max(1);
    let extremes = inner.chunks(run).flat_map(extremes);
    first.iter().copied().chain(extremes).chain(last.iter().copied()).collect()
}

/// Lowest and highest point in the order in which they come, then a gap if there is one.
fn extremes(run: &[Point]) -> Vec<Point> {
    let drawable = || run.iter().copied().filter(|point| point.1.is_finite());
    let low = drawable().min_by(|a, b| a.1.total_cmp(&b.1));
    let high = drawable().max_by(|a, b| a.1.total_cmp(&b.1));
    let gap = run.iter().copied().find(|point| !point.1.is_finite());
    let mut kept: Vec<Point> = low.into_iter().chain(high).collect();
    kept.sort_by(|a, b| a.0.total_cmp(&b.0));
    kept.dedup();
    kept.extend(gap);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_points_are_kept_as_they_are() {
        let points: Vec<Point> = (0..600).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        assert_eq!(downsample(&points, MOST), points);
    }

    #[test]
    fn a_gap_survives() {
        let mut points: Vec<Point> = (0..6000).map(|i| (f64::from(i), 1.0)).collect();
        points[3000].1 = f64::NAN;
        assert_eq!(downsample(&points, MOST).iter().filter(|point| point.1.is_nan()).count(), 1);
    }

    proptest! {
        #[test]
        fn keeps_ends_extremes_and_order(heights in prop::collection::vec(-1e6f64..1e6, 1..1500), most in 4usize..300) {
            let points: Vec<Point> = heights.iter().enumerate().map(|(i, &y)| (i as f64, y)).collect();
            let kept = downsample(&points, most);
            prop_assert!(kept.len() <= most.max(1));
            prop_assert_eq!(kept.first(), points.first());
            prop_assert_eq!(kept.last(), points.last());
            prop_assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let highest = |points: &[Point]| points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
            let lowest = |points: &[Point]| points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
            prop_assert_eq!((highest(&kept), lowest(&kept)), (highest(&points), lowest(&points)));
        }
    }
}
