//! Softmax, a product and attention by `warpsmith-kernels` and `cudarc` alone: what a program with a stream of its own does
//! with a `Launch`. Nothing here uses this crate's tensors or its device.
//!
//! ```text
//! cargo run -p warpsmith-tensor --example kernels_alone
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, result, sys};
use warpsmith_kernels::attention::{self, Attention, Heads, Mask};
use warpsmith_kernels::matmul::{Matmul, Matrix, Plan, matmul};
use warpsmith_kernels::softmax::{self, Form, Softmax};
use warpsmith_kernels::{Float, Launch};

/// A stream, and the modules that it has loaded.
pub struct Gpu {
    stream: Arc<CudaStream>,
    modules: HashMap<&'static str, sys::CUmodule>,
}

impl Gpu {
    /// Queues a launch.
    ///
    /// # Safety
    /// The addresses in it are of memory of this GPU, as large as the kernel wants.
    unsafe fn launch(&mut self, launch: &Launch) -> Result<(), Box<dyn Error>> {
        if launch.is_empty() {
            return Ok(());
        }
        let module = match self.modules.get(launch.entry.module.name) {
            Some(&module) => module,
            None => {
                let ptx = CString::new(launch.entry.module.ptx())?;
                // SAFETY: PTX, behind which a zero byte stands.
                let module = unsafe { result::module::load_data(ptx.as_ptr().cast()) }?;
                self.modules.insert(launch.entry.module.name, module);
                module
            }
        };
        let name = CString::new(launch.entry.name)?;
        // SAFETY: the module is loaded and never unloaded.
        let function = unsafe { result::module::get_function(module, name) }?;
        if launch.shared_bytes > 48 << 10 {
            let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: a function of a loaded module.
            unsafe {
                result::function::set_function_attribute(function, most, launch.shared_bytes.try_into()?)
            }?;
        }
        let ([gx, gy, gz], [bx, by, bz]) = (launch.grid, launch.block);
        // The only parameter is a struct by value.
        let mut params = [launch.params.as_ptr().cast_mut().cast::<c_void>()];
        let (grid, block, shared) = ((gx, gy, gz), (bx, by, bz), launch.shared_bytes);
        // SAFETY: the entry takes a struct of these bytes, and the caller vouches for the addresses in it.
        unsafe {
            result::launch_kernel(function, grid, block, shared, self.stream.cu_stream(), &mut params)
        }?;
        Ok(())
    }

    /// Where a slice lies. All work here is on one stream, in order, so no event has to be waited for.
    fn address(&self, slice: &CudaSlice<f32>) -> u64 {
        slice.device_ptr(&self.stream).0
    }
}

/// The softmax of (0, 1, 2) and of (3, 3, 3); the product of these six numbers as (2, 3) and as (3, 2); causal attention of
/// five tokens with one head of 64, whose q, k and v are the number of the token.
pub fn run() -> Result<[Vec<f32>; 3], Box<dyn Error>> {
    let stream = CudaContext::new(0)?.default_stream();
    let mut gpu = Gpu { stream: stream.clone(), modules: HashMap::new() };

    let x = stream.clone_htod(&[0.0f32, 1.0, 2.0, 3.0, 3.0, 3.0])?;
    let y = stream.alloc_zeros::<f32>(6)?;
    let (at, to) = (gpu.address(&x), gpu.address(&y));
    let rows = Softmax { form: Form::Plain, dtype: Float::F32, x: at, y: to, rows: 2, n: 3 };
    // SAFETY: x and y have six numbers each.
    unsafe { gpu.launch(&softmax::forward(&rows)) }?;

    let c = stream.alloc_zeros::<f32>(4)?;
    let matrix = |row| Matrix { pointer: at, row, col: 1, batch: [0; 3] };
    let product = Matmul::plain(Float::F32, [2, 2, 3], matrix(3), matrix(2), gpu.address(&c));
    // Where K is split, the parts of the sums lie here until a second launch adds them.
    let room = stream.alloc_zeros::<f32>(Plan::of(&product).workspace_bytes().div_ceil(4).max(1) as usize)?;
    for launch in matmul(&product, gpu.address(&room))? {
        // SAFETY: x has six numbers, c four, and the room is what the plan wants.
        unsafe { gpu.launch(&launch) }?;
    }

    let (tokens, width) = (5u32, 64u32);
    let values: Vec<f32> = (0..tokens * width).map(|i| (i / width) as f32).collect();
    let qkv = stream.clone_htod(&values)?;
    let out = stream.alloc_zeros::<f32>(values.len())?;
    let lse = stream.alloc_zeros::<f32>(tokens as usize)?;
    let (row, size) = (i64::from(width), i64::from(tokens * width));
    let array = |pointer| Heads { pointer, batch: size, time: row, head: row };
    let input = array(gpu.address(&qkv));
    let launch = attention::forward(&Attention {
        dtype: Float::F32,
        batch: 1,
        queries: tokens,
        keys: tokens,
        heads: 1,
        kv_heads: 1,
        width,
        q: input,
        k: input,
        v: input,
        out: array(gpu.address(&out)),
        lse: gpu.address(&lse),
        lengths: 0,
        scale: 1.0 / (width as f32).sqrt(),
        mask: Mask::Causal,
        dropout: None,
    })
    .ok_or("no kernel has heads of this width")?;
    // SAFETY: (1, T, 1, D) each, and T numbers for the sums.
    unsafe { gpu.launch(&launch) }?;
    let made = [stream.clone_dtoh(&y)?, stream.clone_dtoh(&c)?, stream.clone_dtoh(&out)?];
    // Copies may still be on their way, to here and from `values`.
    stream.synchronize()?;
    Ok(made)
}

#[allow(dead_code, reason = "a test takes `run` alone")]
fn main() -> Result<(), Box<dyn Error>> {
    let [softmax, product, attention] = run()?;
    println!("softmax {softmax:?}\nproduct {product:?}");
    println!("attention {:?}", attention.iter().step_by(64).collect::<Vec<_>>());
    Ok(())
}
