//! Any text as the headers that ask for credentials.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| registry::checks::challenges(text));
