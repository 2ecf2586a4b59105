//! Use case: a customer names a balance from which on they are told that it is low; and the job that looks.
//!
//! What counts is what is posted: holds come and go with requests. The customer is told once each time the balance falls below, in the
//! transaction that notes it, and again only after it was at or above in between. The job looks every few seconds, so a balance that
//! falls and rises between two looks was not low.

use chassis::Tasks;
use db::{
    Db, Relay,
    outbox::{self, NewRow},
};
use domain::{Caller, EventType, Micros};
use serde::Serialize;
use serde_json::json;
use sqlx::AnyConnection;
use tracing::info;

use crate::{
    Error,
    audit_log::{self, Action, By, Change},
    config::Limits,
    job::Job,
    ledger::BalanceId,
    news,
    resend::until_known,
    store::{
        self,
        alert::{self, State, Turn},
    },
};

/// Alerts looked at in one transaction.
const PAGE: i64 = 200;

/// The wire form of the event's data.
#[derive(Serialize)]
struct Data {
    account_id: String,
    mode: &'static str,
    below_credits: Micros,
    below_microcredits: i64,
    available_credits: Micros,
    available_microcredits: i64,
    held_credits: Micros,
    held_microcredits: i64,
    posted_credits: Micros,
    posted_microcredits: i64,
}

/// Sets from what balance on the caller is told, or that they are not.
///
/// # Errors
/// When the amount is not allowed, there is no such account, or the database failed.
pub(crate) async fn set_alert(
    db: &Db,
    limits: &Limits,
    caller: &Caller,
    below: Option<Micros>,
) -> Result<BalanceId, Error> {
    let most = limits.input.transfer_amount();
    if below.is_some_and(|below| below <= Micros::ZERO || below > most) {
        let allowed = format!("be more than 0 and at most {most}");
        return Err(Error::invalid("below_credits", allowed));
    }
    let id = BalanceId {
        account: caller.account,
        mode: caller.mode,
    };
    until_known(limits, || {
        let (by, now) = (By::from(caller), db.now_micros());
        db.write(move |connection| Box::pin(set(connection, id, below, (by, now))))
    })
    .await?;
    Ok(id)
}

async fn set(
    connection: &mut AnyConnection,
    id: BalanceId,
    below: Option<Micros>,
    (by, now): (By, i64),
) -> Result<(), Error> {
    // Held until the end: two changes come one after the other.
    let balance = store::order::lock_balance(connection, id).await?;
    let balance = balance.ok_or(Error::NotFound("account"))?;
    let before = alert::below(connection, id).await?;
    if before == below {
        return Ok(());
    }
    match below {
        // A balance that is low already has not fallen: whoever sets this sees it in the answer.
        Some(below) => {
            alert::set(connection, id, below, State::of(balance.posted, below)).await?;
        }
        None => alert::remove(connection, id).await?,
    }
    let change = Change {
        whose: (Some(id.account), Some(id.mode)),
        action: Action::CreditsAlert,
        subject: id.account.to_string(),
        detail: json!({
            "before": { "below_microcredits": before.map(Micros::get) },
            "after": { "below_microcredits": below.map(Micros::get) },
        }),
    };
    audit_log::note(connection, &by, change, now).await
}

/// Looks again and again until told to stop, and rings for what was noted.
pub(crate) fn run(db: &Db, limits: &Limits, relay: Relay, tasks: &Tasks) {
    let job = Job {
        name: "billing.alert",
        every: limits.jobs.alert_every,
    };
    let of_job = db.clone();
    job.run(db, tasks, move || {
        let (db, relay) = (of_job.clone(), relay.clone());
        async move {
            if look(&db).await? > 0 {
                relay.ring();
            }
            Ok(())
        }
    });
}

/// Looks at every alert once: what fell below is noted together with what is to be told. Says how many those were.
///
/// # Errors
/// When the database failed.
pub(crate) async fn look(db: &Db) -> Result<usize, Error> {
    let mut fallen = 0_usize;
    loop {
        let turns: Result<Vec<Turn>, Error> = db
            .read(async {
                let mut connection = db.reader().acquire().await?;
                alert::turns(&mut connection, PAGE).await
            })
            .await;
        let turns = turns?;
        if turns.is_empty() {
            return Ok(fallen);
        }
        let now = db.now_micros();
        let noted = db.write(move |connection| Box::pin(note(connection, turns, now)));
        fallen = fallen.saturating_add(noted.await?);
    }
}

async fn note(
    connection: &mut AnyConnection,
    mut turns: Vec<Turn>,
    now: i64,
) -> Result<usize, Error> {
    // In one order everywhere, should two look at once.
    turns.sort_unstable_by_key(|turn| turn.id);
    let mut fallen = 0_usize;
    for turn in turns {
        let turned = alert::turn(connection, &turn).await?;
        if turned && turn.state == State::Armed {
            outbox::enqueue(connection, told(&turn, now)?, now).await?;
            fallen = fallen.saturating_add(1);
        }
    }
    Ok(fallen)
}

/// The row that tells the customer. Its id is the event's.
fn told(turn: &Turn, now: i64) -> Result<NewRow, Error> {
    let (posted, held) = (turn.balance.posted, turn.balance.held);
    let available = posted
        .minus(held)
        .map_err(|_| Error::Corrupt("a balance is out of range"))?;
    let data = Data {
        account_id: turn.id.account.to_string(),
        mode: turn.id.mode.as_str(),
        below_credits: turn.below,
        below_microcredits: turn.below.get(),
        available_credits: available,
        available_microcredits: available.get(),
        held_credits: held,
        held_microcredits: held.get(),
        posted_credits: posted,
        posted_microcredits: posted.get(),
    };
    info!(account.id = %turn.id.account, mode = turn.id.mode.as_str(), "a balance is low");
    Ok(news::row(EventType::BalanceLow, turn.id, &data, now))
}
