//! What a push reports while it runs, and its summary at the end.

use std::sync::atomic::{AtomicU64, Ordering};

use oci::Digest;

/// How a blob came to be in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The repository already had it.
    Present,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

/// A blob that is in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How it came there.
    pub how: Arrival,
}

/// What happens to a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// It is being sent.
    Sending {
        /// Bytes of it that were sent so far; fewer than before if a connection broke.
        sent: u64,
        /// Its size, where that is known already.
        size: Option<u64>,
        /// Bytes of all blobs of the push that were sent so far.
        all: u64,
    },
    /// Sending failed; it is repeated after a pause.
    Waiting {
        /// What went wrong.
        why: &'a str,
    },
    /// The repository has it.
    Arrived(Arrived),
}

/// Watches a push. Called from several threads, often: it must be quick.
pub trait Observer: Sync {
    /// Reports an event of the blob of this [`name`](crate::Blob::name).
    fn event(&self, name: &str, event: &Event<'_>);
}

/// Watches nothing.
impl Observer for () {
    fn event(&self, _: &str, _: &Event<'_>) {}
}

/// What a push did. A blob that occurs twice counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Blobs that the repository already had.
    pub present: usize,
    /// Blobs taken over from other repositories.
    pub mounted: usize,
    /// Blobs that were sent.
    pub sent: usize,
    /// Bytes of the blobs that were sent.
    pub bytes_sent: u64,
    /// Bytes of all blobs.
    pub bytes: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, arrived: &Arrived) {
        self.bytes += arrived.size;
        match arrived.how {
            Arrival::Present => self.present += 1,
            Arrival::Mounted => self.mounted += 1,
            Arrival::Sent => {
                self.sent += 1;
                self.bytes_sent += arrived.size;
            }
        }
    }
}

/// Counts the bytes of one blob, and of all.
pub(crate) struct Meter<'a> {
    observer: &'a dyn Observer,
    all: &'a AtomicU64,
    name: String,
    sent: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(observer: &'a dyn Observer, all: &'a AtomicU64, name: String) -> Self {
        Self {
            observer,
            all,
            name,
            sent: 0,
        }
    }

    /// `sent` bytes of the blob have gone out.
    pub(crate) fn sending(&mut self, sent: u64, size: Option<u64>) {
        // The sum wraps around where a blob starts over, and is right again afterwards.
        let step = sent.wrapping_sub(self.sent);
        let all = self
            .all
            .fetch_add(step, Ordering::Relaxed)
            .wrapping_add(step);
        self.sent = sent;
        self.event(&Event::Sending { sent, size, all });
    }

    pub(crate) fn event(&self, event: &Event<'_>) {
        self.observer.event(&self.name, event);
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
