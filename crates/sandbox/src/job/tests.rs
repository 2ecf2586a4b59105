//! Ids, states, and where a directive may stand.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::made::Sound;

const BOUNDS: Bounds = Bounds {
    max_delay: Duration::from_secs(60),
    max_tokens: 1_000,
};

fn job(outcome: Outcome, kind: Kind) -> Job {
    let made = Made {
        kind,
        count: 2,
        width: 1_280,
        height: 720,
        seconds: 8,
    };
    Job {
        nonce: 42,
        start: 1_000_000_000,
        delay_millis: 1_500,
        seed: -7,
        outcome,
        directive: Reading::Partly,
        made: made.fitted(),
    }
}

#[test]
fn every_outcome_and_kind_survives_its_id() {
    for (outcome, _) in Outcome::ALL {
        for kind in Kind::ALL {
            let job = job(outcome, kind);
            assert_eq!(Job::decode(&job.encode()), Some(job));
        }
    }
}

#[test]
fn an_id_is_fixed_for_ever() {
    let id = "AgAAAAAAAAAqAAAAADuaygAAAAXc__________kBAQICBQAC0AAI3v4hPQ";
    assert_eq!(job(Outcome::Fail, Kind::Mp4).encode(), id);
}

#[test]
fn an_id_asks_for_no_more_than_a_job_may() {
    let good = job(Outcome::Success, Kind::Mp4);
    for made in [
        Made {
            count: 0,
            ..good.made
        },
        Made {
            count: 200,
            ..good.made
        },
        Made {
            width: 1_281,
            ..good.made
        },
        Made {
            seconds: 0,
            ..good.made
        },
        Made {
            seconds: 361,
            ..good.made
        },
        Made {
            kind: Kind::Png,
            seconds: 0,
            width: 60_000,
            ..good.made
        },
        Made {
            kind: Kind::Sound(Sound::Wav),
            ..good.made
        },
    ] {
        let job = Job {
            made,
            ..good.clone()
        };
        assert_eq!(Job::decode(&job.encode()), None, "{made:?}");
    }
}

#[test]
fn a_job_takes_as_long_as_its_directive_says() {
    let made = job(Outcome::Success, Kind::Png).made;
    let told = directive::parse("[sandbox delay=2s colour=red]", &BOUNDS);
    let told = Job::new(&told, Duration::from_secs(1), Some(7), made);
    assert_eq!(told.due() - told.start, 2_000_000);
    assert_eq!((told.seed, told.directive), (7, Reading::Partly));
    let silent = Job::new(&Directive::default(), Duration::from_secs(1), None, made);
    assert_eq!(silent.due() - silent.start, 1_000_000);
    assert_eq!(silent.directive, Reading::Whole);
    assert_ne!(silent.encode(), Job { nonce: 1, ..silent }.encode());
}

#[test]
fn a_directive_may_stand_in_any_text_of_the_input() {
    for input in [
        json!({"prompt": "a cat [sandbox outcome=fail delay=2s]"}),
        json!({"n": 1, "lyrics": "la la\n[sandbox outcome=fail delay=2s]"}),
        json!({"dialogue": [{"text": "hi"}, {"text": "[sandbox outcome=fail] [sandbox delay=2s]"}]}),
        json!({"image_url": "https://example.com/a/%5Bsandbox%20outcome%3Dfail%20delay%3D2s%5D.png"}),
        json!({"image_url": "https://example.com/[sandbox outcome=fail delay=2s].png"}),
        json!({"images": ["https://example.com/a.png", "https://example.com/a.png?x=1&note=[sandbox+outcome=fail+delay=2s]"]}),
        json!({"image_url": "https://example.com/a.png?[sandbox%20outcome=fail%20delay=2s]"}),
        json!({"image_url": "https://example.com/a.png?[sandbox+outcome=fail&delay=2s]"}),
        json!({"prompt": "note: [sandbox outcome=fail delay=2s]"}),
    ] {
        let directive = directive_of(&input, &BOUNDS);
        assert_eq!(directive.outcome, Outcome::Fail, "{input}");
        assert_eq!(directive.delay, Some(Duration::from_secs(2)), "{input}");
        assert!(directive.misread.is_empty(), "{input}");
    }
    for input in [
        json!(null),
        json!({"image_url": "data:text/plain,[sandbox outcome=fail]"}),
        json!({"image_url": "https://example.com/[sandbox%20outcome=fail]/a.png"}),
    ] {
        assert_eq!(
            directive_of(&input, &BOUNDS),
            Directive::default(),
            "{input}"
        );
    }
}

#[test]
fn how_long_an_input_lasts_is_told_by_its_address() {
    for (address, seconds) in [
        (json!("https://example.com/a.mp4?seconds=40"), Some(40)),
        (
            json!("https://example.com/a.mp4?[sandbox%20delay=1ms]&seconds=7"),
            Some(7),
        ),
        (json!("https://example.com/a.mp4?seconds=0"), None),
        (json!("https://example.com/a.mp4?seconds=-1"), None),
        (json!("https://example.com/a.mp4?second=1"), None),
        (json!("seconds=1"), None),
        (json!(7), None),
    ] {
        assert_eq!(length_of(Some(&address)), seconds, "{address}");
    }
    assert_eq!(length_of(None), None);
}

#[test]
fn states_by_outcome() {
    let table = [
        (Outcome::Success, State::Ready),
        (Outcome::DuplicateCallback, State::Ready),
        (Outcome::LateCallback, State::Ready),
        (Outcome::Overreport, State::Ready),
        (Outcome::Cut, State::Ready),
        (Outcome::Fail, State::Failed),
        (Outcome::Moderated, State::ContentModerated),
        (Outcome::Vanish, State::Unknown),
        (Outcome::Malformed, State::Malformed),
        (Outcome::Hang, State::Pending(99)),
    ];
    for (outcome, expected) in table {
        let job = Job {
            delay_millis: 2_000,
            ..job(outcome, Kind::Sound(Sound::Mp3))
        };
        assert_eq!(job.state(job.start), State::Pending(0));
        assert_eq!(job.state(job.start + 1_000_000), State::Pending(50));
        assert_eq!(job.state(job.due() - 1), State::Pending(99));
        assert_eq!(job.state(job.due()), expected, "{outcome:?}");
        assert_eq!(job.state(i64::MAX), expected, "{outcome:?}");
    }
    let refused = Job {
        delay_millis: 0,
        ..job(Outcome::Moderated, Kind::Sound(Sound::Mp3))
    };
    assert_eq!(refused.state(refused.start), State::RequestModerated);
}

#[test]
fn a_clock_that_went_back_does_not_break_a_job() {
    let state = job(Outcome::Success, Kind::Jpeg).state(0);
    assert_eq!(state, State::Pending(0));
}

proptest! {
    #[test]
    fn made_up_ids_are_not_ours(id in "[A-Za-z0-9_-]{0,80}") {
        prop_assert_eq!(Job::decode(&id), None);
    }

    #[test]
    fn a_changed_id_is_not_ours(at in 0usize..58, letter in "[A-Za-z0-9]") {
        let id = job(Outcome::Success, Kind::Webm).encode();
        let mut changed = id.clone();
        changed.replace_range(at..=at, &letter);
        prop_assert!(changed == id || Job::decode(&changed).is_none());
    }
}
