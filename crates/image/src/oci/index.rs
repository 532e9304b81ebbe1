//! Indexes of images for several platforms: how one platform's image takes its place in one.
//!
//! Entries are kept as the JSON that they are, so that what others say in them stays.

use serde_json::{Value, json};

use super::{Descriptor, Platform};

/// The annotation by which BuildKit ties an attestation to the manifest that it is about.
const ATTESTS: &str = "vnd.docker.reference.digest";

/// Makes `image` the one for its platform among an index's entries; the others stay, and the
/// order does not depend on that in which they came. What was said about an image that is replaced
/// goes with it.
pub fn put_platform(entries: &mut Vec<Value>, image: &Descriptor) {
    let is_ours = |entry: &Value| match (&image.platform, platform_of(entry)) {
        (Some(ours), Some(other)) => same_platform(ours, &other),
        _ => false,
    };
    let replaced: Vec<String> = entries
        .iter()
        .filter(|entry| is_ours(entry))
        .filter_map(|entry| entry["digest"].as_str().map(str::to_owned))
        .filter(|digest| *digest != image.digest.to_string())
        .collect();
    entries.retain(|entry| {
        let attests = entry["annotations"][ATTESTS].as_str().unwrap_or_default();
        !is_ours(entry) && !replaced.iter().any(|replaced| replaced == attests)
    });
    entries.push(json!(image));
    entries.sort_by_cached_key(|entry| {
        let platform = platform_of(entry).unwrap_or_default();
        (matches!(platform.os.as_str(), "" | "unknown"), platform)
    });
}

/// Whether two platforms mean the same: a variant that is the architecture's only one may be left out.
pub fn same_platform(a: &Platform, b: &Platform) -> bool {
    let variant =
        |platform: &Platform| match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm64", None) => Some("v8".to_owned()),
            ("arm", None) => Some("v7".to_owned()),
            (_, variant) => variant.map(str::to_owned),
        };
    a.os == b.os
        && a.architecture == b.architecture
        && a.os_version == b.os_version
        && variant(a) == variant(b)
}

fn platform_of(entry: &Value) -> Option<Platform> {
    serde_json::from_value(entry.get("platform")?.clone()).ok()
}
