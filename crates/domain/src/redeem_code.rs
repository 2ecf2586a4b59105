//! Redeem codes: `AIO-` and four groups of five letters and digits, such as people type them; the last three characters check
//! the others, so that a typo is told without a look-up.

use crate::Secret;

/// Crockford's base32 in upper case: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &str = "AIO";
/// Characters that check the others.
const CHECKSUM_LEN: usize = 3;
/// Characters between two hyphens.
const GROUP: usize = 5;

/// A well-formed code: its checksum is right. Whether it is worth anything, billing knows.
#[derive(Clone, Debug)]
pub struct RedeemCode(Secret);

// === impl RedeemCode ===

impl RedeemCode {
    /// Random characters: 85 bits.
    pub const RANDOM_LEN: usize = 17;

    /// Makes a code of random numbers, each taken modulo 32.
    pub fn from_random(random: &[u8; Self::RANDOM_LEN]) -> Self {
        let mut letters: String = random.iter().map(|byte| letter(u32::from(*byte))).collect();
        let checksum = checksum(&letters);
        letters.push_str(&checksum);
        Self(Secret::new(grouped(&letters)))
    }

    /// Reads a code as people type it: in either case, with hyphens or spaces or without, with `O` for `0`, and `I` or `L` for `1`.
    /// `None` when the text cannot be a code.
    pub fn parse(text: &str) -> Option<Self> {
        let typed: String = text
            .chars()
            .filter(|character| !matches!(character, '-' | ' '))
            .map(|character| character.to_ascii_uppercase())
            .collect();
        // The prefix is the first three letters, one of which is read as a digit elsewhere.
        let letters: String = typed
            .strip_prefix(PREFIX)?
            .chars()
            .map(|character| match character {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let known = |byte: u8| ALPHABET.contains(&byte);
        if letters.len() != Self::RANDOM_LEN.saturating_add(CHECKSUM_LEN)
            || !letters.bytes().all(known)
        {
            return None;
        }
        let (before, given) = letters.split_at_checked(Self::RANDOM_LEN)?;
        (checksum(before) == given).then(|| Self(Secret::new(grouped(&letters))))
    }

    /// The whole code as it is written, to show once or to compute its MAC.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The last four characters, by which a person tells codes apart.
    pub fn last_four(&self) -> &str {
        let text = self.0.expose();
        text.get(text.len().saturating_sub(4)..).unwrap_or_default()
    }
}

fn letter(number: u32) -> char {
    let digit = usize::try_from(number & 31).unwrap_or(0);
    char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
}

/// The last 15 bits of the CRC-32 (IEEE), the most significant first.
fn checksum(letters: &str) -> String {
    let hash = crc32fast::hash(letters.as_bytes());
    [10, 5, 0]
        .map(|shift| letter(hash.checked_shr(shift).unwrap_or(0)))
        .iter()
        .collect()
}

fn grouped(letters: &str) -> String {
    let mut text = PREFIX.to_owned();
    for (place, character) in letters.chars().enumerate() {
        if place.checked_rem(GROUP) == Some(0) {
            text.push('-');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> RedeemCode {
        RedeemCode::from_random(&std::array::from_fn(|place| {
            u8::try_from(place * 11).unwrap()
        }))
    }

    #[test]
    fn a_made_code_reads_back_however_it_is_typed() {
        let code = some();
        let text = code.expose();
        assert_eq!(text.len(), 27);
        assert!(text.starts_with("AIO-"), "{text}");
        for typed in [
            text.to_owned(),
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            text.replace('0', "o").replace('1', "l"),
        ] {
            let again = RedeemCode::parse(&typed).unwrap();
            assert_eq!(again.expose(), text, "{typed}");
        }
        assert_eq!(code.last_four().len(), 4);
    }

    #[test]
    fn a_typo_is_told() {
        let text = some().expose().to_owned();
        for place in 4..text.len() {
            let before = text.as_bytes()[place];
            if before == b'-' {
                continue;
            }
            let mut typo = text.clone();
            typo.replace_range(place..=place, if before == b'7' { "8" } else { "7" });
            assert!(RedeemCode::parse(&typo).is_none(), "{typo}");
        }
        for text in ["", "AIO", "AIO-", "XIO-00000", &text[..26], "AIO-é"] {
            assert!(RedeemCode::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_code_is_never_printed() {
        assert!(!format!("{:?}", some()).contains("AIO"));
    }
}
