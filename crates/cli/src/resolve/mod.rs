//! From settings to values: stores, closures, plans and images. Each resolver takes a settings
//! struct of its own and knows nothing of the command line's parser, so that the Nix side uses the
//! same ones.

pub mod base;
pub mod budget;
pub mod byte_size;
pub mod carried_plan;
pub mod closure;
pub mod config_values;
pub mod fleet;
pub mod fleet_image;
pub mod fleet_member;
pub mod fleet_plan_source;
pub mod image;
pub mod image_config;
pub mod image_name;
pub mod image_settings;
pub mod layer_table;
pub mod lock;
pub mod plan;
pub mod plan_request;
pub mod plan_source;
pub mod registry_client;
pub mod release;
pub mod source;
pub mod store;
pub mod store_address;
pub mod subject;
