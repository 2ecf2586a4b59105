//! How much waits, for operators: counted as far as it is cheap.

use sqlx::{AnyPool, AssertSqlSafe, Row as _};

use crate::Error;

/// Rows that are counted at most: more than that is too much, however much it is.
const MOST: i64 = 10_000;

/// What waits to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many rows, at most as many as are counted.
    pub count: i64,
    /// Whether there are more.
    pub more: bool,
    /// When the oldest of those that were counted was made, in microseconds UTC; 0: nothing waits.
    pub oldest: i64,
}

// === impl Backlog ===

impl Backlog {
    /// Counts the rows of a statement that selects one moment as `at`: `select created_at as at from outbox`. Only as many as are counted
    /// are read, so that an index should have them together.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn count(pool: &AnyPool, select: &'static str) -> Result<Self, Error> {
        let sql = format!(
            "select count(*) as waiting, cast(coalesce(min(at), 0) as bigint) as oldest from ({select} limit $1) as counted"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(MOST.saturating_add(1))
            .fetch_one(pool)
            .await?;
        let count: i64 = row.try_get("waiting")?;
        Ok(Self {
            count: count.min(MOST),
            more: count > MOST,
            oldest: row.try_get("oldest")?,
        })
    }
}
