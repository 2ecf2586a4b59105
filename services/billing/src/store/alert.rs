//! The table `alert`: from what balance on a customer is told that it is low.

use domain::Micros;
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row;
use crate::{
    Error,
    ledger::{Balance, BalanceId},
};

/// Whether the customer is told when the balance falls below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was at or above since the customer was last told.
    Armed,
    /// It is below, and the customer knows.
    Quiet,
}

/// An alert that does not fit its balance any more, and the balance: a row type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) id: BalanceId,
    pub(crate) below: Micros,
    /// As it is.
    pub(crate) state: State,
    pub(crate) balance: Balance,
}

// === impl State ===

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Quiet => "quiet",
        }
    }

    /// The one that fits a balance.
    pub(crate) fn of(posted: Micros, below: Micros) -> Self {
        if posted < below {
            Self::Quiet
        } else {
            Self::Armed
        }
    }
}

/// From what balance on its customer is told.
pub(crate) async fn below(
    connection: &mut AnyConnection,
    id: BalanceId,
) -> Result<Option<Micros>, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select below from alert where account = $1 and mode = $2")
            .bind(id.account.to_vec())
            .bind(id.mode.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(found.map(Micros::new))
}

/// Sets it.
pub(crate) async fn set(
    connection: &mut AnyConnection,
    id: BalanceId,
    below: Micros,
    state: State,
) -> Result<(), Error> {
    sqlx::query(
        "insert into alert (account, mode, below, state) values ($1, $2, $3, $4)
         on conflict (account, mode) do update set below = excluded.below, state = excluded.state",
    )
    .bind(id.account.to_vec())
    .bind(id.mode.as_str())
    .bind(below.get())
    .bind(state.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes it away.
pub(crate) async fn remove(connection: &mut AnyConnection, id: BalanceId) -> Result<(), Error> {
    sqlx::query("delete from alert where account = $1 and mode = $2")
        .bind(id.account.to_vec())
        .bind(id.mode.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Alerts that do not fit their balances any more: those that fell, and those that rose again.
pub(crate) async fn turns(connection: &mut AnyConnection, limit: i64) -> Result<Vec<Turn>, Error> {
    let rows = sqlx::query(
        "select alert.account, alert.mode, below, state, posted, held, open_holds, frozen_at
         from alert join balance on balance.account = alert.account and balance.mode = alert.mode
         where (state = 'armed' and posted < below) or (state = 'quiet' and posted >= below)
         limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Notes that an alert has turned, unless it was changed meanwhile; says whether it did.
pub(crate) async fn turn(connection: &mut AnyConnection, turn: &Turn) -> Result<bool, Error> {
    let to = State::of(turn.balance.posted, turn.below);
    let done = sqlx::query(
        "update alert set state = $1 where account = $2 and mode = $3 and state = $4 and below = $5",
    )
    .bind(to.as_str())
    .bind(turn.id.account.to_vec())
    .bind(turn.id.mode.as_str())
    .bind(turn.state.as_str())
    .bind(turn.below.get())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn read(row: &AnyRow) -> Result<Turn, Error> {
    let state: String = row.try_get("state")?;
    Ok(Turn {
        id: BalanceId {
            account: row::id(row, "account")?,
            mode: row::mode(row)?,
        },
        below: Micros::new(row.try_get("below")?),
        state: match state.as_str() {
            "armed" => State::Armed,
            "quiet" => State::Quiet,
            _ => return Err(Error::Corrupt("an alert is neither armed nor quiet")),
        },
        balance: super::ledger::read_balance(row)?,
    })
}
