//! Small files that ffmpeg made (`tests/files/`), whole, cut and spoilt.

use std::io::Cursor;

use super::*;

macro_rules! file {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../tests/files/", $name)).as_slice(),
        )
    };
}

fn of(bytes: &[u8]) -> Option<Measures> {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    content_type(head).map(|content_type| measure(content_type, Cursor::new(bytes)).unwrap())
}

/// Every file that is kept, with its type, its size, and how long it lasts.
type Row = (
    (&'static str, &'static [u8]),
    &'static str,
    Option<(u32, u32)>,
    Option<u64>,
);

const SEEN: Option<(u32, u32)> = Some((96, 64));

fn table() -> Vec<Row> {
    vec![
        (file!("picture.png"), "image/png", Some((40, 24)), None),
        (file!("picture.jpg"), "image/jpeg", Some((40, 24)), None),
        (file!("picture.webp"), "image/webp", Some((40, 24)), None),
        (file!("film.mp4"), "video/mp4", SEEN, Some(2_400)),
        (file!("first.mp4"), "video/mp4", SEEN, Some(2_400)),
        (file!("sounding.mp4"), "video/mp4", SEEN, Some(2_400)),
        // Made as it goes on, so that nobody has written down how long it became.
        (file!("fragments.mp4"), "video/mp4", SEEN, None),
        (file!("film.mov"), "video/quicktime", SEEN, Some(2_400)),
        (file!("film.webm"), "video/webm", SEEN, Some(2_400)),
        (file!("live.webm"), "video/webm", SEEN, None),
        (file!("sound.m4a"), "audio/mp4", None, Some(1_500)),
        (file!("sound.mp4"), "audio/mp4", None, Some(1_500)),
        (file!("sound.mp3"), "audio/mpeg", None, Some(1_584)),
        (file!("bare.mp3"), "audio/mpeg", None, Some(1_584)),
        (file!("sound.flac"), "audio/flac", None, Some(1_500)),
        (file!("vorbis.ogg"), "audio/ogg", None, Some(1_500)),
        (file!("opus.ogg"), "audio/ogg", None, Some(1_500)),
        (file!("sound.wav"), "audio/wav", None, Some(250)),
    ]
}

#[test]
fn a_file_is_measured() {
    for ((name, bytes), content_type, size, millis) in table() {
        let expected = Measures {
            content_type,
            size,
            millis,
        };
        assert_eq!(of(bytes), Some(expected), "{name}");
    }
}

#[test]
fn what_is_neither_picture_nor_video_nor_sound_is_not_kept() {
    for (name, bytes) in [
        file!("picture.gif"),
        file!("film.avi"),
        file!("film.mkv"),
        file!("sound.aac"),
        ("nothing", b""),
        ("a page", b"<!DOCTYPE html><html>Sorry</html>"),
        ("an answer", br#"{"error": "sorry"}"#),
        ("a document", b"%PDF-1.7\n"),
        ("an archive", b"PK\x03\x04\0\0"),
        ("a text", b"\xff\xfea\0b\0"),
        ("a modern picture", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1"),
    ] {
        assert_eq!(of(bytes), None, "{name}");
    }
}

/// Whether a file of which a part is gone may be taken for this: without its tracks nobody knows a film from a sound.
fn is_like(found: &'static str, kind: &'static str) -> bool {
    found == kind
        || [found, kind]
            .iter()
            .all(|one| [MP4, MP4_SOUND].contains(one))
}

/// Places in a file, at most some hundred of them.
fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    (0..bytes.len()).step_by(bytes.len() / 400 + 1)
}

#[test]
fn a_cut_file_is_kept_with_what_can_be_read_of_it() {
    for ((name, bytes), kind, size, _) in table() {
        for length in places(bytes) {
            let Some(found) = of(&bytes[..length]) else {
                assert!(length < 64, "{name} {length}");
                continue;
            };
            assert!(is_like(found.content_type, kind), "{name} {length}");
            let seen = found.size.is_none() || found.size == size;
            assert!(seen, "{name} {length}");
        }
    }
}

#[test]
fn a_spoilt_file_keeps_its_type() {
    for ((name, bytes), kind, ..) in table() {
        for at in places(bytes).filter(|at| *at >= 64) {
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut spoilt = bytes.to_vec();
                spoilt[at..].iter_mut().take(4).for_each(|old| *old = byte);
                // A library may stumble: whoever calls does not fall with it.
                let Ok(found) = std::panic::catch_unwind(|| of(&spoilt)) else {
                    continue;
                };
                let found = found.unwrap();
                assert!(is_like(found.content_type, kind), "{name} {at} {byte}");
            }
        }
    }
}

/// A file whose disk gives nothing behind its first bytes.
struct Broken(Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.position() >= 64 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let most = buffer.len().min(64);
        self.0.read(&mut buffer[..most])
    }
}

impl Seek for Broken {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.0.seek(place)
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_one_that_does_not_say() {
    for ((name, bytes), content_type, ..) in table() {
        let broken = Broken(Cursor::new(bytes.to_vec()));
        // Some say all that is wanted in their first bytes.
        match measure(content_type, broken) {
            Ok(measures) => assert!(content_type.starts_with("image/"), "{name}: {measures:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}"),
        }
    }
    let nonsense = Cursor::new(vec![0; 4096]);
    let nothing = Measures::unknown(WEBM);
    assert_eq!(measure(WEBM, nonsense).unwrap(), nothing);
}
