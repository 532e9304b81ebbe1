//! Several digests on one thread, such as those of an archive and of its compressed form.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::lanes::Lanes;
use crate::message::{Block, Message, State, padding};

/// Bytes of a piece, which waits for a piece of another hasher. Who reads and writes with buffers brings
/// a hasher as many bytes at once, and with smaller pieces most would follow one of the same hasher.
const PIECE: usize = 128 * 1024;

/// The lanes, where two messages at once are worth the wait.
static PAIRS: LazyLock<Option<Lanes>> =
    LazyLock::new(|| Lanes::detect().filter(|lanes| lanes.pays_for(2)));

thread_local! {
    /// The hasher whose piece waits, of those that are used on this thread.
    static WAITING: RefCell<Weak<Mutex<Piece>>> = const { RefCell::new(Weak::new()) };
}

/// The SHA-256 of a stream of bytes.
///
/// Hashers that are used in turn on one thread are hashed in pairs, where that is faster: a piece of
/// the one waits for a piece of the other. That is all they have to do with each other: each may be
/// moved to other threads, and a digest never depends on it. A hasher alone has about the speed of
/// `sha2`; where many hashers work on threads of their own, pairs of them need [`Lanes`].
///
/// ```
/// use sha256_lanes::Hasher;
///
/// let (mut one, mut other) = (Hasher::default(), Hasher::default());
/// one.update(b"abc");
/// other.update(b"abcdef");
/// assert_eq!(one.finish()[..2], [0xba, 0x78]);
/// assert_eq!(other.finish()[..2], [0xbe, 0xf5]);
/// ```
#[derive(Debug, Default)]
pub struct Hasher {
    length: u64,
    /// Bytes that are no piece yet.
    rest: Vec<u8>,
    piece: Arc<Mutex<Piece>>,
}

/// Blocks that wait, and the hash of what came before them.
#[derive(Debug, Default)]
struct Piece {
    state: State,
    blocks: Vec<u8>,
}

impl Hasher {
    /// Takes some more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.rest.is_empty() && bytes.len() >= PIECE {
                let (piece, after) = bytes.split_at(PIECE);
                self.take(piece);
                bytes = after;
                continue;
            }
            let count = bytes.len().min(PIECE - self.rest.len());
            self.rest.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.rest.len() == PIECE {
                let mut piece = std::mem::take(&mut self.rest);
                self.take(&piece);
                piece.clear();
                self.rest = piece;
            }
        }
    }

    /// The digest of all bytes.
    pub fn finish(mut self) -> [u8; 32] {
        self.rest.extend(padding(self.length));
        let mut own = lock(&self.piece);
        own.hash_alone();
        compress(&mut own.state, blocks(&self.rest));
        own.state.digest()
    }

    /// Hashes a piece with the one that waits, or has it wait itself.
    fn take(&self, piece: &[u8]) {
        let mut own = lock(&self.piece);
        // Nobody came for the last one.
        own.hash_alone();
        let Some(lanes) = &*PAIRS else {
            compress(&mut own.state, blocks(piece));
            return;
        };
        let waiting = WAITING.take().upgrade();
        // Where its own thread is at it just now, there is no time to wait for that.
        let other = waiting
            .as_ref()
            .filter(|other| !Arc::ptr_eq(other, &self.piece));
        let other = other.and_then(|other| other.try_lock().ok());
        match other.filter(|other| other.blocks.len() == piece.len()) {
            Some(mut other) => {
                let Piece {
                    state,
                    blocks: waited,
                } = &mut *other;
                lanes.compress(&mut [
                    Message {
                        state: &mut own.state,
                        blocks: blocks(piece),
                    },
                    Message {
                        state,
                        blocks: blocks(waited),
                    },
                ]);
                waited.clear();
            }
            None => {
                own.blocks.extend_from_slice(piece);
                WAITING.set(Arc::downgrade(&self.piece));
            }
        }
    }
}

impl Piece {
    fn hash_alone(&mut self) {
        compress(&mut self.state, blocks(&self.blocks));
        self.blocks.clear();
    }
}

/// Whole blocks; all that is hashed here has no rest.
fn blocks(bytes: &[u8]) -> &[Block] {
    bytes.as_chunks().0
}

fn compress(state: &mut State, blocks: &[Block]) {
    sha2::block_api::compress256(&mut state.0, blocks);
}

fn lock(piece: &Mutex<Piece>) -> MutexGuard<'_, Piece> {
    // Nothing panics while it is held.
    piece.lock().unwrap_or_else(PoisonError::into_inner)
}
