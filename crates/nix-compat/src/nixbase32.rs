//! Nix's base 32: 32 characters without `e`, `o`, `t` and `u`, least significant bits first, and
//! the whole text reversed.

use std::sync::LazyLock;

use data_encoding::{BitOrder, Encoding, Specification};

/// The alphabet, in the order of the values that the characters stand for.
const ALPHABET: &str = "0123456789abcdfghijklmnpqrsvwxyz";

static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str(ALPHABET);
    specification.bit_order = BitOrder::LeastSignificantFirst;
    #[expect(
        clippy::expect_used,
        reason = "a constant specification, seen by every test"
    )]
    specification
        .encoding()
        .expect("the alphabet has 32 different characters")
});

/// Whether a character is of the alphabet.
pub fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase() && !matches!(byte, b'e' | b'o' | b't' | b'u')
}

/// Encodes bytes.
pub fn encode(bytes: &[u8]) -> String {
    ENCODING.encode(bytes).chars().rev().collect()
}

/// Decodes text; `None` where a character or the number of them is wrong, or unused bits are set.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let reversed: Vec<u8> = text.bytes().rev().collect();
    ENCODING.decode(&reversed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_nothing_is_what_nix_hash_prints() {
        let digest = data_encoding::HEXLOWER
            .decode(b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
            .unwrap();
        let text = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
        assert_eq!(encode(&digest), text);
        assert_eq!(decode(text).unwrap(), digest);
    }

    #[test]
    fn digits_are_those_of_the_alphabet() {
        for byte in 0..=u8::MAX {
            let is_in_alphabet = ALPHABET.as_bytes().contains(&byte);
            assert_eq!(is_digit(byte), is_in_alphabet, "{byte}");
        }
    }

    #[test]
    fn wrong_text_is_refused() {
        for text in ["e", "0mdqA", "!", "zz"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
