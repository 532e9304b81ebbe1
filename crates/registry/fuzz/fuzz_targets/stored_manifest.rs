//! Any bytes as the manifest that a registry gives.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registry::checks::stored_manifest(bytes));
