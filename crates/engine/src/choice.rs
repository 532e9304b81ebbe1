//! Kinds of engines.

/// A kind of engine that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The first that is found.
    Any,
    /// Docker.
    Docker,
    /// podman.
    Podman,
    /// containerd by itself.
    Containerd,
}

impl Choice {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "container engine",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
        }
    }
}
