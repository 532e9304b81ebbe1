//! End-to-end tests: the program as its users run it, beside the peers that they use.
//!
//! A test that needs a peer (Docker, Nix, …) says so, `#[needs(docker)]`. The harness prints `ignored,
//! needs Docker: …` and counts it where the peer is missing; with `STREAM_LAYERED_REQUIRE_PEERS=1`, as
//! `.ci/run` sets it, nothing is ignored, and a missing peer is a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attacks;
mod cases;
mod cli;
mod documents;
mod golden;
mod nix;
mod support;
mod workspace;
