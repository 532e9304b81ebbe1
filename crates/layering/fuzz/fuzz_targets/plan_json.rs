//! Any text as the JSON of a plan.
#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target is about one of them")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| checks::plan_json(text));
