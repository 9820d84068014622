//! The tensor: a small, cloneable handle on storage that nobody can change under its reader.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::storage::Storage;
use crate::{DType, Device, Element, Error, Layout, Result, Rng, Shape, ToShape, cpu, with_dtype};

/// Where a tensor came from, for autograd alone to read: this crate only carries it.
pub type Trace = Arc<dyn Any + Send + Sync>;

/// An array of numbers with a shape: a value, cheap to clone, safe to share.
///
/// ```
/// use warpsmith_tensor::{Device, Tensor};
/// # fn main() -> warpsmith_tensor::Result<()> {
/// let x = Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &Device::Cpu)?;
/// assert_eq!(x.dims(), [2, 3]);
/// assert_eq!(x.to_vec::<f32>()?[4], 5.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tensor {
    storage: Storage,
    layout: Layout,
    dtype: DType,
    trace: Option<(Trace, u32)>,
}

impl Tensor {
    /// A tensor that holds `values` in row-major order.
    pub fn from_vec<T: Element>(values: Vec<T>, dims: &[usize], device: &Device) -> Result<Self> {
        Self::from_slice(&values, dims, device)
    }

    /// A tensor that holds a copy of `values` in row-major order.
    pub fn from_slice<T: Element>(values: &[T], dims: &[usize], device: &Device) -> Result<Self> {
        let shape = Shape::new(dims)?;
        if shape.numel() != values.len() {
            let message = format!("{} values for a shape of {} elements", values.len(), shape.numel());
            return Err(Error::shape("from_slice", &[shape], message));
        }
        let mut tensor = Self::empty(shape, T::DTYPE, &Device::Cpu)?;
        for (to, &from) in tensor.data_mut::<T>()?.iter_mut().zip(values) {
            *to = from.to_repr();
        }
        tensor.to_device(device)
    }

    /// A tensor of one number, with no axes.
    pub fn scalar<T: Element>(value: T, device: &Device) -> Result<Self> {
        Self::from_slice(&[value], &[], device)
    }

    /// A tensor whose numbers are whatever the memory held: for ops, which then write every one of them.
    pub fn empty(shape: Shape, dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self::from_storage(Storage::empty(dtype, shape.numel(), device)?, shape, dtype))
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl ToShape, dtype: DType, device: &Device) -> Result<Self> {
        let shape = shape.to_shape()?;
        Ok(Self::from_storage(Storage::zeros(dtype, shape.numel(), device)?, shape, dtype))
    }

    /// A tensor of one number repeated, rounded to `dtype`.
    pub fn full(shape: impl ToShape, value: f64, dtype: DType, device: &Device) -> Result<Self> {
        let shape = shape.to_shape()?;
        if !device.is_cpu() {
            return Self::filled_on_device(shape, value, dtype, device);
        }
        let mut tensor = Self::empty(shape, dtype, device)?;
        with_dtype!(dtype, T => tensor.data_mut::<T>()?.fill(<T as Element>::from_f64(value).to_repr()));
        Ok(tensor)
    }

    /// A tensor of `values`, each rounded to `dtype` (nearest even).
    pub fn from_f64(values: &[f64], shape: Shape, dtype: DType, device: &Device) -> Result<Self> {
        if shape.numel() != values.len() {
            let message = format!("{} values for a shape of {} elements", values.len(), shape.numel());
            return Err(Error::shape("from_f64", &[shape], message));
        }
        let mut tensor = Self::empty(shape, dtype, &Device::Cpu)?;
        cpu::convert::from_f64(values, &mut tensor)?;
        tensor.to_device(device)
    }

    /// Standard normal numbers in f32, from the next stream of `rng`.
    pub fn randn(dims: &[usize], rng: &Rng, device: &Device) -> Result<Self> {
        Self::drawn(dims, device, |out| rng.fill_normal(out))
    }

    /// Numbers uniform in [0, 1) in f32, from the next stream of `rng`.
    pub fn rand(dims: &[usize], rng: &Rng, device: &Device) -> Result<Self> {
        Self::drawn(dims, device, |out| rng.fill_uniform(out))
    }

    /// f32 that the host draws, in memory of the arena: too many of them are an error.
    fn drawn(dims: &[usize], device: &Device, draw: impl FnOnce(&mut [f32])) -> Result<Self> {
        let mut tensor = Self::empty(Shape::new(dims)?, DType::F32, &Device::Cpu)?;
        draw(tensor.data_mut::<f32>()?);
        tensor.to_device(device)
    }

    pub(crate) fn from_storage(storage: Storage, shape: Shape, dtype: DType) -> Self {
        Self { storage, layout: Layout::contiguous(shape), dtype, trace: None }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        self.layout.shape()
    }

    /// The sizes of the axes, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.layout.shape().dims()
    }

    /// How many axes.
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }

    /// How many elements.
    pub fn numel(&self) -> usize {
        self.shape().numel()
    }

    /// The dtype.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device.
    pub fn device(&self) -> Device {
        self.storage.device()
    }

    pub(crate) fn is_on_cpu(&self) -> bool {
        matches!(self.storage, Storage::Cpu(_))
    }

    /// Shape, strides and offset.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the elements lie row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The same storage seen through another layout, without a trace: how ops make views.
    ///
    /// # Errors
    /// If the layout reaches beyond the storage.
    pub fn view(&self, layout: Layout) -> Result<Self> {
        let len = self.storage_len();
        let checked = Layout::new(*layout.shape(), layout.strides(), layout.offset(), len)?;
        Ok(Self { storage: self.storage.clone(), layout: checked, dtype: self.dtype, trace: None })
    }

    /// How many elements the storage under this view holds.
    pub fn storage_len(&self) -> usize {
        self.storage.len(self.dtype)
    }

    /// Whether both are views of one storage.
    pub fn shares_storage(&self, other: &Self) -> bool {
        self.storage.is_same(&other.storage)
    }

    /// This tensor if it is row-major without gaps, else a copy that is. Untraced.
    pub fn contiguous(&self) -> Result<Self> {
        if self.is_contiguous() {
            return Ok(self.detach());
        }
        self.copy()
    }

    /// A row-major copy in storage of its own. Untraced.
    pub fn copy(&self) -> Result<Self> {
        if !self.is_on_cpu() {
            return self.copy_on_device();
        }
        let mut out = Self::empty(*self.shape(), self.dtype, &Device::Cpu)?;
        cpu::strided::copy(self, &mut out)?;
        Ok(out)
    }

    /// The elements of a row-major tensor, without a copy.
    ///
    /// # Errors
    /// If the dtype is not `T`'s, or the tensor is a view with gaps (call [`Tensor::contiguous`] first).
    pub fn data<T: Element>(&self) -> Result<&[T::Repr]> {
        if !self.is_contiguous() {
            return Err(Error::value("data", "a view with gaps is no slice")
                .operands([(*self.shape(), self.dtype)])
                .hint("call contiguous first"));
        }
        let start = self.layout.offset();
        let storage = self.storage_data::<T>()?;
        // An empty view may sit at any offset.
        if self.numel() == 0 { Ok(&[]) } else { Ok(&storage[start..start + self.numel()]) }
    }

    /// The whole storage under this view, to be indexed by its layout.
    pub fn storage_data<T: Element>(&self) -> Result<&[T::Repr]> {
        self.storage.host("data")?.as_slice::<T>().ok_or_else(|| self.holds_another::<T>("data"))
    }

    /// The elements to write, row-major: copied first if the storage is shared or the view has gaps.
    pub fn data_mut<T: Element>(&mut self) -> Result<&mut [T::Repr]> {
        if self.dtype != T::DTYPE {
            return Err(self.holds_another::<T>("data_mut"));
        }
        // A tensor on a GPU is told so before it is copied for nothing.
        self.storage.host("data_mut")?;
        self.make_unique()?;
        let (start, count) = (self.layout.offset(), self.numel());
        match self.storage.host_mut("data_mut")?.and_then(|b| b.as_mut_slice::<T>()) {
            _ if count == 0 => Ok(&mut []),
            Some(data) => Ok(&mut data[start..start + count]),
            None => Err(Error::internal("data_mut", "a fresh copy is shared")),
        }
    }

    /// A caller wants another type than the tensor holds.
    fn holds_another<T: Element>(&self, op: &'static str) -> Error {
        Error::dtype(op, format!("asked for {}, the tensor holds {}", T::DTYPE, self.dtype))
            .hint("convert it with to_dtype, or ask for to_f64_vec")
    }

    /// Whether writing to this tensor would need no copy.
    pub fn is_unique(&mut self) -> bool {
        self.is_contiguous() && self.storage.is_unique()
    }

    /// Whether nobody else sees the storage, of which this tensor may show a part.
    pub fn is_alone(&mut self) -> bool {
        self.storage.is_unique()
    }

    pub(crate) fn make_unique(&mut self) -> Result<()> {
        if !self.is_unique() {
            let trace = self.trace.take();
            *self = self.copy()?;
            self.trace = trace;
        }
        Ok(())
    }

    /// The elements in row-major order, whatever the layout.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let host = self.on_host()?;
        let storage = host.storage_data::<T>()?;
        Ok(host.layout.positions().map(|at| T::from_repr(storage[at])).collect())
    }

    /// The elements in row-major order as f64, whatever the dtype and layout.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        cpu::convert::to_f64(&self.on_host()?)
    }

    /// The one number of a tensor of one element, as f64.
    pub fn item(&self) -> Result<f64> {
        match self.to_f64_vec()?[..] {
            [value] => Ok(value),
            _ => Err(Error::shape("item", &[*self.shape()], "only a tensor of one element is a number")),
        }
    }

    /// A copy in another dtype, rounded to nearest even; the tensor itself if it has that dtype. Untraced.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype {
            return Ok(self.detach());
        }
        if !self.is_on_cpu() {
            return self.convert_on_device(dtype);
        }
        let mut out = Self::empty(*self.shape(), dtype, &Device::Cpu)?;
        cpu::convert::convert(self, &mut out)?;
        Ok(out)
    }

    /// Adds `other` to this tensor in place (a copy is made first if somebody else sees the storage).
    ///
    /// Shapes and dtypes must be equal. This is how gradients accumulate; the differentiable `add` is an op.
    pub fn accumulate(&mut self, other: &Self) -> Result<()> {
        if self.shape() != other.shape() || self.dtype != other.dtype {
            return Err(Error::shape("accumulate", &[], "shape and dtype must be those of the sum")
                .operands([(*self.shape(), self.dtype), (*other.shape(), other.dtype)]));
        }
        if !self.is_on_cpu() {
            return self.accumulate_on_device(other);
        }
        cpu::strided::accumulate(self, other)
    }

    /// The same values without a trace: gradients stop here.
    pub fn detach(&self) -> Self {
        Self { trace: None, ..self.clone() }
    }

    /// As [`Tensor::detach`], giving this handle away, so that no second one is made.
    pub fn untraced(mut self) -> Self {
        self.trace = None;
        self
    }

    /// Where the tensor came from, and which output of that it is.
    pub fn trace(&self) -> Option<(&Trace, u32)> {
        self.trace.as_ref().map(|(trace, output)| (trace, *output))
    }

    /// The same values, traced: for autograd alone.
    pub fn with_trace(mut self, trace: Trace, output: u32) -> Self {
        self.trace = Some((trace, output));
        self
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        write!(f, "Tensor {} {} {}", self.shape(), self.dtype, self.device())?;
        // While a graph is recorded a GPU's numbers cannot be read; printing must not fail for that.
        let Ok(shown) = self.first(SHOWN) else { return f.write_str(" […]") };
        write!(f, " [{}{}]", shown.join(", "), if self.numel() > SHOWN { ", …" } else { "" })
    }
}

impl Tensor {
    /// The first elements as text: four decimals where they tell most of a number, whole numbers and truth values as they are.
    fn first(&self, count: usize) -> Result<Vec<String>> {
        let host = self.on_host()?;
        let decimals = |value: f64| match value.abs() {
            size if size != 0.0 && size < 1e-3 || size >= 1e6 && size.is_finite() => format!("{value:.4e}"),
            _ => format!("{value:.4}"),
        };
        with_dtype!(self.dtype, T => {
            let storage = host.storage_data::<T>()?;
            let values = host.layout.positions().take(count).map(|at| T::from_repr(storage[at]));
            let is_float = self.dtype.is_float();
            Ok(values.map(|v| if is_float { decimals(Element::to_f64(v)) } else { format!("{v:?}") }).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_the_dtype_holds() {
        let cpu = Device::Cpu;
        let shown = |tensor: Result<Tensor>| format!("{:?}", tensor.unwrap());
        let x = Tensor::from_vec(vec![0f32, 1.5, -2e-7, 3e9, f32::NAN, f32::NEG_INFINITY], &[2, 3], &cpu);
        assert_eq!(shown(x), "Tensor (2, 3) f32 cpu [0.0000, 1.5000, -2.0000e-7, 3.0000e9, NaN, -inf]");
        let whole = Tensor::from_vec(vec![i64::MAX, -3], &[2], &cpu);
        assert_eq!(shown(whole), "Tensor (2,) i64 cpu [9223372036854775807, -3]");
        assert_eq!(
            shown(Tensor::from_vec(vec![true, false], &[2], &cpu)),
            "Tensor (2,) bool cpu [true, false]"
        );
        let long = Tensor::from_vec((0..13u8).collect(), &[13], &cpu);
        assert_eq!(shown(long), "Tensor (13,) u8 cpu [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …]");
    }

    #[test]
    fn what_a_caller_has_wrong_is_no_bug_of_ours() {
        let x = Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0], &[2, 2], &Device::Cpu).unwrap();
        let column = x.view(x.layout().slice(1, 0, 1, 1).unwrap()).unwrap();
        let mut sum = x.clone();
        for (error, hint) in [
            (column.data::<f32>().unwrap_err(), "call contiguous first"),
            (x.to_vec::<i64>().unwrap_err(), "asked for i64, the tensor holds f32 (convert it with to_dtype"),
            (sum.accumulate(&column).unwrap_err(), "(2, 2) f32, (2, 1) f32"),
        ] {
            let told = error.to_string();
            assert!(told.contains(hint) && !told.contains("bug"), "{told}");
        }
    }
}
