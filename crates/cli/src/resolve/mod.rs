//! From what was typed to values: stores, closures, plans and images.

pub mod closure;
pub mod image;
pub mod image_script;
pub mod layer_keys;
pub mod plan_label;
pub mod registry_client;
pub mod source;
pub mod store;
pub mod strategy;
