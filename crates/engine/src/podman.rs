//! What is particular to podman, which also plays Docker's API.

/// Path of the part of podman's own API that handles images: it names images as podman's users do.
/// In the one in which it plays Docker, `app:1` becomes `docker.io/library/app:1`.
pub(crate) const IMAGES: &str = "/v4.0.0/libpod/images";

/// A header of every answer by which podman shows itself.
pub(crate) const VERSION_HEADER: &str = "Libpod-API-Version";

/// Bytes that take about as long to send as one more image takes to inspect.
pub(crate) const WORTH_ASKING: u64 = 4 << 20;
