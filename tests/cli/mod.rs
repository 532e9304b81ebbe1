//! The commands, as their users type them.

mod base_images;
mod binary_caches;
mod cache_downloads;
mod closures;
mod closures_of_nix;
mod clusters;
mod destinations;
mod fleet_plans;
mod fleets;
mod load;
mod oci;
mod output;
mod push;
mod releases;
mod settings;
mod stopped_downloads;
mod trees;
