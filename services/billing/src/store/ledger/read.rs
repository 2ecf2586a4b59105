//! The ledger's rows as they are loaded, whichever driver brings them. All have their columns in one order.

use domain::{KeyId, Micros, OperationId};

use crate::{
    Error,
    ledger::{Balance, BalanceId, Budget, Caps, Hold, HoldState, Kind, Stored, Terms, Transfer},
    store::{
        columns::Columns,
        row::{balance_id, state},
    },
};

/// Account, mode, posted, held, open holds, since when it is frozen.
pub(super) fn balance(row: &impl Columns) -> Result<(BalanceId, Balance), Error> {
    let balance = Balance {
        posted: row.micros(2)?,
        held: row.micros(3)?,
        open_holds: row.int(4)?,
        frozen: row.optional_int(5)?.is_some(),
    };
    Ok((balance_id(row.id(0)?, row.text(1)?)?, balance))
}

/// Id, account, mode, state, amount, floor, granted, captured, written off, key, budgeted, version of the price list, when it expires.
pub(super) fn hold(row: &impl Columns) -> Result<(OperationId, Stored), Error> {
    let id = row.id(0)?.into();
    let state = state(row.text(3)?)?;
    if state == HoldState::Tombstone {
        return Ok((id, Stored::Tombstone));
    }
    let owner = row.optional_id(1)?.zip(row.optional_text(2)?);
    let (account, mode) = owner.ok_or(Error::Corrupt("a hold names nobody"))?;
    let kind = match row.optional_int(12)? {
        Some(expires_at) => Kind::Chat { expires_at },
        None => Kind::Media,
    };
    let hold = Hold {
        terms: Terms {
            balance: balance_id(account, mode)?,
            amount: row.micros(4)?,
            floor: row.micros(5)?,
            kind,
            key: row.optional_id(9)?.map(Into::into),
            price_version: row.text(11)?.to_owned(),
        },
        granted: row.micros(6)?,
        captured: row.micros(7)?,
        written_off: row.micros(8)?,
        budgeted: row.int(10)? != 0,
        state,
    };
    Ok((id, Stored::Hold(hold)))
}

/// Id, account, mode, amount, actor, reason.
pub(super) fn transfer(row: &impl Columns) -> Result<(OperationId, Transfer), Error> {
    let transfer = Transfer {
        balance: balance_id(row.id(1)?, row.text(2)?)?,
        amount: row.micros(3)?,
        actor: row.text(4)?.to_owned(),
        reason: row.text(5)?.to_owned(),
    };
    Ok((row.id(0)?.into(), transfer))
}

/// The key, its caps (day, month, total), what is spent (day, month, total), what is held, the day, the month.
pub(super) fn budget(row: &impl Columns) -> Result<(KeyId, Budget), Error> {
    let cap = |column| Ok::<_, Error>(row.optional_int(column)?.map(Micros::new));
    let budget = Budget {
        caps: Caps {
            day: cap(1)?,
            month: cap(2)?,
            total: cap(3)?,
        },
        spent_day: row.micros(4)?,
        spent_month: row.micros(5)?,
        spent_total: row.micros(6)?,
        held: row.micros(7)?,
        day: row.int(8)?,
        month: row.int(9)?,
    };
    Ok((row.id(0)?.into(), budget))
}
