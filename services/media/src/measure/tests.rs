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

const BOTH: [By; 2] = [By::Head, By::Count];

fn of(bytes: &[u8], by: By) -> Option<Measures> {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    content_type(head).map(|content_type| measure(content_type, Cursor::new(bytes), by).unwrap())
}

fn lasts(bytes: &[u8], by: By) -> Option<u64> {
    of(bytes, by).and_then(|found| found.millis)
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
        // Made as it goes on, so that nobody has written down how long it became: its fragments tell.
        (file!("fragments.mp4"), "video/mp4", SEEN, Some(2_400)),
        (file!("film.mov"), "video/quicktime", SEEN, Some(2_400)),
        (file!("film.webm"), "video/webm", SEEN, Some(2_400)),
        // The same, and its last frame tells.
        (file!("live.webm"), "video/webm", SEEN, Some(2_400)),
        (file!("sound.m4a"), "audio/mp4", None, Some(1_500)),
        (file!("sound.mp4"), "audio/mp4", None, Some(1_500)),
        (file!("sound.mp3"), "audio/mpeg", None, Some(1_584)),
        (file!("bare.mp3"), "audio/mpeg", None, Some(1_584)),
        (file!("sound.flac"), "audio/flac", None, Some(1_500)),
        (file!("vorbis.ogg"), "audio/ogg", None, Some(1_500)),
        (file!("opus.ogg"), "audio/ogg", None, Some(1_500)),
        (file!("sound.wav"), "audio/wav", None, Some(250)),
        (file!("sound.aac"), "audio/aac", None, Some(1_600)),
    ]
}

#[test]
fn a_file_is_measured() {
    for ((name, bytes), content_type, size, millis) in table() {
        let expected = Measures {
            content_type,
            size,
            millis,
            // Its index stands behind its pictures.
            is_opaque: name == "film.mov",
        };
        for by in BOTH {
            assert_eq!(of(bytes, by), Some(expected), "{name} {by:?}");
        }
    }
}

/// A file with these bytes in the place of others, which it has once.
fn with(file: &[u8], name: &[u8], after: usize, bytes: &[u8]) -> Vec<u8> {
    let mut places = (0..file.len()).filter(|at| file[*at..].starts_with(name));
    let at = places.next().unwrap() + after;
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn a_head_that_says_less_than_there_is_is_not_believed() {
    let (_, tagged) = file!("sound.mp3");
    let (_, bare) = file!("bare.mp3");
    let (_, opus) = file!("opus.ogg");
    let (_, flac) = file!("sound.flac");
    let (_, sound) = file!("sound.m4a");
    let (_, film) = file!("film.mp4");
    let (_, webm) = file!("film.webm");
    for (name, file, told, counted) in [
        ("mp3", [tagged, bare, bare].concat(), 1_584, 4_752),
        ("ogg", [opus, opus, opus].concat(), 1_500, 4_500),
        (
            "flac",
            with(flac, b"fLaC", 22, &160_u32.to_be_bytes()),
            10,
            1_500,
        ),
        // A tenth of a second, as the whole has it; its track has more.
        ("m4a", with(sound, b"mvhd", 20, &[0, 0, 0, 100]), 100, 1_564),
        ("mp4", with(film, b"mvhd", 20, &[0, 0, 0, 100]), 100, 2_400),
        (
            "webm",
            with(webm, &[0x44, 0x89, 0x88], 3, &100_f64.to_be_bytes()),
            100,
            2_400,
        ),
    ] {
        assert_eq!(lasts(&file, By::Head), Some(told), "{name}");
        assert_eq!(lasts(&file, By::Count), Some(counted), "{name}");
    }
    // And neither the whole nor its track: then the samples.
    let lying = with(film, b"mvhd", 20, &[0, 0, 0, 100]);
    let lying = with(&lying, b"mdhd", 20, &[0, 0, 0, 100]);
    assert_eq!(lasts(&lying, By::Count), Some(2_400));
}

#[test]
fn what_goes_on_from_something_is_no_longer_for_that() {
    let (_, film) = file!("fragments.mp4");
    // Two hours later, in a track whose seconds have 12800 units or so.
    let places: Vec<usize> = (0..film.len())
        .filter(|at| film[*at..].starts_with(b"tfdt"))
        .collect();
    let mut late = film.to_vec();
    for at in places {
        let place = at + 8..at + 16;
        let begins = u64::from_be_bytes(film[place.clone()].try_into().unwrap());
        late[place].copy_from_slice(&(begins + 7_200 * 12_800).to_be_bytes());
    }
    assert_ne!(late, film);
    for by in BOTH {
        assert_eq!(lasts(&late, by), Some(2_400));
    }
}

#[test]
fn what_is_neither_picture_nor_video_nor_sound_is_not_kept() {
    for (name, bytes) in [
        file!("picture.gif"),
        file!("film.avi"),
        file!("film.mkv"),
        ("nothing", b""),
        ("a page", b"<!DOCTYPE html><html>Sorry</html>"),
        ("an answer", br#"{"error": "sorry"}"#),
        ("a document", b"%PDF-1.7\n"),
        ("an archive", b"PK\x03\x04\0\0"),
        ("a text", b"\xff\xfea\0b\0"),
        ("a modern picture", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1"),
    ] {
        assert_eq!(of(bytes, By::Count), None, "{name}");
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
            let by = BOTH[length % 2];
            let Some(found) = of(&bytes[..length], by) else {
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
                let Ok(found) = std::panic::catch_unwind(|| of(&spoilt, BOTH[at % 2])) else {
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
        if !content_type.starts_with("image/") {
            let error = measure(content_type, broken, By::Count).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}");
        }
        let broken = Broken(Cursor::new(bytes.to_vec()));
        // Some say all that is wanted in their first bytes.
        match measure(content_type, broken, By::Head) {
            Ok(measures) => assert!(content_type.starts_with("image/"), "{name}: {measures:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}"),
        }
    }
    let nonsense = Cursor::new(vec![0; 4096]);
    let nothing = Measures::unknown(WEBM);
    assert_eq!(measure(WEBM, nonsense, By::Count).unwrap(), nothing);
}
