//! What is asked of a safetensors file from anywhere: an error, or as many numbers as it says.

use warpsmith_model::from_safetensors;
use warpsmith_tensor::Device;

/// The whole question.
pub fn read(bytes: &[u8]) {
    let Ok(tensors) = from_safetensors(bytes, &Device::Cpu) else { return };
    for tensor in tensors.values() {
        let numbers = tensor.to_f64_vec().expect("it lies on the host");
        assert_eq!(numbers.len(), tensor.dims().iter().product::<usize>());
    }
}
