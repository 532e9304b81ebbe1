//! Any text as the documents of an OCI layout.
#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target is about one of them")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| checks::oci_layout(text));
