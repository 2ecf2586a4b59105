//! Customers' own labels of operations, and what operations with one label come to by day. Made behind the ledger, with `operation`.

use std::collections::BTreeMap;

use domain::{OperationId, Tag};
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe};

use super::operation::{Bucket, Sums, key_bytes, rows};
use crate::{Error, ledger::BalanceId};

/// Rows of one statement: databases take a limited number of values.
const ROWS: usize = 500;

/// A label as it is kept: of its name and value, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId([u8; 16]);

/// An operation that has a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) balance: BalanceId,
    pub(crate) tag: TagId,
    pub(crate) operation: OperationId,
}

// === impl TagId ===

impl From<&Tag> for TagId {
    fn from(tag: &Tag) -> Self {
        let mut hash = Sha256::new();
        hash.update(&tag.name);
        hash.update([0]);
        hash.update(&tag.value);
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(hash.split_at(16).0);
        Self(id)
    }
}

impl TagId {
    /// As it stands in SQL.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// Notes which operations have labels. What is noted already stays.
pub(crate) async fn write(connection: &mut AnyConnection, tagged: &[Tagged]) -> Result<(), Error> {
    for tagged in tagged.chunks(ROWS) {
        let sql = format!(
            "insert into operation_tag (account, mode, tag, operation) values {} on conflict do nothing",
            rows(tagged.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in tagged {
            query = query
                .bind(row.balance.account.to_vec())
                .bind(row.balance.mode.as_str())
                .bind(row.tag.to_vec())
                .bind(row.operation.to_vec());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Adds to the sums of days.
pub(crate) async fn add(
    connection: &mut AnyConnection,
    sums: &BTreeMap<(TagId, Bucket), Sums>,
) -> Result<(), Error> {
    let sums: Vec<_> = sums.iter().collect();
    for sums in sums.chunks(ROWS) {
        let sql = format!(
            "insert into usage_tag_day (account, mode, tag, day, key, model, route, operations, free, charged, input_tokens,
                                        output_tokens)
             values {} on conflict (account, mode, tag, day, key, model, route) do update set
               operations = usage_tag_day.operations + excluded.operations, free = usage_tag_day.free + excluded.free,
               charged = usage_tag_day.charged + excluded.charged,
               input_tokens = usage_tag_day.input_tokens + excluded.input_tokens,
               output_tokens = usage_tag_day.output_tokens + excluded.output_tokens",
            rows(sums.len(), 12)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for ((tag, bucket), sums) in sums {
            query = query
                .bind(bucket.balance.account.to_vec())
                .bind(bucket.balance.mode.as_str())
                .bind(tag.to_vec())
                .bind(bucket.day)
                .bind(key_bytes(bucket.key))
                .bind(bucket.model.clone())
                .bind(bucket.route.clone())
                .bind(sums.operations)
                .bind(sums.free)
                .bind(sums.charged)
                .bind(sums.input_tokens)
                .bind(sums.output_tokens);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
