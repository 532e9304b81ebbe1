//! A bound on how many layers are made at once, since each takes memory while it is compressed.

use std::sync::{Condvar, Mutex, PoisonError};

/// So many can be held at once.
pub(super) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

/// One of them, until it is dropped.
pub(super) struct Permit<'a>(&'a Permits);

impl Permits {
    /// So many.
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            returned: Condvar::new(),
        }
    }

    /// Waits for one.
    pub(super) fn take(&self) -> Permit<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let free = &self.0.free;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}
