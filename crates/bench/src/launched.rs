//! A case in the memory of a device, computed by launches that are made once: a kernel of the user's, a rung of a ladder.

use warpsmith_autograd::Meta;
use warpsmith_kernels::Launch;
use warpsmith_tensor::{DType, Shape, Tensor};

use crate::contender::Call;
use crate::tasks::Case;
use crate::tensors::{overwrite, poison};
use crate::{Error, Result};

/// Inputs, outputs and room of its own, and what computes the ones from the others.
pub(crate) struct Launched {
    launches: Vec<Launch>,
    inputs: Vec<Tensor>,
    /// The outputs that have memory of their own.
    fresh: Vec<Tensor>,
    written: Vec<Meta>,
    in_place: &'static [(usize, usize)],
    room: Option<Tensor>,
}

impl Launched {
    /// The case in memory, with nothing to launch yet.
    ///
    /// # Errors
    /// If the inputs lie on the host, or are a list of updates in place.
    pub fn new(case: &Case, inputs: &[Tensor]) -> Result<Self> {
        if inputs.iter().any(|x| x.device().is_cpu()) {
            let message =
                "a CUDA kernel does not run on the CPU: use --device cuda, or --device emulated to check it";
            return Err(Error::Unsupported(message.into()));
        }
        let in_place = case.work.in_place();
        let is_fresh = |i: &usize| in_place.iter().all(|(output, _)| output != i);
        let outputs = case.outputs(inputs)?;
        if !in_place.is_empty() && outputs.len() > in_place.len() {
            return Err(Error::Unsupported("a single kernel updates one parameter: shape 1xE".into()));
        }
        let written: Vec<Meta> = (0..outputs.len()).filter(is_fresh).map(|i| outputs[i]).collect();
        let device = inputs[0].device();
        let fresh = written.iter().map(|meta| poison(meta, &device)).collect::<Result<_>>()?;
        let inputs = inputs.iter().map(Tensor::copy).collect::<warpsmith_tensor::Result<_>>()?;
        Ok(Self { launches: Vec::new(), inputs, fresh, written, in_place, room: None })
    }

    /// Where the inputs lie, and behind them the outputs that are not written over one of those.
    ///
    /// # Errors
    /// Whatever the device may say.
    pub fn addresses(&mut self) -> Result<Vec<u64>> {
        let all = self.inputs.iter_mut().chain(&mut self.fresh);
        Ok(all.map(Tensor::device_address_mut).collect::<warpsmith_tensor::Result<_>>()?)
    }

    /// Takes room for so many bytes that the launches need besides, and says where it lies; 0 if that is none.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn room(&mut self, bytes: usize) -> Result<u64> {
        if bytes == 0 {
            return Ok(0);
        }
        // NaN, so that what is read before it is written shows.
        let shape = Shape::new(&[bytes.div_ceil(4)])?;
        let room = Tensor::full(shape, f64::NAN, DType::F32, &self.inputs[0].device())?;
        Ok(self.room.insert(room).device_address_mut()?)
    }

    /// With these launches, in order.
    pub fn with(self, launches: Vec<Launch>) -> Self {
        Self { launches, ..self }
    }
}

impl Call for Launched {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.inputs.iter_mut().zip(inputs).try_for_each(|(own, new)| overwrite(own, new))
    }

    fn poison(&mut self) -> Result<()> {
        let device = self.inputs[0].device();
        let pairs = self.fresh.iter_mut().zip(&self.written);
        pairs.into_iter().try_for_each(|(output, meta)| overwrite(output, &poison(meta, &device)?))
    }

    fn run(&mut self) -> Result<()> {
        let device = self.inputs[0].device();
        Ok(self.launches.iter().try_for_each(|launch| device.launch(launch))?)
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        // Copies: who holds them must not move what the kernel writes to.
        self.inputs[0].device().synchronize()?;
        let written = self.in_place.iter().map(|(_, input)| &self.inputs[*input]).chain(&self.fresh);
        Ok(written.map(Tensor::copy).collect::<warpsmith_tensor::Result<_>>()?)
    }
}
