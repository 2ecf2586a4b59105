//! The tables `response_room` and `cached_room`: how many bytes of something each account keeps in each mode.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use crate::StoreError;

/// Whose room it is: account and mode.
pub(crate) type Owner = (Vec<u8>, String);

/// One of the tables, by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(&'static str);

// === impl Room ===

impl Room {
    /// That of responses.
    pub(crate) const RESPONSES: Self = Self("response_room");
    /// That of answers for equal requests.
    pub(crate) const CACHED: Self = Self("cached_room");

    /// Takes so many bytes of an account's room. `false`: it has not got them.
    pub(crate) async fn take(
        self,
        connection: &mut AnyConnection,
        (account, mode): &Owner,
        (bytes, most): (i64, i64),
    ) -> Result<bool, StoreError> {
        let table = self.0;
        sqlx::query(AssertSqlSafe(format!(
            "insert into {table} (account, mode, bytes) values ($1, $2, 0) on conflict do nothing"
        )))
        .bind(account.as_slice())
        .bind(mode.as_str())
        .execute(&mut *connection)
        .await?;
        let done = sqlx::query(AssertSqlSafe(format!(
            "update {table} set bytes = bytes + $3 where account = $1 and mode = $2 and bytes + $3 <= $4"
        )))
        .bind(account.as_slice())
        .bind(mode.as_str())
        .bind(bytes)
        .bind(most)
        .execute(connection)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives so many bytes back.
    pub(crate) async fn give(
        self,
        connection: &mut AnyConnection,
        (account, mode): &Owner,
        bytes: i64,
    ) -> Result<(), StoreError> {
        let table = self.0;
        sqlx::query(AssertSqlSafe(format!(
            "update {table} set bytes = bytes - $3 where account = $1 and mode = $2"
        )))
        .bind(account.as_slice())
        .bind(mode.as_str())
        .bind(bytes)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Gives back what deleted rows took, each of which has `account`, `mode` and `bytes`.
    pub(crate) async fn give_all(
        self,
        connection: &mut AnyConnection,
        deleted: &[AnyRow],
    ) -> Result<(), StoreError> {
        // In one order, as others do the same at the same time.
        let mut room: BTreeMap<Owner, i64> = BTreeMap::new();
        for row in deleted {
            let owner = (row.try_get("account")?, row.try_get("mode")?);
            let bytes: i64 = row.try_get("bytes")?;
            let sum = room.entry(owner).or_default();
            *sum = sum.saturating_add(bytes);
        }
        for (owner, bytes) in &room {
            self.give(connection, owner, *bytes).await?;
        }
        Ok(())
    }
}
