//! The files, read by other people's libraries.

use std::{io::Cursor, time::Duration};

use lofty::{
    config::ParseOptions,
    file::{AudioFile as _, FileType, TaggedFileExt as _},
    probe::Probe,
};

use super::*;

fn job(kind: Kind, (width, height): (u16, u16), seconds: u16) -> Job {
    let made = Made {
        kind,
        count: 2,
        width,
        height,
        seconds,
    };
    Job {
        nonce: 1,
        start: 0,
        delay_millis: 0,
        seed: 7,
        outcome: Outcome::Success,
        directive: Reading::Whole,
        made: made.fitted(),
    }
}

const LENGTHS: [u16; 5] = [1, 2, 5, 61, MAX_SECONDS];
const SIZES: [(u16, u16); 9] = [
    (854, 480),
    (1_280, 720),
    (1_920, 1_080),
    (480, 854),
    (720, 1_280),
    (1_080, 1_920),
    (480, 480),
    (720, 720),
    (1_080, 1_080),
];

#[test]
fn an_mp4_has_the_size_and_the_length() {
    for (number, size) in SIZES.into_iter().enumerate() {
        let seconds = LENGTHS[number % LENGTHS.len()];
        let job = job(Kind::Mp4, size, seconds);
        let file = render(&job, 0).unwrap();
        let film = re_mp4::Mp4::read_bytes(&file).unwrap();
        let movie = &film.moov.mvhd;
        assert_eq!(
            (movie.timescale, movie.duration),
            (1_000, u64::from(seconds) * 1_000)
        );
        let (_, track) = film.tracks().first_key_value().unwrap();
        assert_eq!(
            (track.kind, track.width, track.height),
            (Some(re_mp4::TrackKind::Video), size.0, size.1)
        );
        assert_eq!((track.timescale, track.duration), (1_000, movie.duration));
        let re_mp4::StsdBoxContent::Avc1(entry) = &film.moov.traks[0].mdia.minf.stbl.stsd.contents
        else {
            panic!("no H.264");
        };
        let sets = &entry.avcc.contents;
        assert_eq!(
            (
                sets.sequence_parameter_sets.len(),
                sets.picture_parameter_sets.len()
            ),
            (1, 1)
        );
        assert_eq!(track.samples.len(), usize::from(seconds));
        for sample in &track.samples {
            assert_eq!((sample.is_sync, sample.duration), (true, 1_000));
            // A length, and a picture of so many bytes that is whole in itself.
            let (length, picture) = file[sample.byte_range()].split_first_chunk().unwrap();
            assert_eq!(
                usize::try_from(u32::from_be_bytes(*length)).unwrap(),
                picture.len()
            );
            assert_eq!(picture[0] & 0x1F, 5);
        }
        // As QuickTime it is the same, but for its name.
        let mov = render(&self::job(Kind::Mov, size, seconds), 0).unwrap();
        assert_eq!(mov.get(4..12), Some(&b"ftypqt  "[..]));
        let mov = re_mp4::Mp4::read_bytes(&mov).unwrap();
        assert_eq!(mov.moov.mvhd.duration, movie.duration);
        // Of two pictures that follow each other neither has the other's number.
        assert!(
            track
                .samples
                .windows(2)
                .all(|two| two[0].offset != two[1].offset)
        );
    }
}

#[test]
fn a_webm_has_the_size_and_the_length() {
    for (number, (width, height)) in SIZES.into_iter().enumerate() {
        let seconds = LENGTHS[number % LENGTHS.len()];
        let file = render(&job(Kind::Webm, (width, height), seconds), 0).unwrap();
        let keyframe = frames::nearest(width, height).vp8();
        // The beginning of a VP8 key frame, and the size that it has itself.
        assert_eq!(
            (keyframe[0] & 1, &keyframe[3..6]),
            (0, &[0x9D, 0x01, 0x2A][..])
        );
        let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
        assert_eq!(&keyframe[6..10], size);
        let mut film = matroska_demuxer::MatroskaFile::open(Cursor::new(file)).unwrap();
        assert_eq!(film.info().duration(), Some(f64::from(seconds) * 1_000.0));
        assert_eq!(film.info().timestamp_scale().get(), 1_000_000);
        assert_eq!(film.info().title(), Some("sandbox 7"));
        let track = &film.tracks()[0];
        let video = track.video().unwrap();
        let sides = (video.pixel_width().get(), video.pixel_height().get());
        assert_eq!(sides, (width.into(), height.into()));
        assert_eq!(track.codec_id(), "V_VP8");
        let mut shown = matroska_demuxer::Frame::default();
        for second in 0..u64::from(seconds) {
            assert!(film.next_frame(&mut shown).unwrap());
            assert_eq!(
                (shown.timestamp, shown.is_keyframe),
                (second * 1_000, Some(true))
            );
            assert_eq!(shown.data, keyframe);
        }
        assert!(!film.next_frame(&mut shown).unwrap());
    }
}

const CLEAR_SIZES: [(u16, u16); 3] = [(854, 480), (480, 854), (480, 480)];

#[test]
fn a_webm_can_be_seen_through() {
    for ((width, height), seconds) in CLEAR_SIZES.into_iter().zip([1, 5, 61]) {
        let file = render(&job(Kind::ClearWebm, (width, height), seconds), 0).unwrap();
        let (picture, alpha) = frames::nearest_clear(width, height).vp9();
        for frame in [picture, alpha] {
            // The mark of a VP9 frame, and that of one that is whole in itself.
            assert_eq!(frame[1..4], [0x49, 0x83, 0x42]);
        }
        let beside = file.windows(alpha.len()).filter(|part| *part == alpha);
        assert_eq!(beside.count(), usize::from(seconds));
        let mut film = matroska_demuxer::MatroskaFile::open(Cursor::new(file)).unwrap();
        assert_eq!(film.info().duration(), Some(f64::from(seconds) * 1_000.0));
        let track = &film.tracks()[0];
        let video = track.video().unwrap();
        let sides = (video.pixel_width().get(), video.pixel_height().get());
        assert_eq!(sides, (width.into(), height.into()));
        assert_eq!((track.codec_id(), video.alpha_mode()), ("V_VP9", Some(1)));
        let mut shown = matroska_demuxer::Frame::default();
        for second in 0..u64::from(seconds) {
            assert!(film.next_frame(&mut shown).unwrap());
            assert_eq!(shown.timestamp, second * 1_000);
            assert_eq!(shown.data, picture);
        }
        assert!(!film.next_frame(&mut shown).unwrap());
    }
}

#[test]
fn a_mov_can_be_seen_through() {
    for (size, seconds) in CLEAR_SIZES.into_iter().zip([1, 5, 61]) {
        let file = render(&job(Kind::ClearMov, size, seconds), 0).unwrap();
        assert_eq!(file.get(4..12), Some(&b"ftypqt  "[..]));
        let film = re_mp4::Mp4::read_bytes(&file).unwrap();
        assert_eq!(film.moov.mvhd.duration, u64::from(seconds) * 1_000);
        let entry = &film.moov.traks[0].mdia.minf.stbl.stsd.contents;
        let re_mp4::StsdBoxContent::Unknown(codec) = entry else {
            panic!("no ProRes");
        };
        assert_eq!(codec.value, *b"ap4h");
        let (_, track) = film.tracks().first_key_value().unwrap();
        assert_eq!(track.samples.len(), usize::from(seconds));
        for sample in &track.samples {
            let picture = &file[sample.byte_range()];
            assert_eq!(picture, frames::nearest_clear(size.0, size.1).prores);
            let length = u32::from_be_bytes(*picture.first_chunk().unwrap());
            assert_eq!(usize::try_from(length).unwrap(), picture.len());
            let head = &picture[8..];
            let side = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
            assert_eq!((&picture[4..8], (side(8), side(10))), (&b"icpf"[..], size));
            // 4:4:4, and eight bits of alpha.
            assert_eq!((head[12] & 0xC0, head[17] & 0x0F), (0xC0, 1));
        }
    }
}

#[test]
fn a_sound_has_the_length() {
    for (kind, file_type) in [
        (Kind::Sound(Sound::Wav), FileType::Wav),
        (Kind::Sound(Sound::Mp3), FileType::Mpeg),
        (Kind::Sound(Sound::Opus), FileType::Opus),
        (Kind::Sound(Sound::Flac), FileType::Flac),
    ] {
        for seconds in LENGTHS {
            let file = render(&job(kind, (0, 0), seconds), 0).unwrap();
            let probe = Probe::new(Cursor::new(file)).options(ParseOptions::new());
            let sound = probe.guess_file_type().unwrap().read().unwrap();
            assert_eq!(sound.file_type(), file_type);
            let (length, asked) = (
                sound.properties().duration(),
                Duration::from_secs(seconds.into()),
            );
            let short = asked - length;
            // MP3 has whole frames of 24 ms.
            assert!(
                short
                    < Duration::from_millis(if kind == Kind::Sound(Sound::Mp3) {
                        25
                    } else {
                        1
                    }),
                "{kind:?} {length:?}"
            );
            assert_eq!(sound.properties().channels(), Some(1));
        }
    }
}

#[test]
fn a_sound_without_a_length_of_its_own_lasts_as_long_as_what_it_holds() {
    for seconds in LENGTHS {
        let samples = render(&job(Kind::Sound(Sound::Pcm), (0, 0), seconds), 0).unwrap();
        assert_eq!(samples.len(), usize::from(seconds) * 48_000);
        let file = render(&job(Kind::Sound(Sound::Aac), (0, 0), seconds), 0).unwrap();
        let (mut frames, mut left) = (0, file.as_slice());
        while let [0xFF, 0xF1, _, fourth, fifth, sixth, ..] = left {
            let length = [fourth & 3, *fifth, *sixth].map(u32::from);
            let length = length[0] << 11 | length[1] << 3 | length[2] >> 5;
            left = &left[usize::try_from(length).unwrap()..];
            frames += 1;
        }
        assert!(left.is_empty());
        // Whole frames of 1024 samples, 24 000 a second.
        assert_eq!(frames, u32::from(seconds) * 24_000 / 1_024);
    }
}

#[test]
fn a_sound_names_its_seed() {
    for (kind, title) in [
        (Kind::Sound(Sound::Opus), &b"TITLE=sandbox 7"[..]),
        (Kind::Sound(Sound::Flac), b"TITLE=sandbox 7"),
    ] {
        let file = render(&job(kind, (0, 0), 1), 0).unwrap();
        assert!(file.windows(title.len()).any(|part| part == title));
    }
}

#[test]
fn a_picture_has_any_size() {
    let png = render(&job(Kind::Png, (300, 200), 0), 0).unwrap();
    assert_eq!(png[16..24], [0, 0, 1, 44, 0, 0, 0, 200]);
    let jpeg = render(&job(Kind::Jpeg, (300, 200), 0), 0).unwrap();
    assert!(jpeg.starts_with(&[0xFF, 0xD8, 0xFF]) && jpeg.ends_with(&[0xFF, 0xD9]));
    // Others read it as such a picture, of one colour: of the seed's bytes red is the first.
    let webp = render(&job(Kind::Webp, (300, 200), 0), 0).unwrap();
    let head = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f";
    let bits = b"\x2b\xc1\x31\0\x28\x40\x0f\x0a\xd0\xff\x02\0\0";
    assert_eq!(webp, [&head[..], bits].concat());
}

#[test]
fn no_two_files_of_a_job_are_alike() {
    for kind in Kind::ALL {
        let job = job(kind, (100, 100), 2);
        let file = |number| render(&job, number).unwrap();
        assert!(file(0) == file(0) && file(0) != file(1), "{kind:?}");
    }
}

#[test]
fn a_video_has_the_nearest_size() {
    for (asked, size) in [
        ((0, 0), (480, 480)),
        ((1_024, 576), (854, 480)),
        ((1_366, 768), (1_280, 720)),
        ((3_840, 2_160), (1_920, 1_080)),
        ((2_560, 1_080), (1_920, 1_080)),
        ((640, 480), (854, 480)),
        ((768, 1_024), (720, 1_280)),
        ((1_000, 950), (1_080, 1_080)),
        ((u16::MAX, 1), (854, 480)),
        ((1, u16::MAX), (480, 854)),
    ] {
        for kind in [Kind::Mp4, Kind::Webm, Kind::Mov] {
            let made = job(kind, asked, 1).made;
            assert_eq!((made.width, made.height), size, "{asked:?}");
        }
        // What can be seen through has the same shape, and is small.
        for kind in [Kind::ClearWebm, Kind::ClearMov] {
            let made = job(kind, asked, 1).made;
            let shape = size.0.cmp(&size.1);
            assert_eq!(made.width.cmp(&made.height), shape, "{asked:?}");
            assert_eq!(made.width.min(made.height), 480, "{asked:?}");
        }
    }
}

#[test]
fn what_is_asked_for_is_fitted() {
    let wish = |kind| Made {
        kind,
        count: 0,
        width: 0,
        height: u16::MAX,
        seconds: u16::MAX,
    };
    for (kind, sides, seconds) in [
        (Kind::Png, (1, MAX_SIDE), 0),
        (Kind::Jpeg, (1, MAX_SIDE), 0),
        (Kind::Webp, (1, MAX_SIDE), 0),
        (Kind::Mp4, (480, 854), MAX_SECONDS),
        (Kind::Sound(Sound::Wav), (0, 0), MAX_SECONDS),
    ] {
        let made = wish(kind).fitted();
        assert_eq!(
            ((made.width, made.height), made.seconds, made.count),
            (sides, seconds, 1)
        );
        assert_eq!(made.fitted(), made);
    }
}

#[test]
fn a_link_leads_to_a_file_of_the_job() {
    let job = job(Kind::Sound(Sound::Mp3), (0, 0), 3);
    let link = link("http://here", "fal", &job, 1, 99);
    let expected = format!("http://here/fal/files/{}/1.mp3?se=99", job.encode());
    assert_eq!(link, expected);
    for (file, number) in [
        ("0.mp3", Some(0)),
        ("1.mp3", Some(1)),
        ("2.mp3", None),
        ("0.wav", None),
        ("-1.mp3", None),
        ("0", None),
        ("", None),
    ] {
        assert_eq!(job.made.numbered(file), number, "{file}");
    }
}

#[test]
fn the_bill_has_a_word_for_each_kind() {
    let words = Kind::ALL.map(Kind::billed_as);
    assert_eq!(
        words,
        [
            "image", "image", "video", "video", "audio", "audio", "video", "video", "video",
            "image", "audio", "audio", "audio", "audio", "text", "image"
        ]
    );
}

#[tokio::test]
async fn a_file_is_delivered_to_whoever_has_the_link() {
    let dir = tempfile::tempdir().unwrap();
    let settings = chassis::config::Settings::from_toml("");
    let deps = crate::Deps {
        config: settings.section("sandbox").unwrap(),
        path: dir.path().join("bill.db"),
        database: settings.section("database").unwrap(),
        tasks: chassis::Tasks::default(),
    };
    let sandbox = crate::open(deps).await.unwrap();
    let job = job(Kind::Sound(Sound::Wav), (0, 0), 1);
    let later = Job {
        start: i64::MAX,
        ..job.clone()
    };
    let cut = Job {
        outcome: Outcome::Cut,
        ..job.clone()
    };
    let far = Some(i64::MAX);
    for (job, file, se, key, status) in [
        (&job, "1.wav", far, None, 200),
        (&job, "2.wav", far, None, 404),
        (&job, "1.mp3", far, None, 404),
        (&later, "1.wav", far, None, 404),
        (&job, "1.wav", Some(1), None, 403),
        (&job, "1.wav", None, None, 403),
        (&job, "1.wav", far, Some("authorization"), 400),
        (&job, "1.wav", far, Some("x-key"), 400),
        (&cut, "1.wav", far, None, 200),
    ] {
        let path = File {
            job: job.encode(),
            file: file.to_owned(),
        };
        let mut headers = HeaderMap::new();
        if let Some(name) = key {
            headers.insert(name, http::HeaderValue::from_static("any"));
        }
        let state = State(sandbox.clone());
        let answer = deliver(state, Path(path), Query(Link { se }), headers).await;
        assert_eq!(answer.status(), status, "{file} {se:?} {key:?}");
        if status != 200 {
            continue;
        }
        assert_eq!(answer.headers()["content-type"], "audio/wav");
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
        let whole = render(job, 1).unwrap();
        if job.outcome == Outcome::Cut {
            assert!(body.is_err());
        } else {
            assert_eq!(body.unwrap(), whole);
        }
    }
}
