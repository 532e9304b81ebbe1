//! What is particular to podman: its paths and its limits. It also imitates Docker's API, which is not
//! used.
//!
//! How podman's store differs is in the arms of [`Store::Podman`](crate::api::Store): what is sent
//! (`load`), which layers count as present (`missing_layers`), which ID an image has (`load`).

/// Path of the part of podman's own API that handles images: it names images as podman's users do.
/// In the one in which it plays Docker, `app:1` becomes `docker.io/library/app:1`.
pub(crate) const IMAGES: &str = "/v4.0.0/libpod/images";

/// Asks for a saved image as Docker would save it; podman's own choice is an OCI layout.
pub(crate) const AS_DOCKER_ARCHIVE: &[(&str, &str)] = &[("format", "docker-archive")];

/// A header of every answer by which podman shows itself.
pub(crate) const VERSION_HEADER: &str = "Libpod-API-Version";

/// Bytes that take about as long to send as one more image takes to inspect.
pub(crate) const WORTH_ASKING: u64 = 4 << 20;
