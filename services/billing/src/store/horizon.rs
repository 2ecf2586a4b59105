//! Reading a table in the order in which it was written, while others write to it.
//!
//! On SQLite there is one writer, and what is there is all there will ever be up to the last row. On PostgreSQL a row's number is
//! taken before its transaction ends: a lower number may appear after a higher one was seen. Whoever writes such a row has locked
//! or written something before, and so has a transaction id when it takes the number. So: the highest number seen at one moment is
//! final once every transaction that was under way then has ended, and the server tells the oldest one still under way.

use db::{Db, Engine};
use sqlx::Row as _;

use crate::Error;

/// Up to where a table is final. Each look moves it on.
#[derive(Debug)]
pub(crate) struct Horizon {
    newest: &'static str,
    reached: i64,
    /// A number that was seen, and the first transaction that began after it.
    seen: Option<(i64, i64)>,
}

// === impl Horizon ===

impl Horizon {
    /// Of `ending`.
    pub(crate) const fn of_endings() -> Self {
        Self::asking("select coalesce((select max(seq) from ending), 0)")
    }

    /// Of `entry`.
    pub(crate) const fn of_entries() -> Self {
        Self::asking("select coalesce((select max(seq) from entry), 0)")
    }

    const fn asking(newest: &'static str) -> Self {
        Self {
            newest,
            reached: 0,
            seen: None,
        }
    }

    /// The number up to which nothing new will appear.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn look(&mut self, db: &Db) -> Result<i64, Error> {
        let transactions = match db.engine() {
            Engine::Sqlite => "1, 1",
            Engine::Postgres => {
                "cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint),
                 cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)"
            }
        };
        let sql = format!("{}, {transactions}", self.newest);
        let row: Result<_, Error> = db
            .read(async {
                let question = sqlx::query(sqlx::AssertSqlSafe(sql));
                Ok(question.fetch_one(db.reader()).await?)
            })
            .await;
        let row = row?;
        let (newest, next, oldest): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        self.learn(newest, next, oldest);
        Ok(self.reached)
    }

    /// `newest` was the highest number when `next` was the first transaction yet to begin and `oldest` the oldest under way.
    fn learn(&mut self, newest: i64, next: i64, oldest: i64) {
        if let Some((number, began)) = self.seen
            && began <= oldest
        {
            self.reached = self.reached.max(number);
            self.seen = None;
        }
        if next == oldest {
            // Nobody is at anything.
            self.reached = self.reached.max(newest);
        } else {
            self.seen.get_or_insert((newest, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_final_when_all_who_were_at_work_have_ended() {
        let mut horizon = Horizon::of_entries();
        let mut reached = |newest, next, oldest| {
            horizon.learn(newest, next, oldest);
            horizon.reached
        };
        // Transaction 7 is under way: it may hold a number below 40.
        assert_eq!(reached(40, 9, 7), 0);
        assert_eq!(reached(50, 11, 7), 0);
        // It has ended; 10 is under way, which began after 40 was seen.
        assert_eq!(reached(60, 12, 10), 40);
        assert_eq!(reached(60, 12, 12), 60);
        assert_eq!(reached(61, 14, 13), 60);
    }
}
