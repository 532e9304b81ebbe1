//! Names of annotations that others define and tools act on.

/// Of a manifest in a layout: its tag. From the image specification.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Of a manifest in a layout: the image's full name, under which containerd imports it.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Of a manifest in an index: what it is to another manifest there. BuildKit writes
/// [`ATTESTATION`].
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The value of [`REFERENCE_TYPE`] by which BuildKit marks attestations.
pub const ATTESTATION: &str = "attestation-manifest";
/// Of a manifest in an index: the digest of the manifest that it is about.
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
