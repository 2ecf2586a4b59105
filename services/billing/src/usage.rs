//! Use cases: what was used, by day, key, model and route; operations, the newest first; and one operation's receipt.

use db::Db;
use domain::{KeyId, Micros, OperationId};

use crate::{
    Error,
    ledger::BalanceId,
    store::{
        self, TagId,
        operation::{OperationRow, Page},
    },
};

/// The longest answer about usage, in rows.
const MOST_SUMS: usize = 20_000;

/// By what usage is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// By UTC day.
    Day,
    /// By key.
    Key,
    /// By model.
    Model,
    /// By route.
    Route,
}

/// Whose usage, and of which days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub balance: BalanceId,
    /// The first UTC day, since 1970.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// Only that of operations with this label.
    pub tag: Option<TagId>,
    /// Only that of this model.
    pub model: Option<String>,
    /// Only that of this key.
    pub key: Option<KeyId>,
}

/// What one group used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The UTC day since 1970; 0 if all are summed up.
    pub day: i64,
    /// The key; `None` if all are summed up, and for what no key asked.
    pub key: Option<KeyId>,
    /// The model; empty if all are summed up.
    pub model: String,
    /// The route; empty if all are summed up.
    pub route: String,
    /// Operations that have ended.
    pub operations: i64,
    /// Those that cost nothing.
    pub free: i64,
    /// What the others cost.
    pub charged: Micros,
    /// Tokens read, where models count them.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
}

// === impl Group ===

impl Group {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Day, Self::Key, Self::Model, Self::Route];

    /// The column, which is also the word on the wire.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Key => "key",
            Self::Model => "model",
            Self::Route => "route",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.column() == word)
    }
}

/// Sums up what was used.
///
/// # Errors
/// When that comes to too many rows, or the database failed.
pub(crate) async fn usage(db: &Db, span: Span, groups: &[Group]) -> Result<Vec<Sum>, Error> {
    let sums: Result<Vec<Sum>, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::usage::sums(&mut connection, &span, groups, MOST_SUMS.saturating_add(1)).await
        })
        .await;
    let sums = sums?;
    if sums.len() > MOST_SUMS {
        let allowed = format!("come to at most {MOST_SUMS} rows: name fewer groups, or fewer days");
        return Err(Error::invalid("group_by", allowed));
    }
    Ok(sums)
}

/// A page of operations that have ended, the newest first.
///
/// # Errors
/// When the database failed.
pub(crate) async fn operations(db: &Db, mut page: Page) -> Result<Vec<OperationRow>, Error> {
    page.limit = page.limit.clamp(1, 1_000);
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        store::operation::page(&mut connection, &page).await
    })
    .await
}

/// One operation that has ended, and its receipt: JSON, or nothing if nobody explained it.
///
/// # Errors
/// When there is no such operation of this balance, or the database failed.
pub(crate) async fn receipt(
    db: &Db,
    balance: BalanceId,
    operation: OperationId,
) -> Result<(OperationRow, String), Error> {
    let found: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::operation::with_receipt(&mut connection, balance, operation).await
        })
        .await;
    found?.ok_or(Error::NotFound("operation"))
}
