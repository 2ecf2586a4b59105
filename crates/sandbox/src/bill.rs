//! The bill: what each simulated provider was asked, and what it would have charged. It is how a test sees a job that ran
//! twice. It keeps a hash of each prompt, never the prompt.

use std::path::Path;

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse as _, Response},
};
use chassis::Tasks;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use crate::{Error, Sandbox, answer};

/// The database of the bill. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    db: db::Db,
    tasks: Tasks,
}

/// One accepted request: a row of the table `job`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Job {
    /// The id the provider gave.
    pub(crate) id: String,
    pub(crate) provider: String,
    pub(crate) model: String,
    /// `chat`, `embedding`, or what a job makes: `image`, `video` or `audio`.
    pub(crate) kind: String,
    /// See [`hash`].
    pub(crate) prompt_hash: String,
    /// Microseconds UTC.
    pub(crate) at: i64,
    /// Micro-US-dollars.
    pub(crate) billed: i64,
}

/// What `GET /bill/jobs` may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    provider: Option<String>,
    limit: Option<u32>,
}

/// The steps of the schema of its bill.
pub const MIGRATIONS: &[db::Migration] = &[
    db::Migration::both(1, "job", include_str!("../migrations/0001_job.sql")),
    db::Migration::both(
        2,
        "cancelled",
        include_str!("../migrations/0002_cancelled.sql"),
    ),
];

/// The hash of a prompt: equal prompts have equal hashes.
pub(crate) fn hash(prompt: &str) -> String {
    let hash = Sha256::digest(prompt.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `GET /bill`: all jobs, and by provider how many there were, for how much, and how many repeat an earlier prompt.
pub(crate) async fn total(State(sandbox): State<Sandbox>) -> Response {
    match sandbox.bill.totals().await {
        Ok(rows) => {
            let jobs: i64 = rows.iter().map(|row| row.jobs).sum();
            let billed: i64 = rows.iter().map(|row| row.billed).sum();
            let by_provider: serde_json::Map<_, _> = rows
                .into_iter()
                .map(|row| (row.provider.clone(), json!(row)))
                .collect();
            let body = json!({ "jobs": jobs, "billed": billed, "by_provider": by_provider });
            answer::json(StatusCode::OK, &body)
        }
        Err(error) => failed(&error),
    }
}

/// `GET /bill/jobs?provider=&limit=`: the jobs in the order of their acceptance.
pub(crate) async fn list(State(sandbox): State<Sandbox>, Query(asked): Query<Listing>) -> Response {
    let most = sandbox.config.max_listed;
    let limit = asked.limit.unwrap_or(most).min(most);
    match sandbox.bill.jobs(asked.provider.as_deref(), limit).await {
        Ok(jobs) => Json(json!({ "jobs": jobs })).into_response(),
        Err(error) => failed(&error),
    }
}

/// A provider's totals: a row of a query.
#[derive(Debug, Serialize)]
struct Total {
    #[serde(skip)]
    provider: String,
    jobs: i64,
    billed: i64,
    repeated: i64,
}

fn failed(error: &Error) -> Response {
    tracing::error!(%error, "the sandbox's bill cannot be read");
    let body = json!({ "error": "the bill cannot be read" });
    answer::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
}

// === impl Bill ===

impl Bill {
    pub(crate) async fn open(
        path: &Path,
        limits: &db::Limits,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let db = db::Db::open(path, MIGRATIONS, limits, tasks).await?;
        let tasks = tasks.clone();
        Ok(Self { db, tasks })
    }

    /// Counts a job; it is on disk when this returns.
    pub(crate) async fn record(&self, job: Job) -> Result<(), Error> {
        self.db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "insert into job (id, provider, model, kind, prompt_hash, at, billed) \
                         values ($1, $2, $3, $4, $5, $6, $7)",
                    )
                    .bind(job.id)
                    .bind(job.provider)
                    .bind(job.model)
                    .bind(job.kind)
                    .bind(job.prompt_hash)
                    .bind(job.at)
                    .bind(job.billed)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Notes that a job will not run, and costs nothing.
    pub(crate) async fn cancel(&self, id: &str, now: i64) -> Result<(), Error> {
        let id = id.to_owned();
        self.db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "update job set cancelled_at = $1, billed = 0 where id = $2 and cancelled_at is null",
                    )
                    .bind(now)
                    .bind(id)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Whether a job was cancelled.
    pub(crate) async fn is_cancelled(&self, id: &str) -> Result<bool, Error> {
        let found: Option<i64> =
            sqlx::query_scalar("select 1 from job where id = $1 and cancelled_at is not null")
                .bind(id)
                .fetch_optional(self.db.reader())
                .await?;
        Ok(found.is_some())
    }

    /// The job of a provider's that had this prompt, if there is one.
    pub(crate) async fn find(
        &self,
        provider: &str,
        prompt_hash: &str,
    ) -> Result<Option<String>, Error> {
        let found =
            sqlx::query_scalar("select id from job where provider = $1 and prompt_hash = $2")
                .bind(provider.to_owned())
                .bind(prompt_hash.to_owned())
                .fetch_optional(self.db.reader())
                .await?;
        Ok(found)
    }

    /// Counts a job without making its answer wait for the disk.
    pub(crate) fn record_soon(&self, job: Job) {
        let bill = self.clone();
        self.tasks.spawn(tracing::Span::current(), async move {
            if let Err(error) = bill.record(job).await {
                tracing::error!(%error, "a sandbox job was not counted");
            }
        });
    }

    async fn totals(&self) -> Result<Vec<Total>, Error> {
        // The Any driver wants integers: SQLite's `sum` of a bigint is one already, PostgreSQL's is a numeric.
        let rows = sqlx::query(
            "select provider, count(*) as jobs, cast(coalesce(sum(billed), 0) as bigint) as billed, \
             count(*) - count(distinct prompt_hash) as repeated from job group by provider order by provider",
        )
        .fetch_all(self.db.reader())
        .await?;
        let total = |row: &sqlx::any::AnyRow| {
            Ok(Total {
                provider: row.try_get("provider")?,
                jobs: row.try_get("jobs")?,
                billed: row.try_get("billed")?,
                repeated: row.try_get("repeated")?,
            })
        };
        rows.iter().map(total).collect()
    }

    async fn jobs(&self, provider: Option<&str>, limit: u32) -> Result<Vec<Job>, Error> {
        let rows = sqlx::query(
            "select id, provider, model, kind, prompt_hash, at, billed from job \
             where provider = $1 or $2 = 1 order by at, id limit $3",
        )
        .bind(provider.unwrap_or_default())
        .bind(i64::from(provider.is_none()))
        .bind(i64::from(limit))
        .fetch_all(self.db.reader())
        .await?;
        let job = |row: &sqlx::any::AnyRow| {
            Ok(Job {
                id: row.try_get("id")?,
                provider: row.try_get("provider")?,
                model: row.try_get("model")?,
                kind: row.try_get("kind")?,
                prompt_hash: row.try_get("prompt_hash")?,
                at: row.try_get("at")?,
                billed: row.try_get("billed")?,
            })
        };
        rows.iter().map(job).collect()
    }
}
