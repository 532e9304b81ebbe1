//! Any text as a narinfo.
#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target is about one of them")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| checks::narinfo(text));
