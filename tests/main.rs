//! End-to-end tests: the program as its users run it, beside the peers that they use.
//!
//! A test that needs a peer (Docker, Nix, …) is passed over where the peer is not installed, and
//! says so; with `STREAM_LAYERED_REQUIRE_PEERS=1`, as `.ci/run` sets it, that is a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
mod golden;
mod nix;
mod support;
mod workspace;
