//! The windows that a one-dimensional convolution sees: y[b, p, c, k] = x[b, c, p·stride + k·dilation - padding], 0 outside.
//! A convolution is a product of them with a matrix (C·K, N). [`Fold`] is the transpose, which adds windows up again.
//!
//! Derivative: each is the other's. Shapes: `(B, C, T)` ↔ `(B, P, C, K)`, P = (T + 2·padding - dilation·(K - 1) - 1)/stride + 1.
//! Numerics: unfold is exact; fold adds up to K numbers, in the order of k.
//! Source: Chellapilla, Puri and Simard, *High Performance Convolutional Neural Networks for Document Processing*, 2006, §3.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_kernels::unfold as kernel;
use warpsmith_tensor::cpu::for_rows;
use warpsmith_tensor::{Error, Result, Shape, Tensor};

use crate::elementwise::{apply_over, require_floats};

/// What a window looks like, and how windows follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// K, elements of a window.
    pub taps: usize,
    /// How far a window is from the next.
    pub stride: usize,
    /// How many zeros stand before the first element, and as many behind the last.
    pub padding: usize,
    /// How far apart the elements of a window are.
    pub dilation: usize,
}

impl Window {
    /// K neighbours, a window for each place where they lie inside.
    pub fn of(taps: usize) -> Self {
        Self { taps, stride: 1, padding: 0, dilation: 1 }
    }

    /// P: how many windows there are over T elements.
    ///
    /// # Errors
    /// If a number is 0 that must not be, or not one window fits.
    pub fn positions(&self, op: &'static str, times: usize) -> Result<usize> {
        let whole = || {
            let reach = self.dilation.checked_mul(self.taps.checked_sub(1)?)?.checked_add(1)?;
            let room = self.padding.checked_mul(2)?.checked_add(times)?.checked_sub(reach)?;
            (self.dilation > 0).then_some(())?;
            Some(room.checked_div(self.stride)? + 1)
        };
        whole().ok_or_else(|| {
            let message = format!("no window of {self:?} fits into {times} elements");
            Error::value(op, message).hint("taps, stride and dilation are at least 1; pad the input")
        })
    }

    /// Where element `k` of window `p` lies, if inside.
    fn place(&self, p: usize, k: usize, times: usize) -> Option<usize> {
        (p * self.stride + k * self.dilation).checked_sub(self.padding).filter(|at| *at < times)
    }
}

/// (B, C, T), whichever way.
fn require_rank(op: &'static str, x: &Meta, rank: usize, takes: &str) -> Result<()> {
    if x.shape.rank() == rank { Ok(()) } else { Err(Error::shape(op, &[x.shape], format!("takes {takes}"))) }
}

/// Sizes that both directions share.
struct Sizes {
    channels: usize,
    times: usize,
    positions: usize,
}

impl Sizes {
    fn of(x: &Shape, y: &Shape) -> Self {
        Self { channels: x.dims()[1], times: x.dims()[2], positions: y.dims()[1] }
    }
}

fn windows(
    op: &'static str,
    window: &Window,
    (x, x_at): (&Meta, u64),
    (y, y_at): (&Meta, u64),
) -> Result<kernel::Windows> {
    let sizes = Sizes::of(&x.shape, &y.shape);
    Ok(kernel::Windows {
        dtype: x.dtype.float_on_device(op)?,
        y: y_at,
        x: x_at,
        batch: x.dims()[0] as u64,
        channels: sizes.channels as u64,
        times: sizes.times as u64,
        positions: sizes.positions as u64,
        taps: window.taps as u64,
        stride: window.stride as u64,
        dilation: window.dilation as u64,
        padding: window.padding as u64,
    })
}

/// The windows of a signal.
#[derive(Clone, Copy, Debug)]
pub struct Unfold(pub Window);

impl Op for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        require_rank(self.name(), &x[0], 3, "(B, C, T)")?;
        let d = x[0].dims();
        let positions = self.0.positions(self.name(), d[2])?;
        Ok(vec![Meta::new(Shape::new(&[d[0], positions, d[1], self.0.taps])?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let Sizes { channels, times, positions } = Sizes::of(&x[0].shape, &y[0].shape);
        for (i, y) in y[0].data.iter_mut().enumerate() {
            let (k, c, p) = (i % self.0.taps, i / self.0.taps % channels, i / self.0.taps / channels);
            let (b, p) = (p / positions, p % positions);
            *y = self.0.place(p, k, times).map_or(0.0, |at| x[0].data[(b * channels + c) * times + at]);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].contiguous()?;
        let (from, window, taps) = (x.data::<f32>()?, self.0, self.0.taps);
        let Sizes { channels, times, positions } = Sizes::of(x.shape(), &y[0].shape);
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x.device())?;
        for_rows(out.data_mut::<f32>()?, channels * taps, 2, |first, block| {
            for (i, y) in block.chunks_mut(channels * taps).enumerate() {
                let (b, p) = ((first + i) / positions, (first + i) % positions);
                for (c, y) in y.chunks_mut(taps).enumerate() {
                    let x = &from[(b * channels + c) * times..][..times];
                    for (k, y) in y.iter_mut().enumerate() {
                        *y = window.place(p, k, times).map_or(0.0, |at| x[at]);
                    }
                }
            }
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].contiguous()?;
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x.device())?;
        let (from, to) = (x.device_address()?, out.device_address_mut()?);
        let call = windows(self.name(), &self.0, (&Meta::from(&x), from), (&y[0], to))?;
        x.device().launch(&kernel::unfold(&call))?;
        Ok(vec![out])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let fold = Fold { window: self.0, times: back.meta(0).dims()[2] };
        Ok(vec![Some(apply_over(fold, vec![back.take_grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "Y*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("Y", self.shape(x).map_or(0, |y| y[0].shape.numel()))]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

/// The signal that windows add up to.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// Whose windows they are.
    pub window: Window,
    /// T, elements of the signal.
    pub times: usize,
}

impl Op for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        require_rank(self.name(), &x[0], 4, "(B, P, C, K)")?;
        let (d, positions) = (x[0].dims(), self.window.positions(self.name(), self.times)?);
        if d[1] != positions || d[3] != self.window.taps {
            let message =
                format!("takes {positions} windows of {} over {} elements", self.window.taps, self.times);
            return Err(Error::shape(self.name(), &[x[0].shape], message));
        }
        Ok(vec![Meta::new(Shape::new(&[d[0], d[2], self.times])?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let Sizes { channels, times, positions } = Sizes::of(&y[0].shape, &x[0].shape);
        let taps = self.window.taps;
        for (i, x) in x[0].data.iter().enumerate() {
            let (k, c, p) = (i % taps, i / taps % channels, i / taps / channels);
            if let Some(at) = self.window.place(p % positions, k, times) {
                y[0].data[(p / positions * channels + c) * times + at] += x;
            }
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].contiguous()?;
        let (from, window, taps) = (x.data::<f32>()?, self.window, self.window.taps);
        let Sizes { channels, times, positions } = Sizes::of(&y[0].shape, x.shape());
        let mut out = Tensor::zeros(y[0].shape, y[0].dtype, &x.device())?;
        // A row belongs to one task, and taps come in order: one order of summation.
        for_rows(out.data_mut::<f32>()?, times, 2 * taps, |first, block| {
            for (i, y) in block.chunks_mut(times).enumerate() {
                let (b, c) = ((first + i) / channels, (first + i) % channels);
                for k in 0..taps {
                    for p in 0..positions {
                        if let Some(at) = window.place(p, k, times) {
                            y[at] += from[((b * positions + p) * channels + c) * taps + k];
                        }
                    }
                }
            }
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].contiguous()?;
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x.device())?;
        let (to, from) = (out.device_address_mut()?, x.device_address()?);
        let call = windows(self.name(), &self.window, (&y[0], to), (&Meta::from(&x), from))?;
        x.device().launch(&kernel::fold(&call))?;
        Ok(vec![out])
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_over(Unfold(self.window), vec![back.take_grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "Y*s", "N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("Y", self.shape(x).map_or(0, |y| y[0].shape.numel()))]
    }

    /// The same sums over the sizes of their terms.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = Array { shape: x[0].shape, data: x[0].data.iter().map(|v| v.abs()).collect() };
        let mut scale = vec![Array::zeros(y[0].shape)];
        match self.reference(&[sizes], &mut scale) {
            Ok(()) => scale,
            Err(_) => y.to_vec(),
        }
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        self.window.taps as f64
    }
}

methods! {
    /// The windows (B, P, C, K) of (B, C, T).
    ///
    /// # Errors
    /// If this is not (B, C, T) of floats, or not one window fits.
    fn unfold(&self, window: Window) -> Result<Tensor> {
        apply_single(Unfold(window), &[self])
    }

    /// What windows (B, P, C, K) add up to: (B, C, T).
    ///
    /// # Errors
    /// If these are not as many windows as T elements have, or not floats.
    fn fold(&self, window: Window, times: usize) -> Result<Tensor> {
        apply_single(Fold { window, times }, &[self])
    }
}

/// B, C, T and the window.
fn cases() -> [([usize; 3], Window); 5] {
    let window = |taps, stride, padding, dilation| Window { taps, stride, padding, dilation };
    [
        ([2, 3, 37], window(3, 1, 1, 1)),
        ([2, 2, 33], window(4, 3, 2, 2)),
        ([1, 1, 1], window(1, 1, 0, 1)),
        ([3, 2, 5], window(2, 4, 3, 1)),
        ([0, 3, 5], window(3, 1, 0, 2)),
    ]
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "unfold",
            summary: "the windows of a convolution",
            samples: || cases().map(|(x, window)| Sample::new(Unfold(window), [Input::any(&x)])).into(),
        },
        Spec {
            name: "fold",
            summary: "windows added up",
            samples: || {
                let sample = |([b, c, times], window): ([usize; 3], Window)| {
                    let positions = window.positions("fold", times).unwrap_or(0);
                    Sample::new(Fold { window, times }, [Input::any(&[b, positions, c, window.taps])])
                };
                cases().map(sample).into()
            },
        },
    ]
}
