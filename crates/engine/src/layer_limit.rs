//! How many layers an image may have in each engine.
//!
//! overlayfs stacks at most 500 layers (`OVL_MAX_STACK` in Linux' `fs/overlayfs/params.h`). What engines say
//! to it has to fit in a page of 4,096 bytes, the length of mount options, so most stop earlier.

use std::fmt;

use crate::api::Store;
use crate::engine::{Engine, Kind};

/// Most layers of an image in an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerLimit {
    /// Whose limit it is.
    pub of: &'static str,
    /// With so many, containers start.
    pub runs: usize,
    /// With more, no version starts a container or loads the image.
    pub most: usize,
}

impl fmt::Display for LayerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, runs, most } = self;
        let surely = if runs == most { "takes" } else { "surely runs" };
        write!(f, "{of} {surely} no more than {runs}")
    }
}

/// `maxLayerDepth` in moby's `layer/layer_store.go`. Docker 20.10 loads 125 layers and runs them, and
/// refuses 126: "max depth exceeded".
const DOCKER: LayerLimit = LayerLimit {
    of: "Docker's classic store",
    runs: 125,
    most: 125,
};

/// `maxDepth` in containers/storage's `drivers/overlay/overlay.go`, which newer versions may raise to the kernel's
/// limit. podman 4.3 loads more, runs 128 and not 200: "max depth exceeded".
const PODMAN: LayerLimit = LayerLimit {
    of: "podman",
    runs: 128,
    most: 500,
};

/// Mount options name each layer's snapshot by number, in 7 to 11 bytes, so fewer fit in a store that has seen
/// many snapshots. containerd 1.6 and 2.1 and Docker 28 with containerd's store load 1,000 layers, run 400,
/// and not 500: "mount options is too long".
const CONTAINERD: LayerLimit = LayerLimit {
    of: "containerd",
    runs: 400,
    most: 500,
};

/// The limits of all engines, the least first.
pub const LAYER_LIMITS: [LayerLimit; 3] = [DOCKER, PODMAN, CONTAINERD];

impl Engine {
    /// How many layers an image may have in it.
    pub fn layer_limit(&self) -> LayerLimit {
        match &self.kind {
            Kind::Containerd(_) => CONTAINERD,
            Kind::Api(api) => match api.store {
                Store::Classic => DOCKER,
                Store::Containerd => CONTAINERD,
                Store::Podman => PODMAN,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_comes_first() {
        assert!(LAYER_LIMITS.is_sorted_by_key(|limit| limit.runs));
        assert!(LAYER_LIMITS.iter().all(|limit| limit.runs <= limit.most));
    }
}
