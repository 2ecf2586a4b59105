//! API keys: `aio_` or `aio_test_`, 36 base62 characters, and a checksum that lets a typo be refused without a look-up.

use crate::{Mode, Secret};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LIVE_PREFIX: &str = "aio_";
const TEST_PREFIX: &str = "aio_test_";
const CHECKSUM_LEN: usize = 6;

/// A well-formed API key: its checksum is right. Whether it opens anything, billing knows.
#[derive(Clone, Debug)]
pub struct ApiKey {
    text: Secret,
    mode: Mode,
}

/// Why a text is not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    /// Wrong prefix, length or characters.
    #[error("not an API key: expected aio_ or aio_test_ and 42 letters and digits")]
    Shape,
    /// The last six characters do not match the rest: a typo, or made up.
    #[error("the key's checksum is wrong: it was mistyped or cut")]
    Checksum,
}

// === impl ApiKey ===

impl ApiKey {
    /// Random characters: about 214 bits.
    pub const RANDOM_LEN: usize = 36;
    /// Bytes of the longest key.
    pub const MAX_LEN: usize = TEST_PREFIX.len() + Self::RANDOM_LEN + CHECKSUM_LEN;

    /// Makes a key of random numbers, each taken modulo 62.
    pub fn from_random(mode: Mode, random: &[u8; Self::RANDOM_LEN]) -> Self {
        let mut text = String::from(prefix(mode));
        text.extend(random.iter().map(|byte| base62(u32::from(*byte))));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self {
            text: Secret::new(text),
            mode,
        }
    }

    /// Reads a key and checks its checksum.
    ///
    /// # Errors
    /// When the text cannot be a key.
    pub fn parse(text: &str) -> Result<Self, KeyFormatError> {
        let mode = if text.starts_with(TEST_PREFIX) {
            Mode::Test
        } else {
            Mode::Live
        };
        let body = text
            .strip_prefix(prefix(mode))
            .ok_or(KeyFormatError::Shape)?;
        if body.len() != Self::RANDOM_LEN.saturating_add(CHECKSUM_LEN)
            || !body.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err(KeyFormatError::Shape);
        }
        let (before, given) = text
            .split_at_checked(text.len().saturating_sub(CHECKSUM_LEN))
            .ok_or(KeyFormatError::Shape)?;
        if checksum(before) != given {
            return Err(KeyFormatError::Checksum);
        }
        Ok(Self {
            text: Secret::new(text),
            mode,
        })
    }

    /// Which balance the key spends.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The whole key, to show once or to compute its MAC.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The last four characters, by which a person tells keys apart.
    pub fn last_four(&self) -> &str {
        let text = self.text.expose();
        text.get(text.len().saturating_sub(4)..).unwrap_or_default()
    }
}

const fn prefix(mode: Mode) -> &'static str {
    match mode {
        Mode::Test => TEST_PREFIX,
        Mode::Live => LIVE_PREFIX,
    }
}

fn base62(number: u32) -> char {
    let digit = usize::try_from(number.checked_rem(62).unwrap_or(0)).unwrap_or(0);
    char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
}

/// CRC-32 (IEEE) in base62, most significant digit first, padded with `0` to six.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = ['0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = base62(rest);
        rest = rest.checked_div(62).unwrap_or(0);
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_vectors() {
        for (text, mode) in [
            ("aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd", Mode::Live),
            (
                "aio_test_abcdefghijklmnopqrstuvwxyz012345678936EN0g",
                Mode::Test,
            ),
        ] {
            assert_eq!(ApiKey::parse(text).unwrap().mode(), mode);
        }
    }

    #[test]
    fn a_made_key_reads_back() {
        for mode in [Mode::Test, Mode::Live] {
            let random = std::array::from_fn(|i| u8::try_from(i * 7).unwrap());
            let key = ApiKey::from_random(mode, &random);
            let again = ApiKey::parse(key.expose()).unwrap();
            assert_eq!((again.expose(), again.mode()), (key.expose(), mode));
            assert!(key.expose().len() <= ApiKey::MAX_LEN);
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for (text, error) in [
            ("", KeyFormatError::Shape),
            ("sk-123", KeyFormatError::Shape),
            ("aio_your_api_key", KeyFormatError::Shape),
            (
                "aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOe",
                KeyFormatError::Checksum,
            ),
            (
                "aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYé4JxuO",
                KeyFormatError::Shape,
            ),
            (
                "aio_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd",
                KeyFormatError::Checksum,
            ),
        ] {
            assert_eq!(ApiKey::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = ApiKey::parse("aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd").unwrap();
        assert!(!format!("{key:?}").contains("0123"));
    }
}
