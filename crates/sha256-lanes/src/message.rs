//! Messages and the state of their hashes (FIPS 180-4, 5).

/// What SHA-256 works on: messages are padded to whole blocks.
pub type Block = [u8; 64];

/// The state of a message's hash: FIPS 180-4, 5.3.3 to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(pub(crate) [u32; 8]);

impl Default for State {
    fn default() -> Self {
        Self([
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ])
    }
}

impl State {
    /// The digest, once the [`padding`] was taken in.
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (out, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *out = word.to_be_bytes();
        }
        bytes
    }
}

/// The bytes that end a message of `length` bytes, up to the end of a block: a one, zeros, and the
/// length in bits (FIPS 180-4, 5.1.1). They are between 9 and 72.
pub fn padding(length: u64) -> impl Iterator<Item = u8> {
    let zeros = 63 - (length + 8) % 64;
    std::iter::once(0x80)
        .chain(std::iter::repeat_n(0, zeros as usize))
        .chain((length * 8).to_be_bytes())
}

/// Blocks that are to be taken into a state.
pub struct Message<'a> {
    /// What was taken in before.
    pub state: &'a mut State,
    /// What is taken in next, or the start of it.
    pub blocks: &'a [Block],
}
