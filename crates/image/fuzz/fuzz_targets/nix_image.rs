//! Any bytes as the configuration of an image that the Nix side writes.
#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target is about one of them")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &[u8]| checks::nix_image(text));
