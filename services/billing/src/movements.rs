//! What moved a balance, as its owner looks at it: each entry with the balance behind it. The rows are made behind the ledger, in the
//! order of the entries; what each was for is said here, in words of the wire.

use std::sync::Arc;

use chassis::Tasks;
use db::Db;
use domain::{Micros, OperationId};
use rusqlite::Connection;
use tokio::sync::Mutex;

use crate::{
    Billing, Error, OpenHoldRow,
    account::{ACTOR as OPERATOR, OPENING},
    config::Limits,
    job::Job,
    ledger::BalanceId,
    orders::{BY_CODE, BY_ORDER, RESET},
    store::{
        self,
        horizon::Horizon,
        lot::EXPIRY,
        movement::{self, MovementRow},
    },
};

/// The job, and how far the entries are final.
#[derive(Debug)]
pub(crate) struct Movements {
    db: Db,
    horizon: Mutex<Horizon>,
    /// Entries taken in one transaction.
    batch: i64,
}

/// What moved a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An operation was charged.
    Charge,
    /// An order was paid, or what a bank had claimed of one came back.
    Order,
    /// What was taken back of an order.
    Refund,
    /// A code was redeemed.
    Code,
    /// A new account began with it.
    Welcome,
    /// An operator gave it.
    Grant,
    /// An operator took it.
    Adjustment,
    /// The test balance was put back.
    Reset,
    /// It expired.
    Expiry,
}

/// A movement of a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// What it was.
    pub kind: Kind,
    /// Of an order, a refund or a code: its id; else empty. Why operators do something is between them.
    pub subject: String,
    pub(crate) row: MovementRow,
}

// === impl Movements ===

impl Movements {
    pub(crate) fn new(db: &Db, limits: &Limits) -> Self {
        Self {
            db: db.clone(),
            horizon: Mutex::new(Horizon::of_entries()),
            batch: i64::from(limits.jobs.movements_batch.max(1)),
        }
    }

    /// Takes up the entries that are final.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn tick(&self) -> Result<(), Error> {
        let upto = self.horizon.lock().await.look(&self.db).await?;
        loop {
            let from: Result<i64, Error> = self
                .db
                .read(async {
                    let mut connection = self.db.reader().acquire().await?;
                    movement::progress(&mut connection).await
                })
                .await;
            let from = from?;
            if from >= upto {
                return Ok(());
            }
            let to = upto.min(from.saturating_add(self.batch));
            match self.db.file() {
                Some(file) => {
                    let step = move |connection: &Connection| {
                        movement::advance_in_file(connection, (from, to))
                    };
                    file.write(step).await
                }
                None => {
                    let step = self.db.write(move |connection| {
                        Box::pin(movement::advance(connection, (from, to)))
                    });
                    step.await
                }
            }?;
        }
    }
}

/// Takes up entries again and again until told to stop.
pub(crate) fn run(movements: Arc<Movements>, limits: &Limits, tasks: &Tasks) {
    let job = Job {
        name: "billing.movements",
        every: limits.jobs.movements_every,
    };
    let db = movements.db.clone();
    job.run(&db, tasks, move || {
        let movements = Arc::clone(&movements);
        async move { movements.tick().await }
    });
}

/// A page of what moved a balance, the newest first: those before a number, or the newest.
///
/// # Errors
/// When the database failed.
pub(crate) async fn movements(
    db: &Db,
    balance: BalanceId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Movement>, Error> {
    let page = (before.unwrap_or(i64::MAX), i64::from(limit.clamp(1, 1_000)));
    let rows: Result<Vec<MovementRow>, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            movement::page(&mut connection, balance, page).await
        })
        .await;
    Ok(rows?.into_iter().map(Movement::of).collect())
}

/// Holds of a balance that are open, the newest first.
///
/// # Errors
/// When the database failed.
pub(crate) async fn open_holds(
    db: &Db,
    balance: BalanceId,
    limit: u32,
) -> Result<Vec<OpenHoldRow>, Error> {
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        let limit = i64::from(limit.clamp(1, 1_000));
        store::ledger::open_holds_of(&mut connection, balance, limit).await
    })
    .await
}

// === impl Billing ===

impl Billing {
    /// Takes up the entries that have come into what customers read of their balance. The service does this by itself, again and again.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn take_up_movements(&self) -> Result<(), Error> {
        self.movements.tick().await
    }

    /// What moved a balance, the newest first: those before a number, or the newest.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn movements(
        &self,
        balance: BalanceId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Movement>, Error> {
        movements(&self.db, balance, before, limit).await
    }

    /// Holds of a balance that are open, the newest first.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn open_holds(
        &self,
        balance: BalanceId,
        limit: u32,
    ) -> Result<Vec<OpenHoldRow>, Error> {
        open_holds(&self.db, balance, limit).await
    }
}

// === impl Kind ===

impl Kind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Order => "order",
            Self::Refund => "refund",
            Self::Code => "code",
            Self::Welcome => "welcome",
            Self::Grant => "grant",
            Self::Adjustment => "adjustment",
            Self::Reset => "reset",
            Self::Expiry => "expiry",
        }
    }

    /// What an entry was for, by its word, and by who made its transfer and why.
    fn of(entry: &str, (actor, reason): (&str, &str), amount: Micros) -> Self {
        let gives = amount > Micros::ZERO;
        match (entry, actor, reason) {
            ("capture", ..) => Self::Charge,
            (_, BY_ORDER, _) if gives => Self::Order,
            (_, BY_ORDER, _) => Self::Refund,
            (_, BY_CODE, _) => Self::Code,
            (_, EXPIRY, _) => Self::Expiry,
            (_, OPERATOR, OPENING) => Self::Welcome,
            (_, _, RESET) => Self::Reset,
            _ if gives => Self::Grant,
            _ => Self::Adjustment,
        }
    }
}

// === impl Movement ===

impl Movement {
    fn of(mut row: MovementRow) -> Self {
        let kind = Kind::of(&row.kind, (&row.actor, &row.reason), row.amount);
        let subject = match kind {
            Kind::Order | Kind::Refund | Kind::Code => std::mem::take(&mut row.reason),
            Kind::Charge
            | Kind::Welcome
            | Kind::Grant
            | Kind::Adjustment
            | Kind::Reset
            | Kind::Expiry => String::new(),
        };
        Self { kind, subject, row }
    }

    /// Its number, from 1 on, in the order in which the balance moved.
    pub const fn number(&self) -> i64 {
        self.row.number
    }

    /// The operation or the transfer.
    pub const fn cause(&self) -> OperationId {
        self.row.cause
    }

    /// What came, or negative what went.
    pub const fn amount(&self) -> Micros {
        self.row.amount
    }

    /// What was posted then.
    pub const fn balance(&self) -> Micros {
        self.row.balance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_told_by_who_made_it() {
        for (entry, actor, reason, amount, kind) in [
            ("capture", "", "", -5, Kind::Charge),
            ("top_up", BY_ORDER, "ord_1", 5, Kind::Order),
            ("adjustment", BY_ORDER, "ord_1", -5, Kind::Refund),
            ("top_up", BY_CODE, "code_1", 5, Kind::Code),
            (
                "adjustment",
                EXPIRY,
                "what was left of it",
                -5,
                Kind::Expiry,
            ),
            ("top_up", OPERATOR, OPENING, 5, Kind::Welcome),
            ("top_up", "usr_1", RESET, 5, Kind::Reset),
            ("adjustment", "usr_1", RESET, -5, Kind::Reset),
            ("top_up", OPERATOR, "sorry", 5, Kind::Grant),
            ("adjustment", "key_1", "fraud", -5, Kind::Adjustment),
        ] {
            let told = Kind::of(entry, (actor, reason), Micros::new(amount));
            assert_eq!(told, kind, "{entry} {actor} {reason}");
        }
    }
}
