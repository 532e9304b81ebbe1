//! The forms in which an image is written.

mod destination;
mod making;
mod oci_archive;
mod oci_layout;

pub mod docker_archive;

pub use destination::{Destination, OciOptions, OciSummary};
pub use oci_archive::write_oci_archive;
pub use oci_layout::write_oci_layout;
