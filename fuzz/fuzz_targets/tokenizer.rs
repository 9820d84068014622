#![no_main]

#[path = "../read/tokenizer.rs"]
mod tokenizer;

/// libFuzzer ends at the first panic. Those of the tokenizers library are caught by ours and become errors, so here they pass;
/// one that is not caught ends the run all the same.
fn let_the_library_panic() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_ours = panic.location().is_none_or(|place| !place.file().contains("/.cargo/registry/"));
        if is_ours {
            end(panic);
        }
    }));
}

libfuzzer_sys::fuzz_target!(init: let_the_library_panic(), |bytes: &[u8]| tokenizer::read(bytes));
