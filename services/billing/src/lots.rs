//! Credit that expires. An account keeps one balance; which part of it came with an expiry is counted behind the ledger: what is
//! charged uses up the lot that expires soonest, and only what a lot has left when it expires is taken back, by an adjustment like any
//! other, and never what is held at that moment.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use chassis::{Tasks, clock::micros, telemetry::causes};
use db::Db;
use domain::{Micros, OperationId};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{
    Billing, Error, balance,
    config::Limits,
    job::Job,
    lane::Ledger,
    ledger::{BalanceId, Op, Refusal, Transfer},
    store::{
        self,
        horizon::Horizon,
        lot::{self, EXPIRY, LotRow, Use},
    },
};

/// Entries read, and lots ended, at once.
const PAGE: i64 = 500;

/// The job, and how far the entries are final.
#[derive(Debug)]
pub(crate) struct Lots {
    db: Db,
    ledger: Ledger,
    counting: Mutex<Counting>,
}

/// What is counted.
#[derive(Debug)]
struct Counting {
    horizon: Horizon,
    /// The newest entry at a moment, and the moment: what had expired by then is taken back when this is counted.
    needed: Option<(i64, i64)>,
}

// === impl Lots ===

impl Lots {
    pub(crate) fn new(db: &Db, ledger: &Ledger) -> Self {
        Self {
            db: db.clone(),
            ledger: ledger.clone(),
            counting: Mutex::new(Counting {
                horizon: Horizon::of_entries(),
                needed: None,
            }),
        }
    }

    /// Counts what was used, then takes back what had expired when everything up to then was counted; says whether it came to that.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn tick(&self, now: i64) -> Result<bool, Error> {
        let mut counting = self.counting.lock().await;
        let newest = counting.horizon.newest(&self.db).await?;
        let (needed, asked) = *counting.needed.get_or_insert((newest, now));
        let upto = counting.horizon.look(&self.db).await?;
        while self.count(upto).await? {}
        if upto < needed {
            // What was charged by then is not all counted yet; nothing may expire that it has used.
            return Ok(false);
        }
        counting.needed = None;
        // What was charged before a lot expired is written down by then, however slow its batch was.
        let before = asked.saturating_sub(micros(self.ledger.limits.jobs.lot_grace));
        let due: Result<Vec<LotRow>, Error> = self
            .db
            .read(async {
                let mut connection = self.db.reader().acquire().await?;
                lot::due(&mut connection, before, PAGE).await
            })
            .await;
        for lot in due? {
            let id = lot.id;
            if let Err(error) = self.expire(lot).await {
                // The others are not to wait for it.
                warn!(error = %causes(&error), lot = %id, "credit that has expired cannot be taken back");
            }
        }
        Ok(true)
    }

    /// Counts a page of what balances lost; says whether there may be more.
    async fn count(&self, upto: i64) -> Result<bool, Error> {
        let read: Result<_, Error> = self
            .db
            .read(async {
                let mut connection = self.db.reader().acquire().await?;
                let from = lot::progress(&mut connection).await?;
                let uses = lot::uses(&mut connection, (from, upto), PAGE).await?;
                let mut lots: BTreeMap<BalanceId, Vec<LotRow>> = BTreeMap::new();
                for used in &uses {
                    if let Entry::Vacant(unread) = lots.entry(used.balance) {
                        unread.insert(lot::open(&mut connection, used.balance).await?);
                    }
                }
                Ok((from, uses, lots))
            })
            .await;
        let (from, uses, lots) = read?;
        let full = uses.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let last = uses.last().filter(|_| full);
        let to = last.map_or(upto, |last| last.seq);
        if to <= from {
            return Ok(false);
        }
        let used = used_up(&uses, lots)?;
        let at = self.db.now_micros();
        let written: Result<(), Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { lot::advance(connection, (from, to), &used, at).await })
            })
            .await;
        written.map(|()| full)
    }

    async fn expire(&self, lot: LotRow) -> Result<(), Error> {
        let taking = match lot.taking {
            Some(taking) => Some(taking),
            None => self.decide(&lot).await?,
        };
        let (id, at) = (lot.id, self.db.now_micros());
        if let Some((transfer, amount)) = taking
            && !self.take(&lot, transfer, amount).await?
        {
            // It is decided anew next time.
            return self
                .write(move |connection| {
                    Box::pin(async move { lot::reconsider(connection, id, transfer).await })
                })
                .await;
        }
        let taken = taking.map_or(Micros::ZERO, |(_, amount)| amount);
        info!(lot = %id, credits = %taken, "credit has expired");
        self.write(move |connection| {
            Box::pin(async move { lot::close(connection, id, taking, at).await })
        })
        .await
    }

    /// How much is taken back: what is left of the lot, as far as it is not held.
    async fn decide(&self, lot: &LotRow) -> Result<Option<(OperationId, Micros)>, Error> {
        let balance: Result<_, Error> = self
            .db
            .read(async {
                let mut connection = self.db.reader().acquire().await?;
                store::ledger::balance(&mut connection, lot.balance).await
            })
            .await;
        let balance = balance?.ok_or(Error::Corrupt("a lot of no balance"))?;
        let available = balance.available().map_err(Refusal::from)?;
        let amount = lot.left.min(available);
        if amount <= Micros::ZERO {
            return Ok(None);
        }
        let (id, taking) = (lot.id, (chassis::mint(), amount));
        let decided: Result<bool, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { lot::decide(connection, id, taking).await })
            })
            .await;
        Ok(decided?.then_some(taking))
    }

    /// Books it, once; says whether the balance covers it.
    async fn take(
        &self,
        lot: &LotRow,
        transfer: OperationId,
        amount: Micros,
    ) -> Result<bool, Error> {
        let op = Op::Transfer {
            id: transfer,
            transfer: Transfer {
                balance: lot.balance,
                amount: amount.negate().map_err(Refusal::from)?,
                actor: EXPIRY.to_owned(),
                reason: format!("what was left of {} has expired", lot.id),
            },
        };
        match self.ledger.apply(op, None).await? {
            Ok(_) => Ok(true),
            Err(Refusal::Insufficient { .. }) => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn write<F>(&self, work: F) -> Result<(), Error>
    where
        F: for<'c> FnOnce(
                &'c mut sqlx::AnyConnection,
            ) -> futures::future::BoxFuture<'c, Result<(), Error>>
            + Send
            + 'static,
    {
        self.db.write(work).await
    }
}

// === impl Billing ===

impl Billing {
    /// Counts what credit that expires was used for, and takes back what has expired by `now`, unless something that was charged by then
    /// cannot be counted yet: says whether it did. The service does this by itself, again and again.
    ///
    /// # Errors
    /// When the database failed or the ledger is away.
    pub async fn look_after_lots(&self, now: i64) -> Result<bool, Error> {
        self.lots.tick(now).await
    }

    /// Credit of a balance that expires, the soonest first.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn expiring(&self, id: BalanceId) -> Result<Vec<LotRow>, Error> {
        balance::expiring(&self.db, id).await
    }
}

/// Counts and takes back again and again until told to stop.
pub(crate) fn run(lots: Arc<Lots>, limits: &Limits, tasks: &Tasks) {
    let job = Job {
        name: "billing.lots",
        every: limits.jobs.lots_every,
    };
    let db = lots.db.clone();
    job.run(&db, tasks, move || {
        let lots = Arc::clone(&lots);
        async move { lots.tick(lots.db.now_micros()).await.map(drop) }
    });
}

/// What each lot is used for. Lots are in the order in which they expire; one is used only by what came while it was good.
fn used_up(
    uses: &[Use],
    mut lots: BTreeMap<BalanceId, Vec<LotRow>>,
) -> Result<BTreeMap<OperationId, Micros>, Error> {
    let mut used: BTreeMap<OperationId, Micros> = BTreeMap::new();
    for spent in uses {
        let mut rest = spent.amount;
        let open = lots.get_mut(&spent.balance);
        for lot in open.into_iter().flatten() {
            if !(lot.created_at..=lot.expires_at).contains(&spent.at) {
                continue;
            }
            let part = rest.min(lot.left);
            if part > Micros::ZERO {
                lot.left = lot.left.minus(part).map_err(Refusal::from)?;
                rest = rest.minus(part).map_err(Refusal::from)?;
                let sum = used.entry(lot.id).or_default();
                *sum = sum.plus(part).map_err(Refusal::from)?;
            }
        }
    }
    Ok(used)
}
