//! Periodic work: sums up, behind the ledger, how holds ended: operations for customers to look at, and the sums of their days. No batch
//! of the ledger waits for it longer than for one page. What is summed up and how far it came are written in one transaction, so that
//! nothing counts twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use chassis::Tasks;
use db::Db;
use domain::{Micros, Tags, TokenClass, Usage};
use rusqlite::Connection;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    Error,
    config::Limits,
    job::Job,
    store::{
        OperationRow, TagId,
        horizon::Horizon,
        projection::{Bucket, Ending, Explained, Served, ServedSums, Sums, file, postgres},
    },
};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// And of an hour.
const HOUR: i64 = 3_600_000_000;

/// What sums of days need of a receipt. Whatever else it holds is kept as it came.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Receipt {
    route: String,
    model: String,
    provider: String,
    class: String,
    usage: Tokens,
    tags: Tags,
}

/// Tokens by class, each counted once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    /// Whatever is counted in tokens says this one.
    input: Option<u64>,
    cached: u64,
    audio_input: u64,
    output: u64,
    reasoning: u64,
    audio_output: u64,
}

/// The job, and how far the endings are final. One step at a time.
#[derive(Debug)]
pub(crate) struct Projection {
    db: Db,
    page: u32,
    horizon: Mutex<Horizon>,
    /// Up to which ending everything is summed up, as far as this process knows: where nothing is new, no turn to write is taken.
    reached: AtomicI64,
    /// Whether there will be more to sum up soon, as there was now.
    busy: AtomicBool,
}

// === impl Tokens ===

impl Tokens {
    fn known(self) -> Option<Usage> {
        Some(Usage {
            input: self.input?,
            cached: self.cached,
            audio_input: self.audio_input,
            output: self.output,
            reasoning: self.reasoning,
            audio_output: self.audio_output,
        })
    }
}

// === impl Projection ===

impl Projection {
    pub(crate) fn new(db: &Db, limits: &Limits) -> Self {
        Self {
            db: db.clone(),
            page: limits.jobs.project_batch.max(1),
            horizon: Mutex::new(Horizon::of_endings()),
            reached: AtomicI64::new(0),
            busy: AtomicBool::new(false),
        }
    }

    /// Sums up everything that is final by now, page by page, and says how many endings that were.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn catch_up(&self) -> Result<usize, Error> {
        let (upto, is_more_there) = {
            let mut horizon = self.horizon.lock().await;
            (horizon.look(&self.db).await?, horizon.is_waiting())
        };
        let done = self.sum_up(upto).await?;
        self.busy
            .store(done > 0 || is_more_there, Ordering::Relaxed);
        Ok(done)
    }

    async fn sum_up(&self, upto: i64) -> Result<usize, Error> {
        let mut done: usize = 0;
        if self.reached.load(Ordering::Relaxed) >= upto {
            return Ok(done);
        }
        loop {
            let Some(count) = self.step(upto).await? else {
                return Ok(done);
            };
            done = done.saturating_add(count);
            if count < usize::try_from(self.page).unwrap_or(usize::MAX) {
                self.reached.fetch_max(upto, Ordering::Relaxed);
                return Ok(done);
            }
        }
    }

    /// Sums up one page, and says how many endings that were; nothing if another process was faster.
    async fn step(&self, upto: i64) -> Result<Option<usize>, Error> {
        let limit = i64::from(self.page);
        match self.db.file() {
            Some(file) => {
                let step = file.write(move |connection| in_file(connection, upto, limit));
                step.await.map(Some)
            }
            None => self.elsewhere(upto, limit).await,
        }
    }

    /// One step on a server, where another process may be at it as well.
    async fn elsewhere(&self, upto: i64, limit: i64) -> Result<Option<usize>, Error> {
        let read: Result<_, Error> = self
            .db
            .read(async {
                let mut connection = self.db.reader().acquire().await?;
                let from = postgres::progress(&mut connection).await?;
                let endings = postgres::endings(&mut connection, (from, upto), limit).await?;
                let known = postgres::known(&mut connection, &endings).await?;
                Ok((from, endings, known))
            })
            .await;
        let (from, endings, known) = read?;
        let Some(last) = endings.last() else {
            return Ok(Some(0));
        };
        let (count, to) = (endings.len(), last.operation.ending);
        let rows = explained(endings);
        let written: Result<bool, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let first = postgres::advance(connection, (from, to)).await?;
                    if first {
                        postgres::write(connection, &rows).await?;
                        postgres::add(connection, &sums(&known, &rows)?).await?;
                        postgres::serve(connection, &served(&known, &rows)?).await?;
                        postgres::label(connection, &rows).await?;
                    }
                    Ok(first)
                })
            })
            .await;
        Ok(written?.then_some(count))
    }
}

/// One step on a file, which has one writer: nobody else can have summed these up.
fn in_file(connection: &Connection, upto: i64, limit: i64) -> Result<usize, Error> {
    let from = file::progress(connection)?;
    let endings = file::endings(connection, (from, upto), limit)?;
    let Some(last) = endings.last() else {
        return Ok(0);
    };
    let (count, to) = (endings.len(), last.operation.ending);
    let known = file::known(connection, &endings)?;
    let rows = explained(endings);
    file::advance(connection, to)?;
    file::write(connection, &rows)?;
    file::add(connection, &sums(&known, &rows)?)?;
    file::serve(connection, &served(&known, &rows)?)?;
    file::label(connection, &rows)?;
    Ok(count)
}

/// Sums up again and again until told to stop.
pub(crate) fn run(projection: Arc<Projection>, limits: &Limits, tasks: &Tasks) {
    let job = Job {
        name: "billing.project",
        every: limits.jobs.project_every,
    };
    let (db, state, again) = (
        projection.db.clone(),
        Arc::clone(&projection),
        limits.jobs.project_again,
    );
    // On SQLite a turn holds up the writer, and few long ones cost it less.
    let sooner = move || {
        let is_busy = state.db.file().is_none() && state.busy.load(Ordering::Relaxed);
        is_busy.then_some(again)
    };
    let work = move || {
        let projection = Arc::clone(&projection);
        async move { projection.catch_up().await.map(drop) }
    };
    job.run_or_sooner(&db, tasks, sooner, work);
}

/// What some endings come to: the operations as they are now, by id.
fn explained(endings: Vec<Ending>) -> Vec<Explained> {
    let mut rows: Vec<_> = endings.into_iter().map(explain).collect();
    // By time, those of one operation too: its last ending counts.
    rows.sort_by_key(|row| row.operation.id);
    rows.dedup_by(|later, earlier| {
        let is_same = later.operation.id == earlier.operation.id;
        if is_same {
            std::mem::swap(later, earlier);
        }
        is_same
    });
    rows
}

fn explain(ending: Ending) -> Explained {
    // What a receipt does not say, or says otherwise than expected, stays empty: the operation counts all the same.
    let receipt: Receipt = serde_json::from_str(&ending.receipt).unwrap_or_default();
    let usage = receipt.usage.known();
    let all = usage.unwrap_or_default();
    Explained {
        usage,
        operation: OperationRow {
            route: receipt.route,
            model: receipt.model,
            provider: receipt.provider,
            input_tokens: tokens([all.input, all.cached, all.audio_input]),
            output_tokens: tokens([all.output, all.reasoning, all.audio_output]),
            ..ending.operation
        },
        tags: receipt.tags.iter().map(|tag| TagId::from(&tag)).collect(),
        class: receipt.class,
    }
}

/// What operations add to the sums of their days, and of their days and labels. `known` are those of them that ended before: by time, so
/// without a receipt and without labels.
fn sums<'a>(
    known: &'a [OperationRow],
    rows: &'a [Explained],
) -> Result<BTreeMap<Bucket<'a>, Sums>, Error> {
    let mut sums = BTreeMap::new();
    for row in known {
        change(&mut sums, (row, None), -1)?;
    }
    for row in rows {
        change(&mut sums, (&row.operation, None), 1)?;
        for tag in &row.tags {
            change(&mut sums, (&row.operation, Some(*tag)), 1)?;
        }
    }
    sums.retain(|_, sums| *sums != Sums::default());
    Ok(sums)
}

/// What operations add to the sums of their hours, of everybody together. `known`: as for [`sums`].
fn served<'a>(
    known: &'a [OperationRow],
    rows: &'a [Explained],
) -> Result<BTreeMap<Served<'a>, ServedSums>, Error> {
    // What ended by time is without a receipt, so that no tokens of it are in the sums.
    let known = known.iter().map(|row| (row, "", None, -1));
    let rows = rows
        .iter()
        .map(|row| (&row.operation, row.class.as_str(), row.usage, 1));
    let mut served: BTreeMap<Served<'a>, ServedSums> = BTreeMap::new();
    for (row, class, usage, sign) in known.chain(rows) {
        let of = Served {
            hour: row.ended_at.div_euclid(HOUR),
            mode: row.balance.mode.as_str(),
            model: &row.model,
            provider: &row.provider,
            outcome: &row.outcome,
            class,
        };
        let sum = served.entry(of).or_default();
        for (to, by) in [
            (&mut sum.operations, 1),
            (&mut sum.charged, row.charged.get()),
            (&mut sum.written_off, row.written_off.get()),
        ] {
            add(to, by, sign)?;
        }
        let Some(usage) = usage else { continue };
        add(&mut sum.counted, 1, sign)?;
        add(&mut sum.counted_charged, row.charged.get(), sign)?;
        for (to, class) in sum.tokens.iter_mut().zip(TokenClass::ALL) {
            let tokens = i64::try_from(usage.of(class)).unwrap_or(i64::MAX);
            add(to, tokens, sign)?;
        }
    }
    served.retain(|_, sums| *sums != ServedSums::default());
    Ok(served)
}

/// Adds so much, `sign` times.
fn add(to: &mut i64, by: i64, sign: i64) -> Result<(), Error> {
    let by = by.checked_mul(sign);
    let changed = by.and_then(|by| to.checked_add(by));
    *to = changed.ok_or(Error::Corrupt("a sum of usage does not fit"))?;
    Ok(())
}

fn tokens(classes: [u64; 3]) -> i64 {
    let sum = classes.into_iter().fold(0, u64::saturating_add);
    i64::try_from(sum).unwrap_or(i64::MAX)
}

/// Adds an operation to the sums of its day, or of its day and one of its labels; or takes it out of them.
fn change<'a>(
    sums: &mut BTreeMap<Bucket<'a>, Sums>,
    (row, tag): (&'a OperationRow, Option<TagId>),
    sign: i64,
) -> Result<(), Error> {
    let bucket = Bucket {
        balance: row.balance,
        tag,
        day: row.ended_at.div_euclid(DAY),
        key: row.key,
        model: &row.model,
        route: &row.route,
    };
    let sum = sums.entry(bucket).or_default();
    let free = i64::from(row.charged == Micros::ZERO);
    for (to, by) in [
        (&mut sum.operations, 1),
        (&mut sum.free, free),
        (&mut sum.charged, row.charged.get()),
        (&mut sum.input_tokens, row.input_tokens),
        (&mut sum.output_tokens, row.output_tokens),
    ] {
        add(to, by, sign)?;
    }
    Ok(())
}
