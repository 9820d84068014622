//! What crosses the C boundary: pointers that a caller gave, each checked before it is used.
//!
//! A value of these types is made by a C caller only, as an argument of an exported call. The caller vouches, by the
//! contract of that call, that a pointer which is not null points to what its type says. That is what every
//! SAFETY note here rests on.

use std::ffi::{CStr, c_char, c_void};

use super::code::Code;
use super::failure::Outcome;

/// A place for a result.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

/// A place for a result that is there.
#[derive(Debug)]
pub(crate) struct Place<T>(*mut T);

impl<T> Out<T> {
    /// The place, or a failure that names `what` was to be written there.
    pub(crate) fn place(&self, what: &str) -> Outcome<Place<T>> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE.says(format!("the pointer to write {what} to is null")));
        }
        Ok(Place(self.0))
    }

    /// Writes a required result.
    pub(crate) fn set(&self, value: T, what: &str) -> Outcome {
        self.place(what)?.put(value);
        Ok(())
    }

    /// Writes a result that the caller may have no use for.
    pub(crate) fn offer(&self, value: T) {
        if !self.0.is_null() {
            Place(self.0).put(value);
        }
    }

    /// The place of the `index`-th of several results; the caller vouches for as many as it said.
    pub(crate) fn at(&self, index: usize) -> Out<T> {
        Out(if self.0.is_null() { self.0 } else { self.0.wrapping_add(index) })
    }

    /// The same place for a value of another type, where another argument of the call says which.
    pub(crate) fn cast<U>(&self) -> Out<U> {
        Out(self.0.cast())
    }

    /// Whether the caller has no use for the result.
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// Writes a list, which the caller promised room for.
    pub(crate) fn fill(&self, values: impl IntoIterator<Item = T>, what: &str) -> Outcome {
        let place = self.place(what)?;
        for (index, value) in values.into_iter().enumerate() {
            // SAFETY: the caller vouches for an array of at least as many values as it asked for.
            unsafe { place.0.add(index).write_unaligned(value) };
        }
        Ok(())
    }
}

impl<T: Copy> Out<T> {
    /// Reads what the caller left in a place that is both argument and result.
    pub(crate) fn get(&self, what: &str) -> Outcome<T> {
        In(self.0.cast_const()).read(what)
    }
}

impl<T> Place<T> {
    /// Writes the result.
    pub(crate) fn put(&self, value: T) {
        // SAFETY: not null, so the caller vouches that it may be written; no alignment is assumed.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// A value, or a list of values, to read.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct In<T>(*const T);

impl<T> From<*const T> for In<T> {
    /// A pointer found in what a caller gave.
    fn from(pointer: *const T) -> Self {
        In(pointer)
    }
}

impl<T: Copy> In<T> {
    /// The value.
    pub(crate) fn read(&self, what: &str) -> Outcome<T> {
        self.at(0, what)
    }

    /// The value at an index that the caller vouches for.
    pub(crate) fn at(&self, index: usize, what: &str) -> Outcome<T> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE.says(format!("the pointer to {what} is null")));
        }
        // SAFETY: not null, so the caller vouches for it and for as many values as the call says.
        Ok(unsafe { self.0.add(index).read_unaligned() })
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

/// A text ended by a NUL.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Text(*const c_char);

impl Text {
    /// The bytes before the NUL.
    pub(crate) fn bytes(&self, what: &str) -> Outcome<&[u8]> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE.says(format!("the pointer to {what} is null")));
        }
        // SAFETY: not null, so the caller vouches for a NUL-terminated text that lives as long as the call.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }

    /// The text.
    pub(crate) fn read(&self, what: &str) -> Outcome<&str> {
        std::str::from_utf8(self.bytes(what)?)
            .map_err(|error| Code::INVALID_VALUE.says(format!("{what} is not UTF-8: {error}")))
    }

    /// The first bytes, as many as `count`, whether or not a NUL comes earlier.
    pub(crate) fn head<const N: usize>(&self, what: &str) -> Outcome<[u8; N]> {
        In(self.0.cast::<[u8; N]>()).read(what)
    }
}

/// Host memory that a copy reads, or writes. It may outlive the call: a captured copy uses it at each launch.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host(pub(crate) usize);

impl Host {
    /// The memory to read.
    pub(crate) fn bytes(&self, count: usize) -> &[u8] {
        if count == 0 || self.0 == 0 {
            return &[];
        }
        // SAFETY: the caller of the copy vouches for `count` bytes at the address, for as long as the copy may run.
        unsafe { std::slice::from_raw_parts(self.0 as *const u8, count) }
    }

    /// The memory to write.
    pub(crate) fn bytes_mut(&mut self, count: usize) -> &mut [u8] {
        if count == 0 || self.0 == 0 {
            return &mut [];
        }
        // SAFETY: as in `bytes`; the caller vouches that nothing else uses the bytes while the copy runs.
        unsafe { std::slice::from_raw_parts_mut(self.0 as *mut u8, count) }
    }
}

/// A function of the host that a stream calls in its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostCall {
    pub(crate) function: unsafe extern "C" fn(*mut c_void),
    /// What to call it with: a pointer, kept as a number so that any thread may make the call.
    pub(crate) data: usize,
}

impl HostCall {
    /// Makes the call.
    pub(crate) fn call(&self) {
        // SAFETY: whoever enqueued the function vouches that it may be called with its data, from any thread.
        unsafe { (self.function)(self.data as *mut c_void) }
    }
}
