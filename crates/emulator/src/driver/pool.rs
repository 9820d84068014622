//! Memory pools. Allocations of all pools come from the one memory of a context, and are given back at once.

use super::abi::{In, Out};
use super::code::Code;
use super::device::check_device;
use super::device_memory;
use super::failure::Outcome;
use super::handle::Object;
use super::state::{Driver, current, driver};

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The attributes that are remembered: three kinds of reuse, and the bytes to keep when memory is given back.
    reuse: [u32; 3],
    release_threshold: u64,
    /// Bytes that one allocation may take; 0 for no bound. What several take together is not counted.
    capacity: u64,
}

impl Object for Pool {
    const TAG: usize = 8;
}

/// The start of `CUmemPoolProps`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Properties {
    allocation: u32,
    handles: u32,
    location: Location,
    security: usize,
    capacity: usize,
}

/// `CUmemLocation`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Location {
    kind: u32,
    id: i32,
}

/// `CU_MEM_ALLOCATION_TYPE_PINNED` and `CU_MEM_LOCATION_TYPE_DEVICE`.
const PINNED: u32 = 1;
const ON_DEVICE: u32 = 1;

impl Driver {
    fn default_pool(&mut self) -> usize {
        if self.default_pool == 0 {
            self.default_pool = self.pools.insert(Pool { reuse: [1; 3], release_threshold: 0, capacity: 0 });
        }
        self.default_pool
    }
}

/// `cuDeviceGetDefaultMemPool`.
pub(crate) fn get_default(pool: Out<usize>, device: i32) -> Outcome {
    check_device(device)?;
    pool.set(driver().default_pool(), "the pool")
}

/// `cuDeviceGetMemPool`.
pub(crate) fn get(pool: Out<usize>, device: i32) -> Outcome {
    check_device(device)?;
    let mut driver = driver();
    let current = driver.current_pool;
    pool.set(if driver.pools.get(current).is_ok() { current } else { driver.default_pool() }, "the pool")
}

/// `cuDeviceSetMemPool`.
pub(crate) fn set(device: i32, pool: usize) -> Outcome {
    check_device(device)?;
    let mut driver = driver();
    driver.pools.get(pool)?;
    driver.current_pool = pool;
    Ok(())
}

/// `cuMemPoolCreate`.
pub(crate) fn create(pool: Out<usize>, properties: In<Properties>) -> Outcome {
    let place = pool.place("the pool")?;
    let properties = properties.read("the properties")?;
    if properties.allocation != PINNED || properties.location.kind != ON_DEVICE || properties.location.id != 0
    {
        let sentence = "a pool is of pinned allocations (1) on the device (1) number 0";
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    if properties.handles != 0 || properties.security != 0 {
        return Err(Code::NOT_SUPPORTED.says("the emulated GPU shares no memory between processes"));
    }
    let capacity = properties.capacity as u64;
    place.put(driver().pools.insert(Pool { reuse: [1; 3], release_threshold: 0, capacity }));
    Ok(())
}

/// `cuMemPoolDestroy`.
pub(crate) fn destroy(pool: usize) -> Outcome {
    let mut driver = driver();
    if pool != 0 && pool == driver.default_pool {
        return Err(Code::INVALID_VALUE.says("the default pool is not destroyed"));
    }
    driver.pools.remove(pool).map(drop)
}

/// `cuMemPoolTrimTo`: nothing is kept.
pub(crate) fn trim(pool: usize, _keep: usize) -> Outcome {
    driver().pools.get(pool).map(drop)
}

/// `cuMemAllocFromPoolAsync`.
pub(crate) fn alloc(address: Out<u64>, bytes: usize, pool: usize, stream: usize) -> Outcome {
    let capacity = driver().pools.get(pool)?.capacity;
    if capacity != 0 && bytes as u64 > capacity {
        let sentence = format!("{bytes} bytes from a pool that holds {capacity} at the most");
        return Err(Code::OUT_OF_MEMORY.says(sentence));
    }
    device_memory::alloc_async(address, bytes, stream)
}

/// `cuMemPoolGetAttribute`. The place is as wide as the attribute asks: 4 bytes up to 3, 8 bytes from 4.
pub(crate) fn get_attribute(pool: usize, attribute: u32, value: Out<u8>) -> Outcome {
    let (reuse, threshold) = {
        let driver = driver();
        let pool = driver.pools.get(pool)?;
        (pool.reuse, pool.release_threshold)
    };
    match attribute {
        1..=3 => value.fill(reuse[attribute as usize - 1].to_ne_bytes(), "the attribute"),
        4 => value.fill(threshold.to_ne_bytes(), "the attribute"),
        5..=8 => value.fill(current()?.memory().live_bytes().to_ne_bytes(), "the attribute"),
        _ => Err(Code::INVALID_VALUE.says(format!("{attribute} is no attribute of a pool"))),
    }
}

/// `cuMemPoolSetAttribute`.
pub(crate) fn set_attribute(pool: usize, attribute: u32, value: Out<u8>) -> Outcome {
    let mut driver = driver();
    let pool = driver.pools.get_mut(pool)?;
    match attribute {
        1..=3 => pool.reuse[attribute as usize - 1] = value.cast::<u32>().get("the attribute")?,
        4 => pool.release_threshold = value.cast::<u64>().get("the attribute")?,
        6 | 8 if value.cast::<u64>().get("the attribute")? == 0 => {}
        6 | 8 => return Err(Code::INVALID_VALUE.says("a high-water mark is only ever set to 0")),
        _ => return Err(Code::INVALID_VALUE.says(format!("{attribute} is no attribute that can be set"))),
    }
    Ok(())
}

/// `CUmemAccessDesc`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    location: Location,
    flags: u32,
}

/// `CU_MEM_ACCESS_FLAGS_PROT_READWRITE`.
const READ_WRITE: u32 = 3;

/// `cuMemPoolSetAccess`: the device can always read and write its own pools.
pub(crate) fn set_access(pool: usize, accesses: In<Access>, count: usize) -> Outcome {
    driver().pools.get(pool)?;
    for index in 0..count {
        let access = accesses.at(index, "the accesses")?;
        if (access.location.kind, access.location.id, access.flags) != (ON_DEVICE, 0, READ_WRITE) {
            return Err(Code::INVALID_VALUE.says("the one device reads and writes its own pools"));
        }
    }
    Ok(())
}

/// `cuMemPoolGetAccess`.
pub(crate) fn get_access(flags: Out<u32>, pool: usize, location: In<Location>) -> Outcome {
    driver().pools.get(pool)?;
    let location = location.read("the place")?;
    let own = (location.kind, location.id) == (ON_DEVICE, 0);
    flags.set(if own { READ_WRITE } else { 0 }, "the access")
}
