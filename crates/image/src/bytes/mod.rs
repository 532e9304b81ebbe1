//! What decides the bytes of an image, and nothing else. A change here is a break of the format:
//! golden cases show it, and the version of the cache's keys moves with it.

pub mod compression;
pub mod image_config;
pub mod own_layer;
pub mod python_json;
pub mod root_links;
pub mod root_tar;
pub mod tar;
