//! Peers that a test needs. Where one is not there, the test says so and passes, unless all peers
//! are required.

use std::env;
use std::path::PathBuf;

/// The program that an environment variable names.
pub fn program(variable: &str, name: &str) -> Option<PathBuf> {
    setting(variable, name).map(PathBuf::from)
}

/// What an environment variable holds.
pub fn setting(variable: &str, name: &str) -> Option<String> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let required = env::var_os("STREAM_LAYERED_REQUIRE_PEERS").is_some_and(|text| text == "1");
        assert!(
            !required,
            "{variable} is not set, and all peers are required"
        );
        println!("skipped: needs {name}");
    }
    value
}
