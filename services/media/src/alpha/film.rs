//! Whether there is an alpha channel in a film, by how it begins: a WebM says so of its track, and of QuickTime the codec tells. Pure.

/// What Matroska begins with, and its elements on the way to what a track says of its alpha channel.
const EBML: u32 = 0x1A45_DFA3;
const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK: u32 = 0xAE;
const VIDEO: u32 = 0xE0;
const ALPHA_MODE: u32 = 0x53C0;
/// The longest name of an element, and the longest of its lengths.
const LONGEST_NAME: u32 = 4;
const LONGEST_LENGTH: u32 = 8;
/// What names the codec of a track in an ISO media file, and where behind that name the codec's own is.
const CODECS: &[u8] = b"stsd";
const CODEC: std::ops::Range<usize> = 12..16;
/// Codecs of QuickTime without alpha: H.264, and ProRes 422.
pub(super) const OPAQUE: [&[u8]; 6] = [b"avc1", b"avc3", b"apch", b"apcn", b"apcs", b"apco"];

/// Whether a film certainly has none. One that does not say so in its beginning may have one.
pub(super) fn is_opaque(head: &[u8]) -> bool {
    match head.get(4..12) {
        Some(b"ftypqt  ") => is_opaque_mov(head),
        // Nothing that makes an MP4 here puts one in it.
        Some(kind) if kind.starts_with(b"ftyp") => true,
        Some(_) | None => is_opaque_webm(head).unwrap_or(false),
    }
}

fn is_opaque_mov(head: &[u8]) -> bool {
    let places = head.windows(CODECS.len()).enumerate();
    let places = places.filter(|(_, name)| *name == CODECS);
    let mut codecs = places.filter_map(|(at, _)| {
        let behind = head.get(at..)?.get(CODECS.len()..)?;
        behind.get(CODEC)
    });
    codecs.any(|codec| OPAQUE.contains(&codec))
}

/// `None`: it is no Matroska, or does not tell.
fn is_opaque_webm(head: &[u8]) -> Option<bool> {
    let mut all = Elements(head);
    all.next().filter(|element| element.name == EBML)?;
    let segment = all.next().filter(|element| element.name == SEGMENT)?;
    let mut parts = Elements(segment.body);
    let tracks = parts.find(|element| element.name == TRACKS)?;
    // What is not there may hold it.
    if !tracks.is_whole {
        return None;
    }
    let within = |body, name| Elements(body).filter(move |element| element.name == name);
    let videos = within(tracks.body, TRACK).flat_map(|track| within(track.body, VIDEO));
    let mut modes = videos.flat_map(|video| within(video.body, ALPHA_MODE));
    Some(!modes.any(|mode| mode.body.iter().any(|byte| *byte != 0)))
}

/// An element of Matroska.
struct Element<'a> {
    name: u32,
    /// As much of it as is there.
    body: &'a [u8],
    is_whole: bool,
}

/// Elements, one after the other, as far as they are there.
struct Elements<'a>(&'a [u8]);

// === impl Elements ===

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let first = self.0.first()?;
        let (name, rest) = number(self.0, first.leading_zeros(), LONGEST_NAME)?;
        let zeros = rest.first()?.leading_zeros();
        let (length, rest) = number(rest, zeros, LONGEST_LENGTH)?;
        // Its first bits say how many bytes it has. All ones mean that nobody knows: to the end.
        let bits = zeros.checked_add(1)?.checked_mul(7)?;
        let most = 1_u64.checked_shl(bits)?.checked_sub(1)?;
        let length = length & most;
        let length = if length == most {
            usize::MAX
        } else {
            usize::try_from(length).unwrap_or(usize::MAX)
        };
        let (body, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        Some(Element {
            name: u32::try_from(name).ok()?,
            body,
            is_whole: body.len() == length,
        })
    }
}

/// A number of as many bytes as there are zeros before it, and one more.
fn number(bytes: &[u8], zeros: u32, longest: u32) -> Option<(u64, &[u8])> {
    let length = zeros.checked_add(1).filter(|length| *length <= longest)?;
    let (number, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    let number = number
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(name: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap() | 0x1000_0000;
        [name, &length.to_be_bytes(), body].concat()
    }

    /// A film whose track says this of its alpha channel, and that goes on behind that.
    fn webm(mode: Option<u8>) -> Vec<u8> {
        let mut video = element(&[0xB0], &[1, 0]);
        if let Some(mode) = mode {
            video.extend(element(&[0x53, 0xC0], &[0, mode]));
        }
        let track = [element(&[0xD7], &[1]), element(&[0xE0], &video)].concat();
        let tracks = element(&[0x16, 0x54, 0xAE, 0x6B], &element(&[0xAE], &track));
        let info = element(&[0x15, 0x49, 0xA9, 0x66], &[0; 40]);
        let pictures = element(&[0x1F, 0x43, 0xB6, 0x75], &[0; 99]);
        let segment = [info, tracks, pictures].concat();
        let head = element(&[0x1A, 0x45, 0xDF, 0xA3], b"\x42\x82\x84webm");
        // How long it is, nobody knew when it was written.
        [
            &head[..],
            &[0x18, 0x53, 0x80, 0x67, 0x01],
            &[0xFF; 7],
            &segment,
        ]
        .concat()
    }

    fn mov(brand: &[u8; 4], codecs: &[&[u8; 4]]) -> Vec<u8> {
        let mut file = [b"\0\0\0\x14ftyp", &brand[..], &[0; 8]].concat();
        for codec in codecs {
            file.extend(b"\0\0\0\x60stsd\0\0\0\0\0\0\0\x01\0\0\0\x50");
            file.extend(*codec);
            file.extend([0; 76]);
        }
        file
    }

    #[test]
    fn a_film_says_whether_it_has_alpha() {
        for (film, opaque) in [
            (webm(Some(1)), false),
            (webm(Some(0)), true),
            (webm(None), true),
            (mov(b"qt  ", &[b"ap4h"]), false),
            (mov(b"qt  ", &[b"mp4a", b"ap4h"]), false),
            (mov(b"qt  ", &[b"mp4a", b"avc1"]), true),
            (mov(b"qt  ", &[b"apch"]), true),
            // What it is made of stands behind its pictures, where it is seen when it is measured.
            (mov(b"qt  ", &[]), false),
            (mov(b"isom", &[b"avc1"]), true),
            (b"\x89PNG\r\n\x1a\n and so on".to_vec(), false),
            (Vec::new(), false),
        ] {
            assert_eq!(is_opaque(&film), opaque, "{film:x?}");
        }
    }

    #[test]
    fn what_is_cut_off_does_not_tell() {
        let film = webm(None);
        let pictures = film
            .windows(4)
            .position(|name| name == [0x1F, 0x43, 0xB6, 0x75]);
        let (before, _) = film.split_at(pictures.unwrap());
        assert!(is_opaque(before));
        for length in 0..before.len() {
            assert!(!is_opaque(&film[..length]), "{length}");
        }
    }
}
