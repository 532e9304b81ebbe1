//! What a push learns about how its registry takes blobs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The size of a piece once the registry has refused a blob as too large; it shrinks further if
/// need be, to the limit.
const PIECE: u64 = 32 << 20;
const SMALLEST_PIECE: u64 = 1 << 20;

/// What the uploads of one push have in common.
pub(crate) struct Manner {
    /// Set when a blob failed: the others stop.
    pub(crate) stop: AtomicBool,
    /// Set when the registry takes no PATCH.
    pub(crate) patch_refused: AtomicBool,
    /// Set when something on the way does not know `Expect`.
    pub(crate) expect_refused: AtomicBool,
    /// The largest request's body in bytes; 0 for no limit.
    piece: AtomicU64,
}

impl Manner {
    pub(crate) fn new(piece: Option<u64>) -> Self {
        Self {
            stop: AtomicBool::new(false),
            patch_refused: AtomicBool::new(false),
            expect_refused: AtomicBool::new(false),
            piece: AtomicU64::new(piece.unwrap_or(0)),
        }
    }

    pub(crate) fn piece(&self) -> Option<u64> {
        Some(self.piece.load(Ordering::Relaxed)).filter(|piece| *piece > 0)
    }

    /// Takes smaller pieces than the one of `tried` bytes; false if there are none.
    pub(crate) fn shrink(&self, tried: Option<u64>) -> bool {
        if self.patch_refused.load(Ordering::Relaxed)
            || tried.is_some_and(|tried| tried <= SMALLEST_PIECE)
        {
            return false;
        }
        let smaller = tried.map_or(PIECE, |tried| (tried / 4).clamp(SMALLEST_PIECE, PIECE));
        self.piece.store(smaller, Ordering::Relaxed);
        true
    }
}
