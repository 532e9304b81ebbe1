//! How a registry differs from the protocol, as a push learns it from refusals. All uploads of a push
//! share it, so each refusal happens once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The size of a piece in bytes once the registry has refused a blob as too large; pieces shrink
/// further if need be, to the smallest. Proxies are known to refuse 100 MB (Cloudflare), some 50 MB.
const PIECE: u64 = 32 << 20;

/// nginx's default limit. A proxy that refuses this refuses the manifests of most images, too.
const SMALLEST_PIECE: u64 = 1 << 20;

/// How one registry differs from the protocol.
#[derive(Default)]
pub(crate) struct Quirks {
    no_patch: AtomicBool,
    no_expect: AtomicBool,
    /// The largest request's body in bytes; 0 for no limit.
    piece: AtomicU64,
}

impl Quirks {
    /// Whether blobs can be sent by PATCH, in parts or without a length.
    pub(crate) fn takes_patch(&self) -> bool {
        !self.no_patch.load(Ordering::Relaxed)
    }

    /// The registry refused a PATCH.
    pub(crate) fn patch_refused(&self) {
        self.no_patch.store(true, Ordering::Relaxed);
    }

    /// Whether everything on the way knows `Expect: 100-continue`.
    pub(crate) fn takes_expect(&self) -> bool {
        !self.no_expect.load(Ordering::Relaxed)
    }

    /// `Expect` was refused. False if that was known, so that asking again without it is useless.
    pub(crate) fn expect_refused(&self) -> bool {
        !self.no_expect.swap(true, Ordering::Relaxed)
    }

    /// The largest body of a request in bytes, where there is a limit.
    pub(crate) fn piece(&self) -> Option<u64> {
        Some(self.piece.load(Ordering::Relaxed)).filter(|piece| *piece > 0)
    }

    /// A body of this many bytes, or of unknown length, was too large: smaller pieces come next.
    /// False if there are none.
    pub(crate) fn too_large(&self, tried: Option<u64>) -> bool {
        let tried = tried.unwrap_or(u64::MAX);
        if !self.takes_patch() || tried <= SMALLEST_PIECE {
            return false;
        }
        let smaller = (tried / 4).clamp(SMALLEST_PIECE, PIECE);
        // Another upload may have found a smaller limit meanwhile.
        let _ = self
            .piece
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |piece| {
                (piece == 0 || piece >= tried).then_some(smaller)
            });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_once_for_uploads_that_are_refused_at_the_same_time() {
        let quirks = Quirks::default();
        assert!(quirks.too_large(None));
        assert_eq!(quirks.piece(), Some(PIECE));
        assert!(quirks.too_large(Some(PIECE)));
        assert_eq!(quirks.piece(), Some(PIECE / 4));
        // What was sent before that limit was known.
        for tried in [None, Some(PIECE), Some(1 << 40)] {
            assert!(quirks.too_large(tried));
            assert_eq!(quirks.piece(), Some(PIECE / 4));
        }
        // A whole blob that is smaller than a piece.
        assert!(quirks.too_large(Some(3_000_000)));
        assert_eq!(quirks.piece(), Some(SMALLEST_PIECE));
        assert!(quirks.too_large(Some(3_000_000)));
        assert!(!quirks.too_large(Some(SMALLEST_PIECE)));
    }
}
