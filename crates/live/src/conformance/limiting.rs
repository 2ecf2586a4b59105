//! Limits: of calls by GCRA, and of what goes on at once by slots.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::sleep;

use super::QUIET;
use crate::{Admission, Rate, SharedLive};

const KEY: &str = "conformance";
/// Slow enough that no call becomes due while a case runs.
const SLOW: Rate = Rate {
    per_minute: 1,
    burst: 5,
};
/// One call every 50 ms.
const BRISK: Rate = Rate {
    per_minute: 1_200,
    burst: 2,
};
/// Longer than a case runs.
const LONG: Duration = Duration::from_secs(60);

/// Runs every case about limits.
#[expect(
    clippy::cognitive_complexity,
    reason = "a list: every `.await` counts as a branch"
)]
pub(super) async fn run(fresh: &impl AsyncFn() -> SharedLive) {
    exactly_the_burst_is_admitted(fresh().await).await;
    exactly_the_burst_is_admitted_at_once(fresh().await).await;
    a_refused_call_does_not_count(fresh().await).await;
    a_call_is_admitted_after_the_wait_it_was_told(fresh().await).await;
    a_key_that_rested_has_its_whole_burst_again(fresh().await).await;
    limited_keys_are_separate(fresh().await).await;
    a_rate_of_zero_admits_nothing(fresh().await).await;
    a_call_taken_back_does_not_count(fresh().await).await;
    nothing_is_saved_up_by_taking_back(fresh().await).await;
    exactly_the_limit_of_slots_is_taken(fresh().await).await;
    exactly_the_limit_of_slots_is_taken_at_once(fresh().await).await;
    a_slot_given_back_is_free(fresh().await).await;
    a_slot_is_given_back_once(fresh().await).await;
    a_slot_taken_again_counts_once(fresh().await).await;
    a_slot_whose_life_is_over_is_free(fresh().await).await;
    a_slot_taken_again_lives_longer(fresh().await).await;
    a_slot_renewed_lives_longer_and_is_taken_again_when_forgotten(fresh().await).await;
    slots_of_other_keys_are_separate(fresh().await).await;
    a_limit_of_zero_gives_no_slot(fresh().await).await;
}

async fn exactly_the_burst_is_admitted(live: SharedLive) {
    for remaining in (0..SLOW.burst).rev() {
        let said = admit(&live, KEY, SLOW).await;
        assert_eq!(said, Admission::Allowed { remaining });
    }
    let retry_after = refused(&live, KEY, SLOW).await;
    let interval = Duration::from_secs(60);
    assert!(
        retry_after <= interval && retry_after > interval - Duration::from_secs(5),
        "the next call is due in a minute, not in {retry_after:?}"
    );
}

async fn exactly_the_burst_is_admitted_at_once(live: SharedLive) {
    let said = join_all((0..50).map(|_| admit(&live, KEY, SLOW))).await;
    let admitted = said.iter().filter(|said| is_allowed(**said)).count();
    assert_eq!(admitted, 5);
}

async fn a_refused_call_does_not_count(live: SharedLive) {
    for _ in 0..SLOW.burst {
        admit(&live, KEY, SLOW).await;
    }
    let first = refused(&live, KEY, SLOW).await;
    for _ in 0..10 {
        let again = refused(&live, KEY, SLOW).await;
        assert!(again <= first, "refused calls made the wait longer");
    }
}

async fn a_call_is_admitted_after_the_wait_it_was_told(live: SharedLive) {
    admit(&live, KEY, BRISK).await;
    admit(&live, KEY, BRISK).await;
    for _ in 0..5 {
        // On a slow machine a call may have become due meanwhile; then there is nothing to wait for.
        if let Admission::Refused { retry_after } = admit(&live, KEY, BRISK).await {
            assert!(retry_after <= Duration::from_millis(50));
            sleep(retry_after).await;
            assert!(is_allowed(admit(&live, KEY, BRISK).await));
        }
    }
}

async fn a_key_that_rested_has_its_whole_burst_again(live: SharedLive) {
    for _ in 0..10 {
        admit(&live, KEY, BRISK).await;
    }
    sleep(Duration::from_millis(100)).await;
    let said = admit(&live, KEY, BRISK).await;
    assert_eq!(said, Admission::Allowed { remaining: 1 });
}

async fn limited_keys_are_separate(live: SharedLive) {
    let one = Rate {
        per_minute: 1,
        burst: 1,
    };
    for key in ["a", "b", "A", "a:b", ""] {
        let said = admit(&live, key, one).await;
        assert_eq!(said, Admission::Allowed { remaining: 0 }, "{key:?}");
        refused(&live, key, one).await;
    }
}

async fn a_rate_of_zero_admits_nothing(live: SharedLive) {
    for (per_minute, burst) in [(0, 5), (5, 0), (0, 0)] {
        let retry_after = refused(&live, KEY, Rate { per_minute, burst }).await;
        assert_eq!(retry_after, Duration::from_secs(60));
    }
    // And it leaves nothing behind.
    assert!(is_allowed(admit(&live, KEY, SLOW).await));
}

async fn a_call_taken_back_does_not_count(live: SharedLive) {
    for _ in 0..SLOW.burst {
        admit(&live, KEY, SLOW).await;
    }
    for _ in 0..3 {
        refused(&live, KEY, SLOW).await;
        live.uncount(KEY, SLOW).await.expect("uncount");
        let said = admit(&live, KEY, SLOW).await;
        assert_eq!(said, Admission::Allowed { remaining: 0 });
    }
    refused(&live, KEY, SLOW).await;
}

async fn nothing_is_saved_up_by_taking_back(live: SharedLive) {
    live.uncount("unknown", SLOW).await.expect("uncount");
    admit(&live, KEY, SLOW).await;
    for _ in 0..3 {
        live.uncount(KEY, SLOW).await.expect("uncount");
    }
    exactly_the_burst_is_admitted(live).await;
}

async fn exactly_the_limit_of_slots_is_taken(live: SharedLive) {
    for number in 0..3 {
        assert!(take(&live, number, 3, LONG).await);
    }
    assert!(!take(&live, 3, 3, LONG).await);
    assert!(take(&live, 3, 4, LONG).await, "the limit was raised");
    assert!(!take(&live, 4, 2, LONG).await, "the limit was lowered");
}

async fn exactly_the_limit_of_slots_is_taken_at_once(live: SharedLive) {
    let taken = join_all((0..50).map(|number| take(&live, number, 7, LONG))).await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 7);
}

async fn a_slot_given_back_is_free(live: SharedLive) {
    assert!(take(&live, 1, 1, LONG).await);
    assert!(!take(&live, 2, 1, LONG).await);
    give(&live, 1).await;
    assert!(take(&live, 2, 1, LONG).await);
    give(&live, 2).await;
    assert!(take(&live, 1, 1, LONG).await);
}

async fn a_slot_is_given_back_once(live: SharedLive) {
    give(&live, 1).await;
    assert!(take(&live, 1, 2, LONG).await);
    assert!(take(&live, 2, 2, LONG).await);
    give(&live, 1).await;
    give(&live, 1).await;
    give(&live, 9).await;
    assert!(take(&live, 3, 2, LONG).await);
    assert!(!take(&live, 4, 2, LONG).await, "one slot freed two");
}

async fn a_slot_taken_again_counts_once(live: SharedLive) {
    assert!(take(&live, 1, 2, LONG).await);
    assert!(take(&live, 1, 2, LONG).await);
    assert!(take(&live, 2, 2, LONG).await);
    assert!(take(&live, 1, 2, LONG).await, "a full key renews its own");
    assert!(!take(&live, 3, 2, LONG).await);
    give(&live, 1).await;
    assert!(take(&live, 3, 2, LONG).await, "it was given back once");
}

async fn a_slot_whose_life_is_over_is_free(live: SharedLive) {
    assert!(take(&live, 1, 2, QUIET).await);
    assert!(take(&live, 2, 2, LONG).await);
    sleep(2 * QUIET).await;
    assert!(take(&live, 3, 2, LONG).await);
    assert!(!take(&live, 4, 2, LONG).await, "a living slot was freed");
    give(&live, 1).await;
    assert!(
        !take(&live, 4, 2, LONG).await,
        "a dead slot was freed again"
    );
}

async fn a_slot_taken_again_lives_longer(live: SharedLive) {
    assert!(take(&live, 1, 1, QUIET).await);
    assert!(take(&live, 1, 1, LONG).await);
    sleep(2 * QUIET).await;
    assert!(!take(&live, 2, 1, LONG).await);
}

async fn a_slot_renewed_lives_longer_and_is_taken_again_when_forgotten(live: SharedLive) {
    let renew = async |slot| {
        let renewed = live.renew_slot(KEY, [slot; 16], 1, LONG).await;
        renewed.expect("renew_slot")
    };
    assert!(take(&live, 1, 1, QUIET).await);
    assert!(renew(1).await);
    sleep(2 * QUIET).await;
    assert!(!take(&live, 2, 1, LONG).await);
    give(&live, 1).await;
    assert!(take(&live, 2, 1, QUIET).await);
    sleep(2 * QUIET).await;
    assert!(renew(2).await, "it was forgotten, and there is room");
    assert!(!take(&live, 3, 1, LONG).await);
    give(&live, 2).await;
    assert!(take(&live, 4, 1, QUIET).await);
    sleep(2 * QUIET).await;
    assert!(take(&live, 5, 1, LONG).await);
    assert!(!renew(4).await, "there is no room");
}

async fn slots_of_other_keys_are_separate(live: SharedLive) {
    let taken = async |key| live.take_slot(key, [1; 16], 1, LONG).await.expect("take");
    assert!(taken("a").await);
    assert!(taken("b").await);
    live.give_slot("a", [1; 16]).await.expect("give_slot");
    let other = live.take_slot("b", [2; 16], 1, LONG).await;
    assert!(!other.expect("take_slot"));
}

async fn a_limit_of_zero_gives_no_slot(live: SharedLive) {
    assert!(!take(&live, 1, 0, LONG).await);
}

async fn admit(live: &SharedLive, key: &str, rate: Rate) -> Admission {
    live.admit(key, rate).await.expect("admit")
}

async fn refused(live: &SharedLive, key: &str, rate: Rate) -> Duration {
    match admit(live, key, rate).await {
        Admission::Refused { retry_after } => retry_after,
        Admission::Allowed { remaining } => panic!("{key:?} was admitted, {remaining} remain"),
    }
}

fn is_allowed(said: Admission) -> bool {
    match said {
        Admission::Allowed { .. } => true,
        Admission::Refused { .. } => false,
    }
}

async fn take(live: &SharedLive, slot: u8, limit: u32, life: Duration) -> bool {
    let taken = live.take_slot(KEY, [slot; 16], limit, life).await;
    taken.expect("take_slot")
}

async fn give(live: &SharedLive, slot: u8) {
    live.give_slot(KEY, [slot; 16]).await.expect("give_slot");
}
