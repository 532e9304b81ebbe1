//! End-to-end tests: the program as its users run it, beside the peers that they use.
//!
//! A test that needs a peer (Docker, Nix, …) is passed over where the peer is not installed, and
//! says so; with `STREAM_LAYERED_REQUIRE_PEERS=1`, as `.ci/run` sets it, that is a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod base_images;
mod binary_caches;
mod closures;
mod docker;
mod golden;
mod imports;
mod load;
mod nix;
mod oci;
mod output;
mod peer;
mod peers;
mod program;
mod push;
mod releases;
mod settings;
mod stopped_downloads;
mod store_tree;
mod trees;
