//! Tensors between host and device, and what the device does to them by itself: copy, fill, convert, add.

use warpsmith_kernels::binary::{self, Binary};
use warpsmith_kernels::cast::{self, Cast};
use warpsmith_kernels::copy::{self, Copy};
use warpsmith_kernels::fill;
use warpsmith_kernels::{Dtype, Float, Map, Operand, dims};

use crate::storage::Storage;
use crate::{DType, Device, Element, Error, Layout, Result, Shape, Tensor};

impl Tensor {
    /// A copy on another device; the tensor itself if it is there. Untraced.
    ///
    /// To the host it waits for all work queued before; to a GPU it does not.
    ///
    /// # Errors
    /// If the memory cannot be had, while a graph is being recorded, or if work queued before has failed.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let from = self.device();
        if *device == from {
            return Ok(self.detach());
        }
        if !from.is_cpu() {
            return self.on_host()?.to_device(device);
        }
        let row_major = self.contiguous()?;
        let start = row_major.layout().offset() * self.dtype().size();
        let len = self.numel() * self.dtype().size();
        let bytes = row_major.storage().host("to_device")?.bytes();
        // An empty view may sit at any offset.
        let bytes = if len == 0 { &[] } else { &bytes[start..start + len] };
        let storage = Storage::upload(bytes, self.dtype(), self.numel(), device)?;
        Ok(Self::from_storage(storage, *self.shape(), self.dtype()))
    }

    /// Where the first element lies in the memory of the GPU: for kernels that read this tensor by its layout.
    ///
    /// # Errors
    /// If the tensor lies on the CPU.
    pub fn device_address(&self) -> Result<u64> {
        let start = self.storage().address("device_address")?;
        let skipped = if self.numel() == 0 { 0 } else { self.layout().offset() * self.dtype().size() };
        Ok(start + skipped as u64)
    }

    /// As [`Tensor::device_address`], for kernels that write this tensor, which is row-major without gaps then: copied
    /// first if the storage is shared or the view has gaps.
    ///
    /// # Errors
    /// If the tensor lies on the CPU, or a copy was needed and could not be made.
    pub fn device_address_mut(&mut self) -> Result<u64> {
        self.storage().address("device_address_mut")?;
        self.make_unique()?;
        self.storage().spoil_copy();
        self.device_address()
    }

    /// As [`Tensor::device_address_mut`], with the address of the bf16 copy that [`Tensor::rounded`] keeps of these f32, or
    /// 0: the kernel has to write both.
    ///
    /// # Errors
    /// As there.
    pub fn device_addresses_mut(&mut self) -> Result<[u64; 2]> {
        self.storage().address("device_addresses_mut")?;
        self.make_unique()?;
        if self.dtype() != DType::F32 || self.numel() != self.storage_len() {
            return Ok([self.device_address_mut()?, 0]);
        }
        Ok([self.device_address()?, self.storage().kept_copy()])
    }

    /// As [`Tensor::device_addresses_mut`], of a new tensor of f32 that a kernel is about to fill: the copy is made, so that
    /// nobody who multiplies these numbers has to round them.
    ///
    /// # Errors
    /// As there, or if memory for the copy runs out.
    pub fn device_addresses_filled(&mut self) -> Result<[u64; 2]> {
        let [address, kept] = self.device_addresses_mut()?;
        let takes_copy = self.dtype() == DType::F32 && self.numel() == self.storage_len();
        Ok([address, if takes_copy { self.storage().filled_copy()? } else { kept }])
    }

    /// These numbers in bf16, rounded to nearest even; untraced. Of f32 on a GPU a copy is used that lies beside them, if there
    /// is one; with `keep` it is made, and stays as long as the f32 do (see [`Tensor::device_addresses_mut`]): for weights,
    /// which are multiplied again and again. Ops that write over the f32 are seen: the copy is made again at its next use.
    ///
    /// # Errors
    /// If memory runs out, or the tensor holds integers that do not convert.
    pub fn rounded(&self, keep: bool) -> Result<Self> {
        if self.dtype() != DType::F32 || self.is_on_cpu() {
            return self.to_dtype(DType::BF16);
        }
        // A part of something larger: the rest may never be asked for.
        let keep = keep && self.numel() == self.storage_len();
        match self.storage().rounded(keep)? {
            Some(copy) => {
                Self::from_storage(copy, Shape::new(&[self.storage_len()])?, DType::BF16).view(*self.layout())
            }
            None => self.to_dtype(DType::BF16),
        }
    }

    /// Bytes on a GPU as the numbers that they are, in place: gapless u8 (…, R) that begin where a number can → (…, R/size).
    ///
    /// # Errors
    /// If the tensor lies on the CPU, holds no bytes, has gaps, or its rows are no whole numbers.
    pub fn bytes_as(&self, dtype: DType) -> Result<Self> {
        self.storage().address("bytes_as")?;
        let (shape, offset, size) = (*self.shape(), self.layout().offset(), dtype.size());
        let is_whole =
            self.is_contiguous() && offset.is_multiple_of(size) && shape.last().is_multiple_of(size);
        if self.dtype() != DType::U8 || shape.rank() == 0 || !is_whole {
            let message =
                format!("gapless rows of u8, whole numbers of {dtype} from a multiple of {size} bytes on");
            return Err(Error::value("bytes_as", message).operands([(shape, self.dtype())]));
        }
        let whole = Shape::new(&[self.storage_len() / size])?;
        let numbers = Layout::contiguous(shape.with_dim(shape.rank() - 1, shape.last() / size)?);
        let place = Layout::new(*numbers.shape(), numbers.strides(), offset / size, whole.numel())?;
        Self::from_storage(self.storage().clone(), whole, dtype).view(place)
    }

    /// The tensor as an operand of an elementwise kernel whose output has the shape `shape`, to which it is stretched.
    ///
    /// # Errors
    /// If the tensor lies on the CPU or does not stretch.
    pub fn operand(&self, shape: &Shape) -> Result<Operand> {
        let stretched = self.layout().broadcast_to(shape)?;
        Ok(Operand::strided(self.device_address()?, stretched.strides()))
    }

    /// The tensor as the output of an elementwise kernel: see [`Tensor::device_address_mut`].
    ///
    /// # Errors
    /// As there.
    pub fn operand_mut(&mut self) -> Result<Operand> {
        let address = self.device_address_mut()?;
        Ok(Operand::contiguous(address, dims(self.dims())))
    }

    /// The tensor on the host, as it is laid out: only the part of the storage that it reaches is copied.
    pub(crate) fn on_host(&self) -> Result<Self> {
        if self.is_on_cpu() {
            return Ok(self.detach());
        }
        let (layout, offset) = (self.layout(), self.layout().offset());
        let reach = |(&size, &stride): (&usize, &usize)| (size - 1) * stride;
        let len = match self.numel() {
            0 => 0,
            _ => 1 + layout.shape().dims().iter().zip(layout.strides()).map(reach).sum::<usize>(),
        };
        let storage = self.storage().download(self.dtype(), if len == 0 { 0 } else { offset }, len)?;
        let whole = Self::from_storage(storage, Shape::new(&[len])?, self.dtype());
        whole.view(Layout::new(*layout.shape(), layout.strides(), 0, len)?)
    }

    /// One number repeated, on a GPU.
    pub(crate) fn filled_on_device(shape: Shape, value: f64, dtype: DType, device: &Device) -> Result<Self> {
        let one = Self::from_f64(&[value], Shape::scalar(), dtype, &Device::Cpu)?;
        let bytes = one.storage().host("full")?.bytes();
        if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
            let out = Self::empty(shape, dtype, device)?;
            let (y, value) = (out.device_address()?, u64::from_le_bytes(bytes));
            device.launch(&fill::fill(y, value, shape.numel() as u64))?;
            return Ok(out);
        }
        let mut pattern = [0; 4];
        pattern[..bytes.len()].copy_from_slice(bytes);
        let storage = Storage::filled(u32::from_le_bytes(pattern), dtype, shape.numel(), device)?;
        Ok(Self::from_storage(storage, shape, dtype))
    }

    /// The numbers 0, 1, …, n - 1 in `dtype`, as far as it holds them.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn count(n: usize, dtype: DType, device: &Device) -> Result<Self> {
        let shape = Shape::new(&[n])?;
        if device.is_cpu() || dtype == DType::F64 {
            let values: Vec<f64> = (0..n).map(|i| i as f64).collect();
            return Self::from_f64(&values, shape, dtype, device);
        }
        let out = Self::empty(shape, dtype, device)?;
        device.launch(&fill::count(dtype.on_device("count")?, out.device_address()?, n as u64))?;
        Ok(out)
    }

    /// Writes other elements in place of these: for the inputs of recorded work, which reads always the same memory.
    ///
    /// # Errors
    /// If their number or dtype differ, somebody else holds the tensor, or a graph is being recorded.
    pub fn overwrite<T: Element>(&mut self, values: &[T]) -> Result<()> {
        let op = "overwrite";
        if self.numel() != values.len() || self.dtype() != T::DTYPE {
            let message = format!("{} elements of {} for those of the tensor", values.len(), T::DTYPE);
            return Err(Error::shape(op, &[], message).operands([(*self.shape(), self.dtype())]));
        }
        if !self.is_unique() {
            return Err(Error::value(op, "the tensor is shared, and its other holders would see the change"));
        }
        if self.is_on_cpu() {
            let repr = values.iter().map(|value| value.to_repr());
            self.data_mut::<T>()?.iter_mut().zip(repr).for_each(|(to, from)| *to = from);
            return Ok(());
        }
        let new = Self::from_slice(values, self.dims(), &Device::Cpu)?;
        self.storage().write_over(new.storage().host(op)?.bytes())
    }

    /// A row-major copy in memory of its own, on the same GPU.
    pub(crate) fn copy_on_device(&self) -> Result<Self> {
        let device = self.device();
        let mut out = Self::empty(*self.shape(), self.dtype(), &device)?;
        if self.is_contiguous() {
            out.storage().copy_from(self.device_address()?, self.numel() * self.dtype().size())?;
            return Ok(out);
        }
        let (y, x) = (out.operand_mut()?, self.operand(self.shape())?);
        let dtype = self.dtype().on_device("copy")?;
        device.launch(&copy::copy(&Copy { dtype, dims: dims(self.dims()), y, x }))?;
        Ok(out)
    }

    /// A copy in another dtype, on the same GPU. An integer that does not fit is no error there: nobody waits for it.
    pub(crate) fn convert_on_device(&self, dtype: DType) -> Result<Self> {
        let device = self.device();
        let (from, to) = (self.dtype().on_device("to_dtype")?, dtype.on_device("to_dtype")?);
        let mut out = Self::empty(*self.shape(), dtype, &device)?;
        let (y, x) = (out.operand_mut()?, self.operand(self.shape())?);
        device.launch(&cast::cast(&Cast { from, to, dims: dims(self.dims()), y, x }))?;
        Ok(out)
    }

    /// `self += other`, on the same GPU.
    pub(crate) fn accumulate_on_device(&mut self, other: &Self) -> Result<()> {
        let (device, shape) = (self.device(), *self.shape());
        let dtype = self.dtype().float_on_device("accumulate")?;
        let (x, y) = (other.operand(&shape)?, self.operand_mut()?);
        let map = Map { dtype, dims: dims(shape.dims()), y, x: [y, x] };
        device.launch(&binary::forward(Binary::Add, &map))
    }
}

impl DType {
    /// The dtype as kernels know it.
    ///
    /// # Errors
    /// For f64, in the name of `op`.
    pub fn on_device(self, op: &'static str) -> Result<Dtype> {
        Ok(match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::Bf16,
            Self::I64 => Dtype::I64,
            Self::U32 => Dtype::U32,
            Self::U8 => Dtype::U8,
            Self::Bool => Dtype::Bool,
            Self::F64 => return Err(self.has_no_kernel(op)),
        })
    }

    /// The dtype as kernels of floats know it.
    ///
    /// # Errors
    /// For f64 and for integers, in the name of `op`.
    pub fn float_on_device(self, op: &'static str) -> Result<Float> {
        Ok(match self {
            Self::F32 => Float::F32,
            Self::F16 => Float::F16,
            Self::BF16 => Float::Bf16,
            _ => return Err(self.has_no_kernel(op)),
        })
    }

    fn has_no_kernel(self, op: &'static str) -> Error {
        let error = Error::dtype(op, format!("a GPU has no kernel of it for {self}"));
        if self == Self::F64 {
            error.hint("f64 is the oracle's type: it is computed on the CPU alone")
        } else {
            error
        }
    }
}
