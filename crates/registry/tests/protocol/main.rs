//! The crate against registries: one that fails on purpose, and a real one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod double;
mod faults;
mod http;
mod limiting;
mod proxies;
mod pulls;
mod pushes;
mod real;
mod referrers;
mod support;
mod turns;
