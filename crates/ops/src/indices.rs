//! Places along an axis, given as a tensor: checked once, then plain numbers. On a GPU the kernel checks them, and the
//! next wait of the host tells.

use warpsmith_autograd::{Array, Meta};
use warpsmith_kernels::index::{self, IndexKind, Places};
use warpsmith_kernels::index_add;
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::axis::Around;
use crate::cuda;

/// An error unless `index` holds whole numbers.
pub(crate) fn require_index(op: &'static str, index: &Meta) -> Result<()> {
    if index.dtype.is_index() {
        return Ok(());
    }
    Err(Error::dtype(op, format!("an index is i64, u32 or u8, not {}", index.dtype))
        .operands([(index.shape, index.dtype)])
        .hint("convert with to_dtype"))
}

/// An error unless `a` and `b` have the same rank and the same sizes off `axis`.
pub(crate) fn require_alike_off(op: &'static str, axis: usize, a: &Shape, b: &Shape) -> Result<()> {
    let off = |s: &Shape| s.with_dim(axis, 0).ok();
    if a.rank() == b.rank() && off(a) == off(b) {
        return Ok(());
    }
    Err(Error::shape(op, &[*a, *b], format!("the two differ off axis {axis}")))
}

/// The elements of an index tensor, row-major, all below `size`.
pub(crate) fn places(op: &'static str, index: &Tensor, size: usize) -> Result<Vec<usize>> {
    let check = |(at, place): (usize, i64)| checked(op, place, at, size);
    match index.dtype() {
        DType::U32 => index.to_vec::<u32>()?.into_iter().map(i64::from).enumerate().map(check).collect(),
        DType::U8 => index.to_vec::<u8>()?.into_iter().map(i64::from).enumerate().map(check).collect(),
        _ => index.to_vec::<i64>()?.into_iter().enumerate().map(check).collect(),
    }
}

/// As [`places`], from the oracle's array.
pub(crate) fn array_places(op: &'static str, index: &Array, size: usize) -> Result<Vec<usize>> {
    index.data.iter().enumerate().map(|(at, &place)| checked(op, place as i64, at, size)).collect()
}

/// What an index names: slices of all that lies off the axis, or elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The index has one axis.
    Slice,
    /// The index has the shape of what is taken or added.
    Element,
}

impl Unit {
    /// How many indices stand along the axis.
    fn along(self, index: &Shape, axis: usize) -> usize {
        match self {
            Self::Slice => index.numel(),
            Self::Element => index.dims()[axis],
        }
    }
}

/// Calls `visit(k, i)` for each element k of what the index takes from a tensor of this shape, where it takes element i
/// of that; both are counted row-major.
pub(crate) fn walk(
    op: &'static str,
    unit: Unit,
    index: &Array,
    (shape, axis): (&Shape, usize),
    mut visit: impl FnMut(usize, usize),
) -> Result<()> {
    let Around { outer, size, inner } = Around::new(shape, axis);
    let taken = unit.along(&index.shape, axis);
    let places = array_places(op, index, size)?;
    for at in 0..outer * taken * inner {
        let (row, j) = (at / inner, at % inner);
        let place = match unit {
            Unit::Slice => places[row % taken],
            Unit::Element => places[at],
        };
        visit(at, (row / taken * size + place) * inner + j);
    }
    Ok(())
}

/// How kernels read indices of this dtype.
pub(crate) fn kind(dtype: DType) -> IndexKind {
    match dtype {
        DType::U32 => IndexKind::U32,
        DType::U8 => IndexKind::U8,
        _ => IndexKind::I64,
    }
}

/// An index on a GPU, and how kernels find it.
struct OnDevice {
    /// Keeps the memory.
    _index: Tensor,
    places: Places,
}

impl OnDevice {
    /// Into a tensor of this shape.
    fn new(op: &'static str, unit: Unit, index: &Tensor, (shape, axis): (&Shape, usize)) -> Result<Self> {
        let (around, taken) = (Around::new(shape, axis), unit.along(index.shape(), axis));
        let index = index.contiguous()?;
        let bad = index.device().watch(op, around.size)?;
        let (pointer, kind) = (index.device_address()?, kind(index.dtype()));
        let [outer, size, inner] = [around.outer, around.size, around.inner].map(|n| n as u64);
        let places = Places { index: pointer, kind, bad, outer, places: taken as u64, size, inner };
        Ok(Self { _index: index, places })
    }
}

/// The elements of x that the index names, on a GPU.
pub(crate) fn take_on_device(
    op: &'static str,
    unit: Unit,
    [x, index]: [&Tensor; 2],
    axis: usize,
    y: &Meta,
) -> Result<Vec<Tensor>> {
    let (index, x) = (OnDevice::new(op, unit, index, (x.shape(), axis))?, x.contiguous()?);
    let mut out = Tensor::empty(y.shape, y.dtype, &x.device())?;
    let (dtype, y, from) = (y.dtype.on_device(op)?, out.device_address_mut()?, x.device_address()?);
    let launch = match unit {
        Unit::Slice => index::index_select(dtype, y, from, &index.places),
        Unit::Element => index::gather(dtype, y, from, &index.places),
    };
    x.device().launch(&launch)?;
    Ok(vec![out])
}

/// `y` with whole slices replaced by the source's where the index says, on a GPU.
pub(crate) fn copy_on_device(
    op: &'static str,
    mut y: Tensor,
    [index, source]: [&Tensor; 2],
    axis: usize,
) -> Result<Vec<Tensor>> {
    let index = OnDevice::new(op, Unit::Slice, index, (y.shape(), axis))?;
    let source = source.contiguous()?;
    let (dtype, to, from) = (y.dtype().on_device(op)?, y.device_address_mut()?, source.device_address()?);
    y.device().launch(&index::index_copy(dtype, to, from, &index.places))?;
    Ok(vec![y])
}

/// `y` with the source added where the index says, in the order of the index, on a GPU.
pub(crate) fn add_on_device(
    op: &'static str,
    unit: Unit,
    y: Tensor,
    [index, source]: [&Tensor; 2],
    axis: usize,
) -> Result<Vec<Tensor>> {
    let (device, dtype) = (y.device(), y.dtype());
    let index = OnDevice::new(op, unit, index, (y.shape(), axis))?;
    if unit == Unit::Slice {
        return add_slices(op, y, &index.places, &source.contiguous()?);
    }
    // The kernel adds term by term where the sum lies: a 16-bit one would be rounded each time.
    let (mut sum, source) = (y.to_dtype(DType::F32)?, source.to_dtype(DType::F32)?.contiguous()?);
    drop(y);
    let (to, from) = (sum.device_address_mut()?, source.device_address()?);
    device.launch(&index::scatter_add(DType::F32.float_on_device(op)?, to, from, &index.places))?;
    Ok(vec![sum.to_dtype(dtype)?])
}

fn add_slices(op: &'static str, mut y: Tensor, places: &Places, source: &Tensor) -> Result<Vec<Tensor>> {
    let device = y.device();
    let (_room, keys) = cuda::workspace(&device, index_add::workspace(places.places))?;
    let (dtype, to, from) =
        (y.dtype().float_on_device(op)?, y.device_address_mut()?, source.device_address()?);
    cuda::launch_all(&device, &index_add::index_add(dtype, to, from, keys, places))?;
    Ok(vec![y])
}

fn checked(op: &'static str, place: i64, at: usize, size: usize) -> Result<usize> {
    usize::try_from(place).ok().filter(|&place| place < size).ok_or_else(|| {
        Error::index(op, format!("index {place} at position {at}, but the axis has size {size}"))
            .hint("indices count from 0; negative ones do not count from the end")
    })
}
