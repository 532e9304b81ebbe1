//! Nix's formats: bytes in, values out. No files, no sockets, no threads.
//!
//! Written from the Nix manual and tested against what Nix prints. The module names are those of
//! the crate of the same name that is not published yet, so that it can take this one's place.

pub mod content_address;
pub mod nar;
pub mod narinfo;
pub mod nix_conf;
pub mod nixbase32;
pub mod nixhash;
pub mod path_info;
pub mod registration;
pub mod shown;
pub mod signature;
pub mod store_path;
pub mod tree;

pub use content_address::ContentAddress;
pub use narinfo::NarInfo;
pub use nixhash::NarHash;
pub use path_info::PathInfo;
pub use shown::shown;
pub use store_path::{StoreDir, StorePath};
