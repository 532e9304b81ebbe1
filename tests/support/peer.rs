//! Where the peers are that a test needs.
//!
//! A test that asks for one says so above its name, `#[needs(docker)]`, and is ignored where it is not
//! there: see `test_peers`.

use std::env;
use std::path::PathBuf;

/// The program that an environment variable names.
pub fn program(variable: &str) -> PathBuf {
    setting(variable).into()
}

/// What an environment variable holds.
pub fn setting(variable: &str) -> String {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    value.unwrap_or_else(|| panic!("{variable} is not set, and this test does not say #[needs(…)]"))
}
