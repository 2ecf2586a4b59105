//! Periodic work: the chain over the books. Each seal holds a hash over the one before it and every entry since, so that whoever
//! changes, adds or takes away an entry that was sealed has to change every later seal as well; a seal that was noted down elsewhere
//! then no longer fits. The audit follows the whole chain.

use std::{fmt::Write as _, sync::Arc};

use chassis::Tasks;
use db::Db;
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;
use tokio::sync::Mutex;

use crate::{
    Error,
    config::Limits,
    job::Job,
    store::{
        horizon::Horizon,
        seal::{self, Lines, SealRow},
    },
};

/// Entries read at once.
const PAGE: i64 = 5_000;

/// The job, and how far the entries are final.
#[derive(Debug)]
pub(crate) struct Sealer {
    db: Db,
    horizon: Mutex<Horizon>,
}

/// A hash in the making.
struct Chain {
    hash: Sha256,
    entries: i64,
}

/// What the audit found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Followed {
    /// Seals that do not fit the entries, or the seal before.
    pub(crate) broken: i64,
    /// How many there are.
    pub(crate) seals: i64,
}

// === impl Sealer ===

impl Sealer {
    pub(crate) fn new(db: &Db) -> Self {
        Self {
            db: db.clone(),
            horizon: Mutex::new(Horizon::of_entries()),
        }
    }

    /// Seals what is final and not sealed yet; says how many entries that were.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn seal(&self) -> Result<i64, Error> {
        let upto = self.horizon.lock().await.look(&self.db).await?;
        // The connection's own statements are short; together they may take longer than one question may.
        let mut connection = self.db.reader().acquire().await.map_err(db::Error::from)?;
        let last = seal::last(&mut connection).await?;
        let next = next(&mut connection, last.as_ref(), upto).await?;
        drop(connection);
        if next.entries == 0 {
            return Ok(0);
        }
        let (sealed, at) = (next.entries, self.db.now_micros());
        let written: Result<(), Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { seal::insert(connection, &next, at).await })
            })
            .await;
        written.map(|()| sealed)
    }
}

/// Seals again and again until told to stop.
pub(crate) fn run(db: &Db, limits: &Limits, tasks: &Tasks) {
    let sealer = Arc::new(Sealer::new(db));
    let job = Job {
        name: "billing.seal",
        every: limits.jobs.seal_every,
    };
    job.run(db, tasks, move || {
        let sealer = Arc::clone(&sealer);
        async move { sealer.seal().await.map(drop) }
    });
}

/// Follows the chain from its beginning: every seal must fit the entries and the seal before it.
///
/// # Errors
/// When the database failed.
pub(crate) async fn follow(connection: &mut AnyConnection) -> Result<Followed, Error> {
    let mut followed = Followed::default();
    let mut last: Option<SealRow> = None;
    loop {
        let n = last.as_ref().map_or(0, |seal| seal.n);
        let seals = seal::after(connection, n, PAGE).await?;
        if seals.is_empty() {
            return Ok(followed);
        }
        for found in seals {
            let expected = next(connection, last.as_ref(), found.upto).await?;
            followed.seals = followed.seals.saturating_add(1);
            if expected != found {
                followed.broken = followed.broken.saturating_add(1);
            }
            last = Some(found);
        }
    }
}

/// The seal that follows another one, up to this entry.
async fn next(
    connection: &mut AnyConnection,
    last: Option<&SealRow>,
    upto: i64,
) -> Result<SealRow, Error> {
    let mut chain = Chain::after(last);
    let mut after = last.map_or(0, |seal| seal.upto);
    loop {
        let lines = seal::lines(connection, (after, upto), PAGE).await?;
        let Some(lines) = lines else { break };
        after = lines.last;
        chain.add(&lines);
    }
    Ok(SealRow {
        n: last.map_or(0, |seal| seal.n).saturating_add(1),
        upto,
        entries: chain.entries,
        hash: hex(&chain.hash.finalize()),
    })
}

// === impl Chain ===

impl Chain {
    fn after(last: Option<&SealRow>) -> Self {
        let mut hash = Sha256::new();
        hash.update(last.map_or("", |seal| seal.hash.as_str()));
        Self { hash, entries: 0 }
    }

    /// Every line begins with a line break.
    fn add(&mut self, lines: &Lines) {
        self.hash.update("\n");
        self.hash.update(&lines.text);
        self.entries = self.entries.saturating_add(lines.entries);
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
