//! Sounds that are the body of an answer: read whole, and handed over as a file. Samples that come without a header are given that of a
//! WAV file, so that what they are is told by their bytes, as of everything that is kept. Who listens hears them as they come.

use base64::{Engine as _, encoded_len, engine::general_purpose::STANDARD};
use futures::StreamExt as _;
use http::{HeaderMap, header::CONTENT_TYPE};
use prost::bytes::{Bytes, BytesMut};
use upstream::{Failure, Reply};

use super::wire;
use crate::listen::{Ear, Wants};

/// What the file is called on its way to where it is kept: what it is, its bytes say.
const ANY: &str = "application/octet-stream";
/// Content types of words, in whose place a sound was asked for.
const WORDS: [&str; 2] = ["application/json", "text/"];
/// Bytes of a sample, of one channel.
const SAMPLE: u32 = 2;
/// Bytes of a WAV file's header behind the length that it begins with, up to the samples.
const HEAD: u32 = 36;

/// The sound in an answer, as a URL that is the file itself. `rate`: it is samples of 16 bits alone, so many a second, of one channel. `ear`: who
/// listens meanwhile.
///
/// # Errors
/// When it does not come whole, or is none.
pub(super) async fn file(
    reply: Reply,
    rate: Option<u32>,
    ear: Option<&Ear>,
) -> Result<String, Failure> {
    let wrong = || Failure::malformed("the answer to a submit has no sound");
    if is_words(reply.headers()) {
        return Err(wrong());
    }
    let bytes = match ear.filter(|ear| ear.wants(kind(rate))) {
        Some(ear) => aloud(reply, ear).await?,
        None => reply.bytes().await?,
    };
    if bytes.is_empty() {
        return Err(wrong());
    }
    match rate {
        None => Ok(url(&[], &bytes)),
        Some(rate) => {
            // Half a sample at their end is none.
            let whole = bytes.len().saturating_sub(bytes.len() % 2);
            let samples = bytes.get(..whole).unwrap_or_default();
            let head = wav(samples.len(), rate).ok_or_else(wrong)?;
            Ok(url(&head, samples))
        }
    }
}

/// What a sound comes as, by the rate of its samples, if it is nothing else.
pub(super) const fn kind(rate: Option<u32>) -> Wants {
    match rate {
        None => Wants::File,
        Some(_) => Wants::Samples,
    }
}

/// The whole sound, each piece of which is heard as it comes.
async fn aloud(reply: Reply, ear: &Ear) -> Result<Bytes, Failure> {
    let (mut body, mut whole) = (reply.into_body(), BytesMut::new());
    let mut telling = ear.telling();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        whole.extend_from_slice(&piece);
        telling.tell(&whole, piece);
    }
    Ok(whole.freeze())
}

/// A file of these two parts as a URL. It may be large: there is only one more of it than what came.
fn url(head: &[u8], rest: &[u8]) -> String {
    let before = wire::data_url(ANY, String::new());
    // Four letters are three bytes, and only the last ones may be fewer.
    let lacks = head.len().next_multiple_of(3).saturating_sub(head.len());
    let (first, rest) = rest.split_at(lacks.min(rest.len()));
    let first = [head, first].concat();
    let letters = [first.len(), rest.len()].map(|bytes| encoded_len(bytes, true));
    let letters = letters
        .into_iter()
        .flatten()
        .fold(before.len(), usize::saturating_add);
    let mut url = String::with_capacity(letters);
    url.push_str(&before);
    STANDARD.encode_string(first, &mut url);
    STANDARD.encode_string(rest, &mut url);
    url
}

fn is_words(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    WORDS.iter().any(|words| kind.starts_with(words))
}

/// What makes a WAV file of so many bytes of samples: linear PCM, one channel of 16 bits.
fn wav(bytes: usize, rate: u32) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes).ok()?;
    let (all, a_second) = (length.checked_add(HEAD)?, rate.checked_mul(SAMPLE)?);
    let parts: [&[u8]; 7] = [
        b"RIFF",
        &all.to_le_bytes(),
        b"WAVEfmt \x10\0\0\0\x01\0\x01\0",
        &rate.to_le_bytes(),
        &a_second.to_le_bytes(),
        b"\x02\0\x10\0data",
        &length.to_le_bytes(),
    ];
    Some(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_a_file_that_says_how_long_it_is() {
        let second = vec![7; 48_000];
        let file = wav(second.len(), 24_000).unwrap();
        assert_eq!(file.len(), 44);
        let head = b"RIFF\xa4\xbb\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\xc0\x5d\0\0\x80\xbb\0\0\x02\0\x10\0data\x80\xbb\0\0";
        assert_eq!(file.get(..44), Some(head.as_slice()));
        assert_eq!(crate::measure::content_type(&file), Some("audio/wav"));
        assert_eq!(wav(second.len(), u32::MAX), None);
        for rest in [0, 1, 2, 3, 48_000] {
            let rest = &second[..rest];
            let whole = STANDARD.encode([file.as_slice(), rest].concat());
            let made = url(&file, rest);
            assert_eq!(made, wire::data_url(ANY, whole), "{}", rest.len());
            assert_eq!(made.capacity(), made.len());
        }
    }

    #[test]
    fn words_in_the_place_of_a_sound_are_none() {
        for (kind, is) in [
            ("application/json; charset=utf-8", true),
            ("text/html", true),
            ("Text/Plain", true),
            ("audio/mpeg", false),
            ("application/octet-stream", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(is_words(&headers), is, "{kind}");
        }
        assert!(!is_words(&HeaderMap::new()));
    }
}
