//! Calls that answer with a text of the driver's.

use std::ffi::CStr;

use super::abi::Out;
use super::code::Code;
use super::failure::Outcome;
use super::state::driver;

/// `cuGetErrorName`.
pub(crate) fn error_name(code: Code, name: Out<*const u8>) -> Outcome {
    answer(name, code.name(), code)
}

/// `cuGetErrorString`.
pub(crate) fn error_line(code: Code, line: Out<*const u8>) -> Outcome {
    answer(line, code.line(), code)
}

fn answer(place: Out<*const u8>, text: Option<&'static CStr>, code: Code) -> Outcome {
    let place = place.place("the text")?;
    place.put(text.map_or(std::ptr::null(), |text| text.as_ptr().cast()));
    text.map(drop).ok_or_else(|| Code::INVALID_VALUE.says(format!("{} is no code of the driver", code.0)))
}

/// `cuFuncGetName`: the text lives as long as the function's module.
pub(crate) fn function_name(name: Out<*const u8>, function: usize) -> Outcome {
    let function = driver().function(function)?;
    name.set(function.name.as_ptr().cast(), "the name")
}
