//! Random chains of view operations against an explicit list of storage positions.

use proptest::prelude::*;
use warpsmith_tensor::{DType, Device, Layout, Shape, Tensor};

/// What a layout stands for: sizes, and the storage position of each element in row-major order.
#[derive(Clone, Debug)]
struct Naive {
    dims: Vec<usize>,
    positions: Vec<usize>,
}

impl Naive {
    fn contiguous(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), positions: (0..dims.iter().product()).collect() }
    }

    fn indices(dims: &[usize]) -> Vec<Vec<usize>> {
        dims.iter().fold(vec![Vec::new()], |outer, &d| {
            outer.iter().flat_map(|index| (0..d).map(|i| [&index[..], &[i]].concat())).collect()
        })
    }

    fn at(&self, index: &[usize]) -> usize {
        let flat = index.iter().zip(&self.dims).fold(0, |flat, (i, d)| flat * d + i);
        self.positions[flat]
    }

    /// The array of shape `dims` whose element at an index is this one's element at `from(index)`.
    fn pulled(&self, dims: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let positions = Self::indices(dims).iter().map(|index| self.at(&from(index))).collect();
        Self { dims: dims.to_vec(), positions }
    }

    /// Whether one stride per axis can express these positions under the sizes `dims`, and which: tried by reading
    /// each stride off the first step along its axis.
    fn strides_for(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let other = Self { dims: dims.to_vec(), positions: self.positions.clone() };
        let Some(&first) = self.positions.first() else { return Some(vec![0; dims.len()]) };
        let step = |axis: usize| {
            let mut index = vec![0; dims.len()];
            index[axis] = 1;
            if dims[axis] > 1 { other.at(&index).checked_sub(first) } else { Some(0) }
        };
        let strides: Vec<usize> = (0..dims.len()).map(step).collect::<Option<_>>()?;
        let fits = Self::indices(dims).iter().all(|index| {
            other.at(index) == first + index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>()
        });
        fits.then_some(strides)
    }
}

/// One step of a chain; the numbers are reduced to what the layout at hand allows.
#[derive(Clone, Debug)]
enum Step {
    Transpose(usize, usize),
    Permute(Vec<u32>),
    Slice { axis: usize, start: usize, len: usize, step: usize },
    Broadcast { stretch: Vec<usize>, front: usize },
    Reshape(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5usize, 0..5usize).prop_map(|(a, b)| Step::Transpose(a, b)),
        prop::collection::vec(any::<u32>(), 5).prop_map(Step::Permute),
        (0..5usize, 0..4usize, 0..5usize, 1..4usize).prop_map(|(axis, start, len, step)| Step::Slice {
            axis,
            start,
            len,
            step
        }),
        (prop::collection::vec(0..4usize, 5), 0..4usize)
            .prop_map(|(stretch, front)| Step::Broadcast { stretch, front }),
        prop::collection::vec(0..24usize, 4).prop_map(Step::Reshape),
    ]
}

/// Some shape with as many elements: divisors chosen by `picks`, the rest in the last axis.
fn refactored(n: usize, picks: &[usize]) -> Vec<usize> {
    if n == 0 {
        return picks.iter().map(|p| p % 3).chain([0]).collect();
    }
    let mut left = n;
    let mut dims: Vec<usize> = Vec::new();
    for pick in picks {
        let divisors: Vec<usize> = (1..=left).filter(|d| left.is_multiple_of(*d)).collect();
        dims.push(divisors[pick % divisors.len()]);
        left /= dims[dims.len() - 1];
    }
    dims.push(left);
    dims
}

/// Does one step to both; checks that they agree on whether it is possible.
fn take(layout: Layout, naive: &Naive, step: &Step) -> (Layout, Naive) {
    let rank = naive.dims.len();
    match step {
        Step::Transpose(a, b) if rank > 0 => {
            let (a, b) = (a % rank, b % rank);
            let mut dims = naive.dims.clone();
            dims.swap(a, b);
            let swapped = |index: &[usize]| {
                let mut index = index.to_vec();
                index.swap(a, b);
                index
            };
            (layout.transpose(a, b).unwrap(), naive.pulled(&dims, swapped))
        }
        Step::Permute(keys) if rank > 0 => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.sort_by_key(|&axis| keys[axis % keys.len()]);
            let dims: Vec<usize> = order.iter().map(|&a| naive.dims[a]).collect();
            let source = |index: &[usize]| {
                let mut from = vec![0; rank];
                order.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i);
                from
            };
            (layout.permute(&order).unwrap(), naive.pulled(&dims, source))
        }
        &Step::Slice { axis, start, len, step } if rank > 0 => {
            let axis = axis % rank;
            let size = naive.dims[axis];
            let possible = if len == 0 { start <= size } else { start + (len - 1) * step < size };
            let sliced = layout.slice(axis, start, len, step);
            assert_eq!(sliced.is_ok(), possible, "slice {start} {len} {step} of {size}");
            let Ok(sliced) = sliced else { return (layout, naive.clone()) };
            let mut dims = naive.dims.clone();
            dims[axis] = len;
            let source = |index: &[usize]| {
                let mut from = index.to_vec();
                from[axis] = start + index[axis] * step;
                from
            };
            (sliced, naive.pulled(&dims, source))
        }
        Step::Broadcast { stretch, front } => {
            let mut dims: Vec<usize> =
                naive.dims.iter().zip(stretch).map(|(&d, &s)| if d == 1 { s } else { d }).collect();
            let added = usize::from(*front > 0 && rank < 5);
            dims.splice(..0, vec![*front; added]);
            let source = |index: &[usize]| {
                index[added..].iter().zip(&naive.dims).map(|(&i, &d)| if d == 1 { 0 } else { i }).collect()
            };
            let shape = Shape::new(&dims).unwrap();
            (layout.broadcast_to(&shape).unwrap(), naive.pulled(&dims, source))
        }
        Step::Reshape(picks) => {
            let dims = refactored(naive.positions.len(), picks);
            let reshaped = layout.reshape(&Shape::new(&dims).unwrap()).unwrap();
            let possible = naive.strides_for(&dims);
            assert_eq!(
                reshaped.is_some(),
                possible.is_some(),
                "{:?} strides {:?} to {dims:?}: strides exist: {possible:?}",
                naive.dims,
                layout.strides()
            );
            let other = Naive { dims, positions: naive.positions.clone() };
            reshaped.map_or((layout, naive.clone()), |layout| (layout, other))
        }
        _ => (layout, naive.clone()),
    }
}

fn chain() -> impl Strategy<Value = (Vec<usize>, Vec<Step>)> {
    (prop::collection::vec(0..=4usize, 0..=5), prop::collection::vec(step(), 1..8))
}

/// Runs a chain, calling `check` after each step.
fn walk(dims: &[usize], steps: &[Step], mut check: impl FnMut(&Layout, &Naive)) {
    let mut layout = Layout::contiguous(Shape::new(dims).unwrap());
    let mut naive = Naive::contiguous(dims);
    for step in steps {
        (layout, naive) = take(layout, &naive, step);
        check(&layout, &naive);
        // Broadcasts multiply the elements: a chain ends when there are enough.
        if naive.positions.len() > 2_000 {
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn view_operations_agree_with_explicit_positions((dims, steps) in chain()) {
        walk(&dims, &steps, |layout, naive| {
            assert_eq!(layout.shape().dims(), naive.dims);
            assert_eq!(layout.positions().collect::<Vec<_>>(), naive.positions);
            let gapless = naive.positions.windows(2).all(|w| w[1] == w[0] + 1);
            assert_eq!(layout.is_contiguous() || naive.positions.is_empty(), gapless, "{layout:?}");
        });
    }

    #[test]
    fn copies_hold_what_the_view_shows((dims, steps) in chain()) {
        let n: usize = dims.iter().product();
        let values: Vec<i64> = (0..n as i64).map(|v| 3 * v + 1).collect();
        let whole = Tensor::from_slice(&values, &dims, &Device::Cpu).unwrap();
        walk(&dims, &steps, |layout, naive| {
            let view = whole.view(*layout).unwrap();
            let expected: Vec<i64> = naive.positions.iter().map(|&at| values[at]).collect();
            assert!(view.shares_storage(&whole));
            assert_eq!(view.to_vec::<i64>().unwrap(), expected);
            let copy = view.copy().unwrap();
            assert!(copy.is_contiguous() && !copy.shares_storage(&whole));
            assert_eq!(copy.data::<i64>().unwrap(), expected);
            let contiguous = view.contiguous().unwrap();
            assert_eq!(contiguous.data::<i64>().unwrap(), expected);
            assert_eq!(contiguous.shares_storage(&whole), view.is_contiguous());
            assert_eq!(view.data::<i64>().is_ok(), view.is_contiguous());
        });
    }

    #[test]
    fn writing_to_a_view_never_changes_its_siblings((dims, steps) in chain()) {
        let n: usize = dims.iter().product();
        let values: Vec<i64> = (0..n as i64).collect();
        let whole = Tensor::from_slice(&values, &dims, &Device::Cpu).unwrap();
        walk(&dims, &steps, |layout, naive| {
            let mut view = whole.view(*layout).unwrap();
            let sibling = view.clone();
            let shown = sibling.to_vec::<i64>().unwrap();
            view.data_mut::<i64>().unwrap().iter_mut().for_each(|v| *v = -*v - 1);
            let negated: Vec<i64> = shown.iter().map(|v| -v - 1).collect();
            assert_eq!(view.to_vec::<i64>().unwrap(), negated);
            assert_eq!(view.dims(), naive.dims);
            assert_eq!(sibling.to_vec::<i64>().unwrap(), shown);
            assert_eq!(whole.to_vec::<i64>().unwrap(), values);
        });
    }

    #[test]
    fn any_view_accumulates_into_any_view((dims, steps) in chain(), dtype in prop::sample::select(vec![DType::F64, DType::F32, DType::BF16, DType::F16])) {
        let n: usize = dims.iter().product();
        // Small whole numbers: every sum is exact in every dtype.
        let values: Vec<f64> = (0..n).map(|v| (v % 60) as f64).collect();
        let whole = Tensor::from_f64(&values, Shape::new(&dims).unwrap(), dtype, &Device::Cpu).unwrap();
        walk(&dims, &steps, |layout, naive| {
            let view = whole.view(*layout).unwrap();
            let shown = view.to_f64_vec().unwrap();
            let ones = Tensor::full(*view.shape(), 1.0, dtype, &Device::Cpu).unwrap();
            for (mut sum, other, expected) in [
                (view.clone(), &view, shown.iter().map(|v| 2.0 * v).collect::<Vec<f64>>()),
                (view.clone(), &ones, shown.iter().map(|v| v + 1.0).collect()),
                (ones.clone(), &view, shown.iter().map(|v| v + 1.0).collect()),
            ] {
                sum.accumulate(other).unwrap();
                assert_eq!(sum.to_f64_vec().unwrap(), expected);
                assert_eq!(sum.dims(), naive.dims);
            }
            assert_eq!(whole.to_f64_vec().unwrap(), values);
        });
    }

    #[test]
    fn every_layout_that_is_accepted_stays_inside_its_storage(
        dims in prop::collection::vec(0..=4usize, 0..=5),
        strides in prop::collection::vec(0..40usize, 5),
        offset in 0..40usize,
        len in 0..120usize,
    ) {
        let shape = Shape::new(&dims).unwrap();
        let strides = &strides[..dims.len()];
        let reach = Naive::indices(&dims).iter().map(|i| offset + i.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>()).max();
        let layout = Layout::new(shape, strides, offset, len);
        prop_assert_eq!(layout.is_ok(), reach.is_none_or(|reach| reach < len));
        if let Ok(layout) = layout {
            let storage = Tensor::zeros(Shape::new(&[len]).unwrap(), DType::U8, &Device::Cpu).unwrap();
            let view = storage.view(layout).unwrap();
            prop_assert_eq!(view.to_vec::<u8>().unwrap().len(), shape.numel());
            let mut copy = view.contiguous().unwrap();
            prop_assert_eq!(copy.data_mut::<u8>().unwrap().len(), shape.numel());
        }
    }
}

#[test]
fn strides_that_overflow_are_an_error_and_not_a_wrap() {
    let shape = Shape::new(&[3, 2]).unwrap();
    for strides in [[usize::MAX, 1], [usize::MAX / 2 + 1, 0]] {
        assert!(Layout::new(shape, &strides, 0, 100).is_err());
    }
    assert!(Layout::new(shape, &[1, 1], usize::MAX, 100).is_err());
    assert!(Layout::new(shape, &[1], 0, 100).is_err());
}

#[test]
fn axes_that_do_not_exist_are_an_error() {
    let layout = Layout::contiguous(Shape::new(&[3, 2]).unwrap());
    assert!(layout.transpose(0, 2).is_err());
    assert!(layout.transpose(5, 1).is_err());
    assert!(layout.slice(2, 0, 1, 1).is_err());
    assert!(layout.slice(usize::MAX, 0, 1, 1).is_err());
    assert!(layout.permute(&[0]).is_err());
    assert!(layout.permute(&[0, 0]).is_err());
    assert!(layout.permute(&[0, 2]).is_err());
    assert!(layout.slice(0, 0, 1, 0).is_err());
    assert!(layout.slice(0, 1, usize::MAX, 2).is_err());
    assert_eq!(layout.slice(0, 1, 1, usize::MAX).unwrap(), layout.slice(0, 1, 1, 1).unwrap());
    assert!(layout.slice(0, usize::MAX, 2, usize::MAX).is_err());
}
