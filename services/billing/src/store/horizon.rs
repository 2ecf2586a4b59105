//! Reading a table in the order in which it was written, while others write to it.
//!
//! On SQLite there is one writer, and what is there is all there will ever be up to the last row. On PostgreSQL a row's number is
//! taken before its transaction ends: a lower number may appear after a higher one was seen. Whoever writes such a row has locked
//! or written something before, and so has a transaction id when it takes the number. So: behind the highest number seen, a
//! transaction id is taken, which is later than that of everybody who has a lower number; when the server says that nobody is at
//! work who is older, the number is final. (The end of a snapshot is no such id: ids beyond it may be at work.)

use db::{Db, Engine};

use crate::Error;

/// Takes a transaction id.
const TAKE: &str = "select cast(cast(pg_current_xact_id() as text) as bigint)";
/// The oldest transaction id at work, or the next one.
const OLDEST: &str = "select cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)";

/// Up to where a table is final. Each look moves it on.
#[derive(Debug)]
pub(crate) struct Horizon {
    newest: &'static str,
    reached: i64,
    /// A number that was seen, and a transaction id that was taken behind it.
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
        let newest = self.newest(db).await?;
        match db.engine() {
            Engine::Sqlite => self.reached = newest,
            Engine::Postgres => {
                if self.seen.is_none() && newest > self.reached {
                    self.seen = Some((newest, taken(db).await?));
                }
                if self.seen.is_some() {
                    let oldest = ask(db, OLDEST).await?;
                    self.learn(oldest);
                }
            }
        }
        Ok(self.reached)
    }

    /// Whether something was seen that is not final yet.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.seen.is_some()
    }

    /// The highest number there is.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn newest(&self, db: &Db) -> Result<i64, Error> {
        ask(db, self.newest).await
    }

    /// Nobody is at work whose transaction id is below `oldest`.
    fn learn(&mut self, oldest: i64) {
        if let Some((number, taken)) = self.seen
            && taken <= oldest
        {
            self.reached = self.reached.max(number);
            self.seen = None;
        }
    }
}

async fn ask(db: &Db, question: &'static str) -> Result<i64, Error> {
    db.read(async { Ok(sqlx::query_scalar(question).fetch_one(db.reader()).await?) })
        .await
}

/// A transaction id, and its transaction is over.
async fn taken(db: &Db) -> Result<i64, Error> {
    db.write(|connection| {
        Box::pin(async move { Ok(sqlx::query_scalar(TAKE).fetch_one(connection).await?) })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_final_when_all_who_were_at_work_have_ended() {
        let mut horizon = Horizon {
            seen: Some((40, 9)),
            ..Horizon::of_entries()
        };
        // Transaction 8 is at work: it may hold a number below 40.
        horizon.learn(8);
        assert_eq!(horizon.reached, 0);
        horizon.learn(10);
        assert_eq!((horizon.reached, horizon.seen), (40, None));
        horizon.learn(12);
        assert_eq!(horizon.reached, 40);
    }
}
