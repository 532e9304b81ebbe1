//! Any bytes as a file with logins.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registry::checks::login_file(bytes));
