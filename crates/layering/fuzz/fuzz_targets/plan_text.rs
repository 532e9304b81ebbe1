//! Any bytes as the short text of a plan.
#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target is about one of them")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::plan_text(bytes));
