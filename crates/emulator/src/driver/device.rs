//! The devices, of which there is one unless the environment asks for more: emulated GPUs of compute capability 8.0.

use super::abi::{Out, Text};
use super::code::Code;
use super::failure::Outcome;
use super::machine::{check_machine, machine};
use super::state::initialise;
use crate::Options;

/// CUDA 12.8.
pub(crate) const DRIVER_VERSION: i32 = 12080;
/// The PTX that a driver of that version reads.
pub(crate) const PTX_VERSION: (u32, u32) = (8, 7);
/// The compute capability.
pub(crate) const CAPABILITY: (u32, u32) = (8, 0);
/// Bytes that a context can allocate.
pub(crate) const GLOBAL_BYTES: u64 = 8 << 30;
/// Multiprocessors: few, so that kernels that size their grid by them have little to do.
pub(crate) const MULTIPROCESSORS: u32 = 16;

// Limits of compute capability 8.0: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
/// Threads of a block.
pub(crate) const BLOCK_THREADS: u32 = 1024;
/// Threads of a block in x, y, z.
pub(crate) const BLOCK: [u32; 3] = [1024, 1024, 64];
/// Blocks of a grid in x, y, z.
pub(crate) use crate::launch::MOST_BLOCKS as GRID;
/// Shared memory of a block that did not opt in to more, in bytes.
pub(crate) const SHARED_BYTES: u32 = 48 << 10;
/// Shared memory of a block that did.
pub(crate) const SHARED_OPT_IN_BYTES: u32 = 163 << 10;
/// Shared memory of a multiprocessor.
pub(crate) const SHARED_MULTIPROCESSOR_BYTES: u32 = 164 << 10;
/// Shared memory of each block that the system keeps.
pub(crate) const SHARED_RESERVED_BYTES: u32 = 1 << 10;
/// Threads of a multiprocessor.
pub(crate) const MULTIPROCESSOR_THREADS: u32 = 2048;
/// Blocks of a multiprocessor.
pub(crate) const MULTIPROCESSOR_BLOCKS: u32 = 32;
/// Registers of 32 bits, of a block and of a multiprocessor.
pub(crate) const REGISTERS: u32 = 65536;

const NAME: &str = "Warpsmith emulated GPU";
/// The last byte is the device's own.
const UUID: [u8; 16] = *b"warpsmith-emu-80";

/// Where a device sits.
fn bus(device: i32) -> String {
    format!("0000:{device:02x}:00.0")
}

/// `cuInit`.
pub(crate) fn init(flags: u32) -> Outcome {
    if flags != 0 {
        return Err(Code::INVALID_VALUE.says(format!("the flags must be 0, not {flags:#x}")));
    }
    check_machine()?;
    if machine().gpus == 0 {
        return Err(Code::NO_DEVICE.says("the environment asks for a machine without a GPU"));
    }
    initialise(Options::from_environment().map_err(|sentence| Code::INVALID_VALUE.says(sentence))?);
    Ok(())
}

/// `cuDriverGetVersion`.
pub(crate) fn version(version: Out<i32>) -> Outcome {
    version.set(machine().driver, "the version")
}

/// Refuses a device that is not there.
pub(crate) fn check_device(device: i32) -> Outcome {
    let count = machine().gpus;
    if (0..count).contains(&device) {
        return Ok(());
    }
    Err(Code::INVALID_DEVICE
        .says(format!("there are {count} device(s), from number 0; {device} was asked for")))
}

/// `cuDeviceGet`.
pub(crate) fn get(device: Out<i32>, ordinal: i32) -> Outcome {
    check_device(ordinal)?;
    device.set(ordinal, "the device")
}

/// `cuDeviceGetCount`.
pub(crate) fn count(count: Out<i32>) -> Outcome {
    count.set(machine().gpus, "the count")
}

/// `cuDeviceGetName`.
pub(crate) fn name(name: Out<u8>, length: i32, device: i32) -> Outcome {
    check_device(device)?;
    text(&name, length, NAME)
}

/// `cuDeviceGetPCIBusId`.
pub(crate) fn bus_id(id: Out<u8>, length: i32, device: i32) -> Outcome {
    check_device(device)?;
    text(&id, length, &bus(device))
}

/// Writes as much of a text as fits, ended by a NUL.
fn text(place: &Out<u8>, length: i32, text: &str) -> Outcome {
    let Some(room) = usize::try_from(length).ok().filter(|&room| room > 0) else {
        return Err(Code::INVALID_VALUE.says(format!("a text does not fit {length} bytes")));
    };
    place.fill(text.bytes().take(room - 1).chain([0]), "the text")
}

/// `cuDeviceGetByPCIBusId`.
pub(crate) fn by_bus_id(device: Out<i32>, id: Text) -> Outcome {
    let id = id.read("the bus id")?;
    let found = (0..machine().gpus).find(|device| bus(*device) == id);
    let found = found.ok_or_else(|| {
        Code::INVALID_DEVICE.says(format!("no device on the bus at {id:?}; the first is at {:?}", bus(0)))
    })?;
    device.set(found, "the device")
}

/// `cuDeviceGetUuid`.
pub(crate) fn uuid(uuid: Out<[u8; 16]>, device: i32) -> Outcome {
    check_device(device)?;
    let mut own = UUID;
    own[15] += device as u8;
    uuid.set(own, "the UUID")
}

/// `cuDeviceTotalMem_v2`.
pub(crate) fn total_memory(bytes: Out<usize>, device: i32) -> Outcome {
    check_device(device)?;
    bytes.set(GLOBAL_BYTES as usize, "the bytes")
}

/// `cuDeviceComputeCapability`.
pub(crate) fn capability(major: Out<i32>, minor: Out<i32>, device: i32) -> Outcome {
    check_device(device)?;
    let (own_major, own_minor) = machine().capability;
    major.set(own_major as i32, "the major version")?;
    minor.set(own_minor as i32, "the minor version")
}

/// `cuDeviceCanAccessPeer`.
pub(crate) fn can_access_peer(can: Out<i32>, device: i32, peer: i32) -> Outcome {
    check_device(device)?;
    check_device(peer)?;
    can.set(0, "the answer")
}

/// `cuDeviceGetAttribute`.
pub(crate) fn attribute(value: Out<i32>, attribute: u32, device: i32) -> Outcome {
    check_device(device)?;
    let known = known_attribute(attribute).ok_or_else(|| {
        Code::INVALID_VALUE.says(format!("{attribute} is no attribute of a device of CUDA 12.8"))
    })?;
    value.set(known as i32, "the attribute")
}

/// The value of a `CUdevice_attribute`. What is not listed is a feature that the emulated GPU lacks: 0.
fn known_attribute(attribute: u32) -> Option<u32> {
    Some(match attribute {
        0 | 144.. => return None,
        1 => BLOCK_THREADS,
        2..=4 => BLOCK[attribute as usize - 2],
        5..=7 => GRID[attribute as usize - 5],
        8 => SHARED_BYTES,
        9 => 64 << 10,         // constant memory, bytes
        10 => 32,              // threads of a warp
        11 => 0x7fff_ffff,     // largest pitch, bytes
        12 | 82 => REGISTERS,  // of a block, of a multiprocessor
        13 => 1_000_000,       // clock, kHz
        14 => 512,             // alignment of textures, bytes
        16 => MULTIPROCESSORS, //
        30 => 512,             // alignment of surfaces, bytes
        36 => 1_000_000,       // memory clock, kHz
        37 => 5120,            // width of the memory bus, bits
        38 => 40 << 20,        // L2 cache, bytes
        39 => MULTIPROCESSOR_THREADS,
        41 => 1,  // one address space for host and device
        51 => 32, // alignment of a texture's pitch, bytes
        75 => machine().capability.0,
        76 => machine().capability.1,
        78 => 1,      // stream priorities
        79 | 80 => 1, // L1 caches global, local
        81 => SHARED_MULTIPROCESSOR_BYTES,
        83 | 89 => 1,                     // managed memory, which the host may touch at any time
        88 => machine().is_strict.into(), // reads and writes pageable memory by itself
        87 => 2,                          // float32 over float64 throughput
        97 => SHARED_OPT_IN_BYTES,
        99 => 1, // cuMemHostRegister
        106 => MULTIPROCESSOR_BLOCKS,
        111 => SHARED_RESERVED_BYTES,
        115 => 1, // memory pools
        126 => 1, // domains of memory synchronisation
        _ => 0,
    })
}
