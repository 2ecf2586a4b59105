//! Operations as customers look at them. Made behind the ledger from its endings (`projection`).

use domain::{KeyId, Micros, OperationId};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{columns::Columns, row, tag::TagId};
use crate::{Error, ledger::BalanceId};

/// A row of `operation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// The hold's id.
    pub id: OperationId,
    /// Whose, and of which balance.
    pub balance: BalanceId,
    /// By which key, if by one.
    pub key: Option<KeyId>,
    /// Where it was asked for; empty if nobody said.
    pub route: String,
    /// The model's slug; empty if nobody said.
    pub model: String,
    /// Who served it; empty if nobody did.
    pub provider: String,
    /// How its hold ended: `captured`, `released`, `expired` or `late`.
    pub outcome: String,
    /// Set aside.
    pub held: Micros,
    /// Charged of it.
    pub charged: Micros,
    /// Our loss beyond it.
    pub written_off: Micros,
    /// Tokens read, where the model counts them.
    pub input_tokens: i64,
    /// Tokens written, reasoning included.
    pub output_tokens: i64,
    /// The version of the price list.
    pub price_version: String,
    /// When its credit was set aside, in microseconds UTC.
    pub created_at: i64,
    /// When it ended.
    pub ended_at: i64,
    /// The ending that explains it.
    pub(crate) ending: i64,
}

/// Columns of `operation`, in the order in which rows are written and read.
pub(super) const COLUMNS: &str = "id, account, mode, key, route, model, provider, outcome, held, charged, written_off, input_tokens,
    output_tokens, price_version, created_at, ended_at, ending";

/// What a page of operations holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose.
    pub balance: BalanceId,
    /// Only those older than this one.
    pub before: Option<OperationId>,
    /// Only those of this model.
    pub model: Option<String>,
    /// Only those of this key.
    pub key: Option<KeyId>,
    /// Only those with this label.
    pub tag: Option<TagId>,
    /// Only those whose hold ended so: `captured`, `released`, `expired` or `late`.
    pub outcome: Option<String>,
    /// Only those begun from then on, in microseconds UTC; 0: whenever.
    pub since: i64,
    /// Only those begun before then; 0: whenever.
    pub until: i64,
    /// Rows wanted.
    pub limit: i64,
}

/// A page, the newest first.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    page: &Page,
) -> Result<Vec<OperationRow>, Error> {
    let (since, before) = bounds(page);
    let filters = filters(page);
    // With a label, its own index has the page in order.
    let (from, page_id, whose) = match page.tag {
        None => ("operation", "id", "account = $1 and mode = $2"),
        Some(_) => (
            "operation_tag join operation on operation.id = operation_tag.operation",
            "operation_tag.operation",
            "operation_tag.account = $1 and operation_tag.mode = $2",
        ),
    };
    let columns = COLUMNS.replace("account, mode", "operation.account, operation.mode");
    let sql = format!(
        "select {columns} from {from} where {whose} and {page_id} < $3 and {page_id} >= $5{filters} order by {page_id} desc limit $4"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(page.balance.account.to_vec())
        .bind(page.balance.mode.as_str())
        .bind(before)
        .bind(page.limit)
        .bind(since);
    if let Some(model) = &page.model {
        query = query.bind(model.clone());
    }
    if let Some(key) = page.key {
        query = query.bind(key.to_vec());
    }
    if let Some(tag) = page.tag {
        query = query.bind(tag.to_vec());
    }
    if let Some(outcome) = &page.outcome {
        query = query.bind(outcome.clone());
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Between which ids a page lies: from the first on, and before the second. Ids begin with the time they were made, in milliseconds.
fn bounds(page: &Page) -> (Vec<u8>, Vec<u8>) {
    let at = |micros: i64| {
        let millis = micros.div_euclid(1_000).max(0).to_be_bytes();
        let mut id = millis.get(2..).unwrap_or_default().to_vec();
        id.resize(16, 0);
        id
    };
    let until = (page.until > 0).then(|| at(page.until));
    let before = page.before.map(OperationId::to_vec);
    let ends = until.into_iter().chain(before).min();
    (at(page.since), ends.unwrap_or_else(|| vec![u8::MAX; 16]))
}

/// What else a page's rows must be, with places from 6 on.
fn filters(page: &Page) -> String {
    // What did not end by a capture has an index of its own, and is little: other indexes would lead through all that did.
    let is_rare = page
        .outcome
        .as_ref()
        .is_some_and(|outcome| outcome != "captured");
    let [model, key, outcome] = if is_rare {
        [
            "coalesce(model, '') = ",
            "coalesce(key, key) = ",
            "outcome <> 'captured' and outcome = ",
        ]
    } else {
        ["model = ", "key = ", "outcome = "]
    };
    let filters = [
        page.model.is_some().then_some(model),
        page.key.is_some().then_some(key),
        page.tag.is_some().then_some("operation_tag.tag = "),
        page.outcome.is_some().then_some(outcome),
    ];
    (6..)
        .zip(filters.into_iter().flatten())
        .map(|(place, filter)| format!(" and {filter}${place}"))
        .collect()
}

/// One operation of this balance, and its receipt.
pub(crate) async fn with_receipt(
    connection: &mut AnyConnection,
    balance: BalanceId,
    id: OperationId,
) -> Result<Option<(OperationRow, String)>, Error> {
    let sql = format!(
        "select {COLUMNS}, (select receipt from ending where seq = operation.ending) as receipt
         from operation where id = $1 and account = $2 and mode = $3"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.to_vec())
        .bind(balance.account.to_vec())
        .bind(balance.mode.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((read(&row)?, row.try_get("receipt")?)))
        .transpose()
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read(row: &impl Columns) -> Result<OperationRow, Error> {
    Ok(OperationRow {
        id: row.id(0)?.into(),
        balance: row::balance_id(row.id(1)?, row.text(2)?)?,
        key: row.filled_id(3)?.map(Into::into),
        route: row.text(4)?.to_owned(),
        model: row.text(5)?.to_owned(),
        provider: row.text(6)?.to_owned(),
        outcome: row.text(7)?.to_owned(),
        held: row.micros(8)?,
        charged: row.micros(9)?,
        written_off: row.micros(10)?,
        input_tokens: row.int(11)?,
        output_tokens: row.int(12)?,
        price_version: row.text(13)?.to_owned(),
        created_at: row.int(14)?,
        ended_at: row.int(15)?,
        ending: row.int(16)?,
    })
}
