//! Who a key's cap keeps from going on is told, once for each cap and each day or month of it; and again where the cap was changed.
//!
//! Nothing of this is on a hold's way: a lane leaves word which keys' holds it refused for a cap, and every few seconds it is looked at what
//! those have spent by then. A cap is reached where what is spent leaves nothing of it, or less than was asked for; what is only held may come
//! back. Word that is lost with its process comes again with the next hold that is refused.

use std::{
    collections::BTreeSet,
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

/// Of how many keys and amounts word is kept at once. What is refused beyond that is heard of when it is refused again.
const MOST: usize = 1_024;

/// Word of holds that were refused for a cap. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Keys, and the least that each hold asked for.
    asked: Mutex<BTreeSet<(KeyId, Micros)>>,
    bell: Notify,
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
        let mut asked = self.asked();
        if asked.len() < MOST && asked.insert((key, terms.floor)) {
            self.inner.bell.notify_one();
        }
    }

    fn asked(&self) -> MutexGuard<'_, BTreeSet<(KeyId, Micros)>> {
        let asked = self.inner.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at everything that there is word of, and notes together with the event which caps are reached that nobody was told of. Says how
    /// many those were.
    ///
    /// # Errors
    /// When the database failed; then there is word of it still.
    pub(crate) async fn look(&self, db: &Db) -> Result<usize, Error> {
        let asked = std::mem::take(&mut *self.asked());
        let mut noted = 0_usize;
        for (key, needed) in &asked {
            match look_at(db, *key, *needed).await {
                Ok(count) => noted = noted.saturating_add(count),
                Err(error) => {
                    self.asked().extend(asked);
                    return Err(error);
                }
            }
        }
        Ok(noted)
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

async fn look_at(db: &Db, key: KeyId, needed: Micros) -> Result<usize, Error> {
    let now = db.now_micros();
    let read: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            let Some(budget) = store::budget::get(&mut connection, key).await? else {
                return Ok((None, Vec::new()));
            };
            let mut reached = reached(&budget.at(now), needed).map_err(out_of_range)?;
            let told = store::cap::told(&mut connection, key).await?;
            reached.retain(|one| !told.iter().any(|told| told.covers(one)));
            if reached.is_empty() {
                return Ok((None, reached));
            }
            Ok((store::key::by_id(&mut connection, key).await?, reached))
        })
        .await;
    let (Some(key), reached) = read? else {
        return Ok(0);
    };
    let noted = db.write(move |connection| Box::pin(note(connection, key, reached, now)));
    noted.await
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

/// The caps of which what is spent leaves nothing, or less than this; one that has no room for it at all is not reached by it.
fn reached(budget: &Budget, needed: Micros) -> Result<Vec<Reached>, MoneyError> {
    let caps = budget.caps;
    let mut reached = Vec::new();
    for (cap, amount, spent, span) in [
        (Cap::Day, caps.day, budget.spent_day, budget.day),
        (Cap::Month, caps.month, budget.spent_month, budget.month),
        (Cap::Total, caps.total, budget.spent_total, 0),
    ] {
        let Some(amount) = amount else { continue };
        let left = amount.minus(spent)?;
        if left <= Micros::ZERO || left < needed && needed <= amount {
            reached.push(Reached {
                cap,
                span,
                amount,
                spent,
            });
        }
    }
    Ok(reached)
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
            (0, 10, 3, false),
            (7, 3, 3, false),
            (8, 0, 3, true),
            (8, 0, 2, false),
            (10, 0, 1, true),
            // A request for which the cap has no room has not spent it.
            (0, 0, 11, false),
            (8, 0, 11, false),
            (10, 0, 11, true),
            // It was lowered.
            (12, 0, 11, true),
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
            let reached = reached(&budget, micros(needed)).unwrap();
            let words: Vec<_> = reached.iter().map(|one| one.cap.as_str()).collect();
            let wanted: &[&str] = if expected { &["total"] } else { &[] };
            assert_eq!(words, wanted, "{spent} {held} {needed}");
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
        let reached = reached(&budget, Micros::new(2)).unwrap();
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
        let key = Some(chassis::mint());
        for _ in 0..3 {
            refused.note(&hold(1, key));
            refused.note(&hold(1, None));
        }
        assert_eq!(refused.asked().len(), 1);
        for floor in 0..2_000 {
            refused.note(&hold(floor, key));
        }
        assert_eq!(refused.asked().len(), MOST);
    }
}
