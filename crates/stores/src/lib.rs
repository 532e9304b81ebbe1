//! Where closures and the file trees of store paths come from.

pub mod binary_cache;
pub mod database;
pub mod directory;
pub mod graph_file;

mod local;

pub use binary_cache::{BinaryCacheError, BinaryCaches};
pub use database::DatabaseError;
pub use directory::StoreFiles;
pub use graph_file::{Graph, GraphFileError};
pub use local::{LocalStore, ResolveError};
