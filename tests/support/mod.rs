//! What tests share; no test is here.

pub mod app;
pub mod archive;
pub mod binary_cache;
pub mod debian;
pub mod engine;
pub mod idle_proxy;
pub mod peer;
pub mod program;
pub mod registry;
pub mod store_tree;
pub mod written;
