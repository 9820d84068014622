//! Handles: numbers that are never reused, so that one which is null, foreign or stale is always known for what it is.

use std::collections::HashMap;

use super::code::Code;
use super::failure::{Failure, Outcome};

/// A kind of object with handles.
pub(crate) trait Object {
    /// Tells its handles from others, and is its place among the names, from 1.
    const TAG: usize;
}

/// What to call each kind.
const NAMES: [&str; 10] = [
    "a context",
    "a module",
    "a function",
    "a stream",
    "an event",
    "a graph",
    "an executable graph",
    "a memory pool",
    "a graph node",
    "a capture",
];

/// The objects of one kind that are alive.
#[derive(Debug)]
pub(crate) struct Table<T> {
    objects: HashMap<usize, T>,
    made: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { objects: HashMap::new(), made: 0 }
    }
}

impl<T: Object> Table<T> {
    /// Adds the object that `make` makes of its own handle.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(usize) -> T) -> usize {
        self.made += 1;
        let handle = (T::TAG << 36) | (self.made << 4);
        self.objects.insert(handle, make(handle));
        handle
    }

    /// Adds an object.
    pub(crate) fn insert(&mut self, object: T) -> usize {
        self.insert_with(|_| object)
    }

    /// The object of a handle.
    pub(crate) fn get(&self, handle: usize) -> Outcome<&T> {
        self.objects.get(&handle).ok_or_else(|| self.refusal(handle))
    }

    /// The object of a handle, to change.
    pub(crate) fn get_mut(&mut self, handle: usize) -> Outcome<&mut T> {
        if !self.objects.contains_key(&handle) {
            return Err(self.refusal(handle));
        }
        self.objects.get_mut(&handle).ok_or_else(|| Code::INVALID_HANDLE.says(""))
    }

    /// Takes the object of a handle out; the handle is stale from then on.
    pub(crate) fn remove(&mut self, handle: usize) -> Outcome<T> {
        self.objects.remove(&handle).ok_or_else(|| self.refusal(handle))
    }

    /// Drops the objects that `gone` picks.
    pub(crate) fn drop_if(&mut self, gone: impl Fn(&T) -> bool) {
        self.objects.retain(|_, object| !gone(object));
    }

    /// The handles and objects.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.objects.iter().map(|(&handle, object)| (handle, object))
    }

    /// The objects, to change.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.objects.values_mut()
    }

    fn refusal(&self, handle: usize) -> Failure {
        let expected = NAMES[T::TAG - 1];
        let (tag, number) = (handle >> 36, (handle >> 4) & 0xffff_ffff);
        let sentence = match NAMES.get(tag.wrapping_sub(1)) {
            _ if handle == 0 => format!("null where {expected} belongs"),
            Some(_) if tag == T::TAG && (1..=self.made).contains(&number) && handle & 15 == 0 => {
                format!(
                    "{handle:#x} is {expected} that was destroyed; keep it alive for as long as it is used"
                )
            }
            Some(came) if tag != T::TAG && handle & 15 == 0 => {
                format!("{handle:#x} is {came} where {expected} belongs")
            }
            _ => format!("{handle:#x} is not {expected} that this driver made"),
        };
        Code::INVALID_HANDLE.says(sentence)
    }
}
