//! Who a key's cap keeps from going on is told, once for each cap and each day or month of it; and again where the cap was changed.
//!
//! Nothing of this is on a hold's way: a lane leaves word which keys' holds it refused for a cap, and every few seconds it is looked at what
//! those have spent by then. A cap is reached where what is spent leaves nothing of it, or less than was asked for. What is only held may come
//! back: where a cap would be reached with it, word is kept, and it is looked again until the holds have ended one way or the other. Word that is
//! lost with its process comes again with the next hold that is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::{Tasks, clock::rfc3339, telemetry::causes};
use db::{Db, Relay, outbox};
use domain::{EventType, KeyId, Micros, MoneyError};
use serde::Serialize;
use sqlx::AnyConnection;
use tokio::sync::Notify;
use tracing::{info, info_span, warn};

use crate::{
    Error,
    ledger::{BalanceId, Budget, Op},
    news,
    store::{
        self, KeyRow,
        cap::{Cap, Reached},
    },
};

/// Of how many keys word is kept at once. What is refused beyond that is heard of when it is refused again.
const MOST: usize = 1_024;
/// Of how many amounts of a key: the least ones, which are the least likely to be more than the whole of a cap.
const MOST_FLOORS: usize = 4;
/// How often it is looked in a row for what is held, before the looks become rarer by one turn; and by how many turns at most.
const LOOKS: u32 = 8;
const LONGEST_REST: u32 = 30;
/// How often it is looked for what is held in all: for a day, where a turn takes two seconds.
const MOST_LOOKS: u32 = 1_500;

/// Word of holds that were refused for a cap. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    asked: Mutex<BTreeMap<KeyId, Word>>,
    bell: Notify,
}

/// Word of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Word {
    /// The least that each hold asked for.
    floors: BTreeSet<Micros>,
    /// How often it was looked since the last refusal, and something was still held.
    looks: u32,
    /// For how many turns it is not looked.
    rest: u32,
}

/// What a look at a key came to.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    /// Caps that are told now.
    noted: usize,
    /// What is held may yet reach another.
    waits: bool,
}

/// The wire form of the event's data.
#[derive(Serialize)]
struct Data<'a> {
    account_id: String,
    mode: &'static str,
    key_id: String,
    name: &'a str,
    cap: &'static str,
    cap_credits: Micros,
    cap_microcredits: i64,
    spent_credits: Micros,
    spent_microcredits: i64,
    /// When it begins anew; never for a cap in all.
    resets_at: Option<String>,
}

// === impl Refused ===

impl Refused {
    /// Leaves word of a hold. Costs no more than the memory of it.
    pub(crate) fn note(&self, op: &Op) {
        let Op::Hold { terms, .. } = op else { return };
        let Some(key) = terms.key else { return };
        self.keep([(key, Word::of(terms.floor))]);
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<KeyId, Word>> {
        let asked = self.inner.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds word to what there is, as far as there is room.
    fn keep(&self, words: impl IntoIterator<Item = (KeyId, Word)>) {
        let mut asked = self.asked();
        for (key, word) in words {
            if let Some(known) = asked.get_mut(&key) {
                known.join(word);
            } else if asked.len() < MOST {
                asked.insert(key, word);
            }
        }
        if !asked.is_empty() {
            self.inner.bell.notify_one();
        }
    }

    /// Looks at everything that there is word of, and notes together with the event which caps are reached that nobody was told of. Says how
    /// many those were.
    ///
    /// # Errors
    /// When the database failed; then there is word of it still.
    pub(crate) async fn look(&self, db: &Db) -> Result<usize, Error> {
        let asked = std::mem::take(&mut *self.asked());
        let (mut noted, mut kept, mut failed) = (0_usize, Vec::new(), None);
        for (key, mut word) in asked {
            if failed.is_some() || word.rests() {
                kept.push((key, word));
                continue;
            }
            match look_at(db, key, &word.floors).await {
                Ok(looked) => {
                    noted = noted.saturating_add(looked.noted);
                    if looked.waits && word.looks_again() {
                        kept.push((key, word));
                    }
                }
                Err(error) => {
                    kept.push((key, word));
                    failed = Some(error);
                }
            }
        }
        self.keep(kept);
        failed.map_or(Ok(noted), Err)
    }
}

// === impl Word ===

impl Word {
    fn of(floor: Micros) -> Self {
        Self {
            floors: BTreeSet::from([floor]),
            ..Self::default()
        }
    }

    /// Adds other word of the same key: what is newer says when to look.
    fn join(&mut self, other: Self) {
        self.floors.extend(other.floors);
        while self.floors.len() > MOST_FLOORS {
            self.floors.pop_last();
        }
        self.looks = self.looks.min(other.looks);
        self.rest = self.rest.min(other.rest);
    }

    /// Whether it is not looked this turn.
    fn rests(&mut self) -> bool {
        let rests = self.rest > 0;
        self.rest = self.rest.saturating_sub(1);
        rests
    }

    /// It was looked in vain. Says whether it is to be looked again.
    fn looks_again(&mut self) -> bool {
        self.looks = self.looks.saturating_add(1);
        self.rest = (self.looks / LOOKS).min(LONGEST_REST);
        self.looks < MOST_LOOKS
    }
}

/// Waits for word, then a while for more of it, and looks; again and again until told to stop.
pub(crate) fn run(refused: &Refused, db: &Db, every: Duration, relay: Relay, tasks: &Tasks) {
    let (refused, db, stop) = (refused.clone(), db.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("billing.caps"), move || {
        let (refused, db, relay, stop) = (refused.clone(), db.clone(), relay.clone(), stop.clone());
        async move {
            loop {
                tokio::select! {
                    () = refused.inner.bell.notified() => {}
                    () = stop.stopping() => return,
                }
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = stop.stopping() => return,
                }
                match refused.look(&db).await {
                    Ok(0) => {}
                    Ok(_) => relay.ring(),
                    Err(error) => {
                        warn!(error = %causes(&error), "cannot look at keys' caps now");
                        refused.inner.bell.notify_one();
                    }
                }
            }
        }
    });
}

async fn look_at(db: &Db, key: KeyId, floors: &BTreeSet<Micros>) -> Result<Looked, Error> {
    let now = db.now_micros();
    let read: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            let Some(budget) = store::budget::get(&mut connection, key).await? else {
                return Ok((None, Vec::new(), false));
            };
            let (mut reached, mut near) =
                standing(&budget.at(now), floors).map_err(out_of_range)?;
            let told = store::cap::told(&mut connection, key).await?;
            for caps in [&mut reached, &mut near] {
                caps.retain(|one| !told.iter().any(|told| told.covers(one)));
            }
            if reached.is_empty() {
                return Ok((None, reached, !near.is_empty()));
            }
            let key = store::key::by_id(&mut connection, key).await?;
            Ok((key, reached, !near.is_empty()))
        })
        .await;
    let (key, reached, waits) = read?;
    let Some(key) = key else {
        return Ok(Looked { noted: 0, waits });
    };
    let noted = db.write(move |connection| Box::pin(note(connection, key, reached, now)));
    let noted = noted.await?;
    Ok(Looked { noted, waits })
}

/// Notes each cap that nobody was told of meanwhile, and what is told of it.
async fn note(
    connection: &mut AnyConnection,
    key: KeyRow,
    reached: Vec<Reached>,
    now: i64,
) -> Result<usize, Error> {
    let mut noted = 0_usize;
    for one in reached {
        if !store::cap::put(connection, key.id, &one).await? {
            continue;
        }
        let whose = BalanceId {
            account: key.account,
            mode: key.mode,
        };
        info!(account.id = %key.account, key.id = %key.id, cap = one.cap.as_str(), "a key's cap is reached");
        let data = Data {
            account_id: key.account.to_string(),
            mode: key.mode.as_str(),
            key_id: key.id.to_string(),
            name: &key.name,
            cap: one.cap.as_str(),
            cap_credits: one.amount,
            cap_microcredits: one.amount.get(),
            spent_credits: one.spent,
            spent_microcredits: one.spent.get(),
            resets_at: one.cap.ends(one.span).map(rfc3339),
        };
        let row = news::row(EventType::KeyCapReached, whose, &data, now);
        outbox::enqueue(connection, row, now).await?;
        noted = noted.saturating_add(1);
    }
    Ok(noted)
}

/// The caps of which what is spent leaves nothing, or less than one of these; and those of which that is so only with what is held. One that has
/// no room for it at all is not reached by it.
fn standing(
    budget: &Budget,
    floors: &BTreeSet<Micros>,
) -> Result<(Vec<Reached>, Vec<Reached>), MoneyError> {
    let caps = budget.caps;
    let (mut reached, mut near) = (Vec::new(), Vec::new());
    for (cap, amount, spent, span) in [
        (Cap::Day, caps.day, budget.spent_day, budget.day),
        (Cap::Month, caps.month, budget.spent_month, budget.month),
        (Cap::Total, caps.total, budget.spent_total, 0),
    ] {
        let Some(amount) = amount else { continue };
        let left = amount.minus(spent)?;
        let without_held = left.minus(budget.held)?;
        let is_short = |left: Micros| {
            let lacks = |needed: &Micros| left < *needed && *needed <= amount;
            left <= Micros::ZERO || floors.iter().any(lacks)
        };
        let one = Reached {
            cap,
            span,
            amount,
            spent,
        };
        if is_short(left) {
            reached.push(one);
        } else if is_short(without_held) {
            near.push(one);
        }
    }
    Ok((reached, near))
}

fn out_of_range(_: MoneyError) -> Error {
    Error::Corrupt("an amount of a budget is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Caps;

    #[test]
    fn a_cap_is_reached_by_what_is_spent_and_not_by_what_is_held() {
        let micros = Micros::new;
        for (spent, held, needed, expected) in [
            (0, 10, 3, "near"),
            (7, 3, 3, "near"),
            (7, 3, 4, "reached"),
            (5, 2, 3, ""),
            (8, 0, 3, "reached"),
            (8, 0, 2, ""),
            (10, 0, 1, "reached"),
            // A request for which the cap has no room has not spent it.
            (0, 0, 11, ""),
            (8, 0, 11, ""),
            (8, 1, 11, ""),
            (8, 2, 11, "near"),
            (10, 0, 11, "reached"),
            // It was lowered.
            (12, 0, 11, "reached"),
        ] {
            let budget = Budget {
                caps: Caps {
                    total: Some(micros(10)),
                    ..Caps::default()
                },
                spent_total: micros(spent),
                held: micros(held),
                ..Budget::default()
            };
            // Beside one that is too much for every cap.
            let floors = BTreeSet::from([micros(needed), micros(1_000)]);
            let (reached, near) = standing(&budget, &floors).unwrap();
            let found = match (reached.as_slice(), near.as_slice()) {
                ([one], []) if one.cap == Cap::Total => "reached",
                ([], [one]) if one.cap == Cap::Total => "near",
                ([], []) => "",
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{spent} {held} {needed}");
        }
    }

    #[test]
    fn several_caps_may_be_reached_at_once_each_in_its_own_time() {
        let cap = Some(Micros::new(10));
        let budget = Budget {
            caps: Caps {
                day: cap,
                month: cap,
                total: Some(Micros::new(50)),
            },
            spent_day: Micros::new(9),
            spent_month: Micros::new(10),
            spent_total: Micros::new(10),
            day: 20_818,
            month: 2026 * 12 + 12,
            ..Budget::default()
        };
        let floors = BTreeSet::from([Micros::new(2)]);
        let (reached, near) = standing(&budget, &floors).unwrap();
        assert!(near.is_empty());
        let read = reached.iter().map(|one| {
            let ends = one.cap.ends(one.span).map(rfc3339);
            (one.cap, one.spent.get(), ends.unwrap())
        });
        let new_year = "2027-01-01T00:00:00Z".to_owned();
        let wanted = [(Cap::Day, 9, new_year.clone()), (Cap::Month, 10, new_year)];
        assert_eq!(read.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn word_is_kept_of_so_many() {
        let refused = Refused::default();
        let terms = |floor: i64, key| crate::ledger::Terms {
            balance: BalanceId {
                account: chassis::mint(),
                mode: domain::Mode::Test,
            },
            amount: Micros::new(floor),
            floor: Micros::new(floor),
            kind: crate::ledger::Kind::Media,
            key,
            price_version: String::new(),
        };
        let hold = |floor, key| Op::Hold {
            hold: chassis::mint(),
            terms: terms(floor, key),
        };
        let key = chassis::mint();
        for floor in (0..2_000).rev() {
            refused.note(&hold(floor, Some(key)));
            refused.note(&hold(floor, None));
        }
        let floors = refused.asked().get(&key).unwrap().floors.clone();
        let floors: Vec<i64> = floors.into_iter().map(Micros::get).collect();
        assert_eq!(floors, [0, 1, 2, 3], "one key leaves room for others");
        assert_eq!(refused.asked().len(), 1);
        for _ in 0..2_000 {
            refused.note(&hold(1, Some(chassis::mint())));
        }
        assert_eq!(refused.asked().len(), MOST);
    }

    #[test]
    fn it_is_looked_less_and_less_often_for_what_is_held_and_not_for_ever() {
        let mut word = Word::of(Micros::new(1));
        let mut turns = 0_u32;
        loop {
            turns += 1;
            if word.rests() {
                continue;
            }
            if !word.looks_again() {
                break;
            }
            if turns < LOOKS {
                assert_eq!(word.rest, 0, "at first each turn");
            }
            assert!(word.rest <= LONGEST_REST);
        }
        assert!((40_000..50_000).contains(&turns), "about a day: {turns}");
        // Whoever is refused again is looked at again.
        word.join(Word::of(Micros::new(2)));
        assert!(!word.rests() && word.looks_again());
    }
}
