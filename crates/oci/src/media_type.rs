//! Media types of documents and layers: the OCI's, and Docker's for the same things.

/// An image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An index: several manifests under one name.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The JSON `{}`, where a manifest must name a configuration and has none.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// A layer that is not compressed.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer in gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer in zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Docker's form of [`MANIFEST`].
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's form of [`INDEX`].
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Whether this is an index, in either form.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_INDEX)
}

/// Whether this is an image's manifest, in either form.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}

/// The OCI's type for a layer of either form; nothing for what is not a layer, or is compressed in
/// another way.
pub fn oci_layer(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        LAYER | "application/vnd.docker.image.rootfs.diff.tar" => LAYER,
        LAYER_GZIP | "application/vnd.docker.image.rootfs.diff.tar.gzip" => LAYER_GZIP,
        LAYER_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => LAYER_ZSTD,
        _ => return None,
    })
}

/// Whether registries need not have this layer: Docker's foreign layers, and the
/// non-distributable ones of OCI.
pub fn is_foreign_layer(media_type: &str) -> bool {
    media_type.contains(".foreign.") || media_type.contains(".nondistributable.")
}
