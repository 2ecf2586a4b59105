//! The breaker's rules, as stories to read; and that one probe at a time is out, whatever happens.

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use upstream::{ProviderAnswer, Verdict, Wait};

use super::*;

const AUTH: News = News::Refused(Refused::Auth);

/// What happens: at this second, this, with this result.
enum Step {
    /// A request comes: it may ask, as a probe, or must wait so many milliseconds.
    Usual(u64),
    Probe(u64),
    Waits(u64, u64),
    /// It asked us to slow down, and its moment has not come.
    Limited(u64),
    /// The outcome of the call with this number, counted from 0: nothing changes, it opens for so many milliseconds, or closes.
    Same(u64, usize, News),
    Opens(u64, usize, News, u64),
    Closes(u64, usize, News),
}

use Step::{Closes, Limited, Opens, Probe, Same, Usual, Waits};

fn limits() -> BreakerLimits {
    BreakerLimits {
        failures: 2,
        pause: Duration::from_secs(1),
        rate_limited: Duration::from_secs(2),
        refused: Duration::from_secs(60),
        longest: Duration::from_secs(100),
        probe: Duration::from_secs(30),
    }
}

fn play(name: &str, steps: Vec<Step>) {
    let (limits, start) = (limits(), Instant::now());
    let (mut health, mut calls) = (Health::new(), Vec::new());
    let at = |second: u64| start + Duration::from_secs(second);
    for (place, step) in steps.into_iter().enumerate() {
        let told = format!("{name}, step {place}");
        match step {
            Usual(second) => {
                let pass = health.enter(at(second), &limits);
                assert_eq!(pass, Ok(Pass::Usual), "{told}");
                calls.push(Pass::Usual);
            }
            Probe(second) => {
                let pass = health
                    .enter(at(second), &limits)
                    .unwrap_or_else(|wait| panic!("{told}: {wait:?}"));
                assert_ne!(pass, Pass::Usual, "{told}");
                calls.push(pass);
            }
            Waits(second, millis) => {
                let wait = Err(Duration::from_millis(millis));
                assert_eq!(health.enter(at(second), &limits), wait, "{told}");
            }
            Limited(second) => {
                assert!(health.is_limited(at(second)), "{told}");
                // Whoever has nobody else asks it all the same.
                assert_eq!(health.look(at(second), &limits), Ok(()), "{told}");
            }
            Same(second, call, news) => {
                let change = health.hear((calls[call], news), at(second), &limits);
                assert_eq!(change, None, "{told}");
            }
            Opens(second, call, news, millis) => {
                let change = health.hear((calls[call], news), at(second), &limits);
                let pause = Duration::from_millis(millis);
                assert_eq!(change, Some(Change::Opened(pause)), "{told}");
            }
            Closes(second, call, news) => {
                let change = health.hear((calls[call], news), at(second), &limits);
                assert_eq!(change, Some(Change::Closed), "{told}");
            }
        }
    }
}

#[test]
fn failures_in_a_row_open_and_a_good_answer_between_them_does_not() {
    play(
        "in a row",
        vec![
            Usual(0),
            Usual(0),
            Usual(0),
            Usual(0),
            Same(0, 0, News::Failed),
            Same(0, 1, News::Good),
            Same(0, 2, News::Failed),
            Same(0, 0, News::Nothing),
            Opens(0, 3, News::Failed, 1_000),
            Waits(0, 1_000),
        ],
    );
}

#[test]
fn a_probe_closes_or_opens_for_longer() {
    play(
        "probes",
        vec![
            Usual(0),
            Same(0, 0, News::Failed),
            Opens(0, 0, News::Failed, 1_000),
            Probe(1),
            Waits(1, 1_000),
            Opens(2, 1, News::Failed, 2_000),
            Waits(3, 1_000),
            Probe(4),
            Opens(4, 2, News::Failed, 4_000),
            Probe(8),
            Closes(9, 3, News::Good),
            Usual(9),
            // From the beginning.
            Same(9, 4, News::Failed),
            Opens(9, 4, News::Failed, 1_000),
        ],
    );
}

#[test]
fn a_provider_that_says_when_is_believed_up_to_a_limit() {
    let asked = |seconds| News::TooFast(Some(Duration::from_secs(seconds)));
    play(
        "retry-after",
        vec![
            Usual(0),
            Usual(0),
            Opens(0, 0, asked(7), 7_000),
            // Sent before it opened.
            Same(1, 1, asked(10)),
            Limited(10),
            Same(1, 1, asked(3)),
            Limited(10),
            Same(1, 1, News::Failed),
            Limited(10),
            // It said when, so that nobody need try.
            Usual(11),
            Usual(11),
            Opens(11, 2, asked(3_000), 100_000),
            Usual(111),
            Opens(111, 4, asked(0), 0),
            Usual(111),
            Same(111, 5, News::Good),
            Opens(111, 3, News::TooFast(None), 2_000),
            Usual(113),
            Opens(113, 6, News::TooFast(None), 4_000),
        ],
    );
}

#[test]
fn what_somebody_must_mend_opens_at_once_and_for_long() {
    play(
        "refused",
        vec![
            Usual(0),
            Usual(0),
            Usual(0),
            Opens(0, 0, AUTH, 60_000),
            // Both were out already: neither makes it longer, and a late success does not close it.
            Same(0, 1, AUTH),
            Same(0, 2, News::Good),
            Waits(59, 1_000),
            Probe(60),
            Waits(60, 1_000),
            Opens(61, 3, News::Refused(Refused::Balance), 100_000),
            Probe(161),
            Closes(161, 4, News::Good),
            Usual(161),
        ],
    );
}

#[test]
fn a_probe_that_says_nothing_makes_room_and_one_that_takes_too_long_does_not_block() {
    play(
        "slow probes",
        vec![
            Usual(0),
            Opens(0, 0, AUTH, 60_000),
            Probe(60),
            Waits(60, 1_000),
            Same(61, 1, News::Nothing),
            Probe(61),
            Waits(61, 1_000),
            // Its time is over.
            Probe(91),
            Waits(92, 1_000),
            // The slow one fails, and the other one is still out.
            Same(92, 2, News::Failed),
            Same(92, 2, News::Nothing),
            Waits(92, 1_000),
            // The slow one is good after all.
            Closes(93, 2, News::Good),
            Usual(93),
            Same(93, 3, News::Good),
        ],
    );
}

fn refused(status: u16, headers: &HeaderMap) -> Result<(), Failure> {
    let answer = ProviderAnswer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: b"",
    };
    Err(Failure::answered(&answer, |_| None))
}

#[test]
fn outcomes_say_what_they_say_about_the_provider() {
    let none = HeaderMap::new();
    let wait = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
    let named = News::TooFast(Some(Duration::from_secs(7)));
    for (answer, news) in [
        (Ok(()), News::Good),
        (refused(401, &none), AUTH),
        (refused(402, &none), News::Refused(Refused::Balance)),
        (refused(403, &none), News::Failed),
        (refused(429, &none), News::TooFast(None)),
        (refused(429, &wait), named),
        (refused(500, &none), News::Failed),
        (refused(502, &none), News::Failed),
        (refused(503, &wait), News::Failed),
        (refused(400, &none), News::Nothing),
        (refused(404, &none), News::Nothing),
        (refused(451, &none), News::Nothing),
        (Err(Failure::timed_out(Wait::FirstByte)), News::Failed),
        (Err(Failure::malformed("x")), News::Failed),
        (
            Err(Failure::reported(Verdict::of(Class::NotSent))),
            News::Failed,
        ),
    ] {
        assert_eq!(News::of(&answer), news, "{answer:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Time passes, in milliseconds.
    Passes(u64),
    /// A request comes.
    Comes,
    /// One of the calls that are out ends.
    Ends(usize, News),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let news = prop_oneof![
        Just(News::Good),
        Just(News::Nothing),
        Just(News::Failed),
        Just(News::Failed),
        Just(AUTH),
        Just(News::TooFast(None)),
        (0_u64..5).prop_map(|seconds| News::TooFast(Some(Duration::from_secs(seconds)))),
    ];
    let event = prop_oneof![
        (1_u64..40_000).prop_map(Event::Passes),
        Just(Event::Comes),
        Just(Event::Comes),
        (any::<usize>(), news).prop_map(|(which, news)| Event::Ends(which, news)),
    ];
    prop::collection::vec(event, 1..200)
}

proptest! {
    /// At most one probe is out whose time is not over, nobody else is let through beside it, and whoever must wait is told a time
    /// after which it may ask, if nothing happens.
    #[test]
    fn exactly_one_probe_is_out_at_a_time(events in events()) {
        let limits = limits();
        let (mut now, mut health) = (Instant::now(), Health::new());
        let mut out: Vec<(Pass, Instant)> = Vec::new();
        for event in events {
            match event {
                Event::Passes(millis) => now += Duration::from_millis(millis),
                Event::Comes => {
                    let was_closed = match health.state {
                        State::Closed => true,
                        State::Open { then, .. } => then == Then::All,
                        State::HalfOpen { .. } => false,
                    };
                    // A probe counts as long as it decides: a later success may have closed the breaker in between.
                    let in_time = |(pass, since): &(Pass, Instant)| {
                        *pass == Pass::Probe(health.probe)
                            && matches!(health.state, State::HalfOpen { .. })
                            && now < *since + limits.probe
                    };
                    let probes = out.iter().filter(|call| in_time(call)).count();
                    match health.enter(now, &limits) {
                        Ok(Pass::Usual) => {
                            prop_assert!(was_closed);
                            out.push((Pass::Usual, now));
                        }
                        Ok(pass @ Pass::Probe(_)) => {
                            prop_assert!(!was_closed);
                            prop_assert_eq!(probes, 0);
                            out.push((pass, now));
                        }
                        Err(wait) => {
                            prop_assert!(!was_closed && !wait.is_zero());
                            prop_assert!(wait <= limits.longest);
                        }
                    }
                }
                Event::Ends(which, news) => {
                    if let Some(place) = which.checked_rem(out.len()) {
                        let (pass, _) = out.swap_remove(place);
                        health.hear((pass, news), now, &limits);
                    }
                }
            }
        }
        // Whatever happened, it is asked again after the longest pause and the longest probe.
        now += limits.longest + limits.probe;
        prop_assert!(health.enter(now, &limits).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn operators_are_told_how_it_stands() {
    let limits = limits();
    let mut health = Health::new();
    let told = |health: &Health| {
        let Standing {
            state,
            failures,
            wait,
        } = health.standing(Instant::now());
        (state, failures, wait)
    };
    assert_eq!(told(&health), ("closed", 0, Duration::ZERO));
    health.hear((Pass::Usual, News::Failed), Instant::now(), &limits);
    assert_eq!(told(&health), ("closed", 1, Duration::ZERO));
    health.hear((Pass::Usual, News::Failed), Instant::now(), &limits);
    assert_eq!(told(&health), ("open", 0, limits.pause));
    tokio::time::advance(limits.pause).await;
    let probe = health.enter(Instant::now(), &limits).unwrap();
    assert_eq!(told(&health), ("half_open", 0, Duration::ZERO));
    health.hear((probe, News::Good), Instant::now(), &limits);
    let asked = Duration::from_secs(3);
    let slower = News::TooFast(Some(asked));
    health.hear((Pass::Usual, slower), Instant::now(), &limits);
    assert_eq!(told(&health), ("limited", 0, asked));
    tokio::time::advance(asked).await;
    assert_eq!(told(&health), ("closed", 0, Duration::ZERO));
}
