//! Periodic work: sums up, behind the ledger, how holds ended: operations for customers to look at, and the sums of their days. The
//! ledger never waits for it. What is summed up and how far it came are written in one transaction, so that nothing counts twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chassis::Tasks;
use db::Db;
use domain::{Micros, OperationId, Tags};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    Error,
    config::Limits,
    job::Job,
    store::{
        horizon::Horizon,
        operation::{self, Bucket, Ending, OperationRow, Sums},
        tag::{self, TagId, Tagged},
    },
};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What sums of days need of a receipt. Whatever else it holds is kept as it came.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Receipt {
    route: String,
    model: String,
    provider: String,
    usage: Tokens,
    tags: Tags,
}

/// Tokens by class, each counted once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input: u64,
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
}

// === impl Projection ===

impl Projection {
    pub(crate) fn new(db: &Db, limits: &Limits) -> Self {
        Self {
            db: db.clone(),
            page: limits.jobs.project_batch.max(1),
            horizon: Mutex::new(Horizon::of_endings()),
        }
    }

    /// Sums up everything that is final by now, page by page, and says how many endings that were.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn catch_up(&self) -> Result<usize, Error> {
        let upto = self.horizon.lock().await.look(&self.db).await?;
        let mut done: usize = 0;
        loop {
            let count = self.step(upto).await?;
            done = done.saturating_add(count);
            if count < usize::try_from(self.page).unwrap_or(usize::MAX) {
                return Ok(done);
            }
        }
    }

    async fn step(&self, upto: i64) -> Result<usize, Error> {
        let limit = i64::from(self.page);
        let read: Result<_, Error> = self
            .db
            .read(async {
                let mut connection = self.db.reader().acquire().await?;
                let from = operation::progress(&mut connection).await?;
                let endings = operation::endings(&mut connection, (from, upto), limit).await?;
                let ids: Vec<_> = endings.iter().map(|ending| ending.operation.id).collect();
                let known = operation::known(&mut connection, &ids).await?;
                Ok((from, endings, known))
            })
            .await;
        let (from, endings, known) = read?;
        let Some(last) = endings.last() else {
            return Ok(0);
        };
        let (count, to) = (endings.len(), last.operation.ending);
        let page = sum_up(endings, known)?;
        let written: Result<bool, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let first = operation::advance(connection, (from, to)).await?;
                    if first {
                        operation::write(connection, &page.operations).await?;
                        operation::add(connection, &page.sums).await?;
                        tag::write(connection, &page.tagged).await?;
                    }
                    Ok(first)
                })
            })
            .await;
        // Another process summed these up: this one has done nothing.
        Ok(if written? { count } else { 0 })
    }
}

/// Sums up again and again until told to stop.
pub(crate) fn run(projection: Arc<Projection>, limits: &Limits, tasks: &Tasks) {
    let job = Job {
        name: "billing.project",
        every: limits.jobs.project_every,
    };
    let db = projection.db.clone();
    job.run(&db, tasks, move || {
        let projection = Arc::clone(&projection);
        async move { projection.catch_up().await.map(drop) }
    });
}

/// What some endings come to.
#[derive(Debug, Default)]
struct Page {
    /// The operations, as they are now.
    operations: Vec<OperationRow>,
    /// What they add to the sums of their days, and of their days and labels.
    sums: BTreeMap<Bucket, Sums>,
    /// Those that have labels.
    tagged: Vec<Tagged>,
}

/// Sums up some endings. `known` are operations that ended before: by time, so without a receipt and without labels.
fn sum_up(endings: Vec<Ending>, known: Vec<OperationRow>) -> Result<Page, Error> {
    let mut now: HashMap<OperationId, (OperationRow, Tags)> = HashMap::new();
    let mut page = Page::default();
    for row in &known {
        change(&mut page.sums, (row, None), -1)?;
    }
    for ending in endings {
        let (row, tags) = explained(ending);
        // The last ending counts.
        now.insert(row.id, (row, tags));
    }
    let mut rows: Vec<_> = now.into_values().collect();
    rows.sort_unstable_by_key(|(row, _)| row.id);
    for (row, tags) in rows {
        change(&mut page.sums, (&row, None), 1)?;
        for tag in tags.iter().map(|tag| TagId::from(&tag)) {
            change(&mut page.sums, (&row, Some(tag)), 1)?;
            page.tagged.push(Tagged {
                balance: row.balance,
                tag,
                operation: row.id,
            });
        }
        page.operations.push(row);
    }
    page.sums.retain(|_, sums| *sums != Sums::default());
    Ok(page)
}

fn explained(ending: Ending) -> (OperationRow, Tags) {
    // What a receipt does not say, or says otherwise than expected, stays empty: the operation counts all the same.
    let receipt: Receipt = serde_json::from_str(&ending.receipt).unwrap_or_default();
    let Tokens {
        input,
        cached,
        audio_input,
        output,
        reasoning,
        audio_output,
    } = receipt.usage;
    let row = OperationRow {
        route: receipt.route,
        model: receipt.model,
        provider: receipt.provider,
        input_tokens: tokens([input, cached, audio_input]),
        output_tokens: tokens([output, reasoning, audio_output]),
        ..ending.operation
    };
    (row, receipt.tags)
}

fn tokens(classes: [u64; 3]) -> i64 {
    let sum = classes.into_iter().fold(0, u64::saturating_add);
    i64::try_from(sum).unwrap_or(i64::MAX)
}

/// Adds an operation to the sums of its day, or of its day and one of its labels; or takes it out of them.
fn change(
    sums: &mut BTreeMap<Bucket, Sums>,
    (row, tag): (&OperationRow, Option<TagId>),
    sign: i64,
) -> Result<(), Error> {
    let bucket = Bucket {
        balance: row.balance,
        tag,
        day: row.ended_at.div_euclid(DAY),
        key: row.key,
        model: row.model.clone(),
        route: row.route.clone(),
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
        let by = by.checked_mul(sign);
        let changed = by.and_then(|by| to.checked_add(by));
        *to = changed.ok_or(Error::Corrupt("a sum of usage does not fit"))?;
    }
    Ok(())
}
