//! Customers' own labels of operations. Noted behind the ledger, with `operation`.

use db::Engine;
use domain::{OperationId, Tag};
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe};

use super::operation::{portions, rows};
use crate::{Error, ledger::BalanceId};

/// A label as it is kept: the first 16 bytes of the SHA-256 of its name, a zero byte and its value. Neither holds a zero byte.
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
    for tagged in portions(tagged) {
        let sql = format!(
            "insert into operation_tag (account, mode, tag, operation) values {} on conflict do nothing",
            rows(Engine::of(connection), tagged.len(), 4)
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
