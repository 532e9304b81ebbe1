//! How much of a base image is read into memory.

/// Longest manifest, index or configuration that is read, in bytes. Real ones have some kilobytes,
/// and registries refuse manifests of more than 4 MB.
pub(super) const MAX_JSON: u64 = 8 << 20;

/// Most layers of a base image. Docker takes 125 in an image, and others some hundreds.
pub(super) const MAX_LAYERS: usize = 4096;
