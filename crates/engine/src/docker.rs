//! What is particular to Docker's API, from 1.24 (Docker 1.12) on.

use serde_json::Value;

/// Path of the part of the API that handles images. It names no version: the engine then answers
/// with its own newest one, and all that is asked for here is in each of them.
pub(crate) const IMAGES: &str = "/images";

/// Asks of an image which of its manifests' blobs are there. Docker's containerd store understands
/// it from 28.0 on; older ones ignore it.
pub(crate) const WITH_MANIFESTS: &[(&str, &str)] = &[("manifests", "true")];

/// Bytes that take about as long to send as one more image takes to inspect.
pub(crate) const WORTH_ASKING: u64 = 1 << 20;

/// Whether the answer to `GET /info` is that of a Docker with containerd's store, the default from
/// 29 on.
pub(crate) fn has_containerd_store(info: &Value) -> bool {
    let status = info.get("DriverStatus").and_then(Value::as_array);
    status.into_iter().flatten().any(|pair| {
        pair.get(0).and_then(Value::as_str) == Some("driver-type")
            && pair.get(1).and_then(Value::as_str) == Some("io.containerd.snapshotter.v1")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_drivers_status_names_the_store() {
        let info = json!({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]});
        assert!(has_containerd_store(&info));
        let info =
            json!({"DriverStatus": [["Backing Filesystem", "extfs"], ["userxattr", "false"]]});
        assert!(!has_containerd_store(&info));
        assert!(!has_containerd_store(&json!({})));
    }
}
