//! Accounts, and which of them is the operator's.

use db::Engine;
use domain::{AccountId, KeyId, PriceFactor};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::row::{self, AccountRow};
use crate::Error;

/// Letters of one search whose capitals are found as well, besides A to Z.
const MOST_CAPITALS: usize = 16;

/// A row of `operator`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OperatorRow {
    pub(crate) account: AccountId,
    pub(crate) bootstrap_key: Option<KeyId>,
}

/// Writes one down, unless its id is there already; says whether it was new.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    account: &AccountRow,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into account (id, name, created_at) values ($1, $2, $3) on conflict (id) do nothing",
    )
    .bind(account.id.to_vec())
    .bind(account.name.clone())
    .bind(account.created_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// One account.
pub(crate) async fn get(
    connection: &mut AnyConnection,
    id: AccountId,
) -> Result<Option<AccountRow>, Error> {
    let row = sqlx::query("select id, name, created_at, price_factor from account where id = $1")
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn exists(connection: &mut AnyConnection, id: AccountId) -> Result<bool, Error> {
    let found = sqlx::query("select id from account where id = $1")
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// Stops both balances of an account since a moment, or lets them go on; says whether that changes anything. What was stopped before
/// stays so since then.
pub(crate) async fn freeze(
    connection: &mut AnyConnection,
    id: AccountId,
    since: Option<i64>,
) -> Result<bool, Error> {
    let sql = match since {
        Some(_) => "update balance set frozen_at = $1 where account = $2 and frozen_at is null",
        None => "update balance set frozen_at = $1 where account = $2 and frozen_at is not null",
    };
    let frozen = sqlx::query(sql)
        .bind(since)
        .bind(id.to_vec())
        .execute(connection)
        .await?;
    Ok(frozen.rows_affected() > 0)
}

/// A page of accounts, in the order of their ids.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<AccountRow>, Error> {
    // No id is shorter than an empty one.
    let after = after.map(AccountId::to_vec).unwrap_or_default();
    let rows = sqlx::query(
        "select id, name, created_at, price_factor from account where id > $1 order by id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Those whose names are like a pattern in lower case, the newest first.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    pattern: &str,
    before: Option<AccountId>,
    limit: i64,
) -> Result<Vec<AccountRow>, Error> {
    let before = before.map_or_else(|| vec![u8::MAX; 16], AccountId::to_vec);
    let capitals = capitals(pattern);
    // SQLite's `lower` knows no capitals but A to Z: those that matter are put into lower case one by one.
    // Their places are behind the three that there always are.
    let places = (4_usize..).step_by(2).take(capitals.len());
    let name = places.fold("lower(name)".to_owned(), |name, first| {
        format!("replace({name}, ${first}, ${})", first.saturating_add(1))
    });
    let sql = format!(
        "select id, name, created_at, price_factor from account
         where id < $1 and {name} like $2 escape '\\' order by id desc limit $3"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(before)
        .bind(pattern.to_owned())
        .bind(limit);
    for (capital, letter) in capitals {
        query = query.bind(capital.to_string()).bind(letter.to_string());
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Letters of a pattern that are not A to Z, behind their capitals: at most so many different ones as a search has a use for.
fn capitals(pattern: &str) -> Vec<(char, char)> {
    let mut capitals: Vec<(char, char)> = Vec::new();
    for letter in pattern.chars().filter(|letter| !letter.is_ascii()) {
        let mut upper = letter.to_uppercase();
        if let (Some(capital), None) = (upper.next(), upper.next())
            && capital != letter
            && capitals.len() < MOST_CAPITALS
            && !capitals.contains(&(capital, letter))
        {
            capitals.push((capital, letter));
        }
    }
    capitals
}

/// What an account pays of a price. `None`: there is no such account.
pub(crate) async fn price_factor(
    connection: &mut AnyConnection,
    id: AccountId,
) -> Result<Option<PriceFactor>, Error> {
    let row = sqlx::query("select price_factor from account where id = $1")
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_factor).transpose()
}

/// The same, of an account that nobody else changes until this transaction has ended.
pub(crate) async fn lock_price_factor(
    connection: &mut AnyConnection,
    id: AccountId,
) -> Result<Option<PriceFactor>, Error> {
    let sql = match Engine::of(connection) {
        // There is one writer.
        Engine::Sqlite => "select price_factor from account where id = $1",
        Engine::Postgres => "select price_factor from account where id = $1 for no key update",
    };
    let row = sqlx::query(sql)
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_factor).transpose()
}

/// Sets what an account pays of a price. `None`: there is no such account.
pub(crate) async fn set_price_factor(
    connection: &mut AnyConnection,
    id: AccountId,
    factor: PriceFactor,
) -> Result<Option<AccountRow>, Error> {
    let row = sqlx::query(
        "update account set price_factor = $1 where id = $2 returning id, name, created_at, price_factor",
    )
    .bind(factor.parts_per_million())
    .bind(id.to_vec())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

fn read_factor(row: &AnyRow) -> Result<PriceFactor, Error> {
    PriceFactor::new(row.try_get("price_factor")?)
        .ok_or(Error::Corrupt("a price factor is out of range"))
}

pub(crate) async fn operator(connection: &mut AnyConnection) -> Result<Option<OperatorRow>, Error> {
    let row = sqlx::query("select account, bootstrap_key from operator where one = 1")
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_operator).transpose()
}

/// The operator's row, which nobody else changes until this transaction has ended.
pub(crate) async fn lock_operator(
    connection: &mut AnyConnection,
) -> Result<Option<OperatorRow>, Error> {
    let sql = match Engine::of(connection) {
        // There is one writer.
        Engine::Sqlite => "select account, bootstrap_key from operator where one = 1",
        Engine::Postgres => "select account, bootstrap_key from operator where one = 1 for update",
    };
    let row = sqlx::query(sql).fetch_optional(connection).await?;
    row.as_ref().map(read_operator).transpose()
}

/// Makes an account the operator's.
///
/// # Errors
/// When the statement fails, or another process has made one meanwhile.
pub(crate) async fn insert_operator(
    connection: &mut AnyConnection,
    account: AccountId,
) -> Result<(), Error> {
    let made =
        sqlx::query("insert into operator (one, account) values (1, $1) on conflict do nothing")
            .bind(account.to_vec())
            .execute(connection)
            .await?;
    if made.rows_affected() == 0 {
        return Err(Error::Overtaken);
    }
    Ok(())
}

pub(crate) async fn set_bootstrap_key(
    connection: &mut AnyConnection,
    key: KeyId,
) -> Result<(), Error> {
    sqlx::query("update operator set bootstrap_key = $1 where bootstrap_key is null")
        .bind(key.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<AccountRow, Error> {
    Ok(AccountRow {
        id: row::id(row, "id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        price_factor: read_factor(row)?,
    })
}

fn read_operator(row: &AnyRow) -> Result<OperatorRow, Error> {
    let key: Option<Vec<u8>> = row.try_get("bootstrap_key")?;
    let key =
        key.map(|bytes| KeyId::from_slice(&bytes).ok_or(Error::Corrupt("an id is not 16 bytes")));
    Ok(OperatorRow {
        account: row::id(row, "account")?,
        bootstrap_key: key.transpose()?,
    })
}
