//! Use case: what is on a balance.

use db::Db;
use domain::Micros;

use crate::{
    Error,
    ledger::{Balance, BalanceId},
    store::{self, LotRow},
};

/// What a customer is told of a balance.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: BalanceId,
    pub(crate) balance: Balance,
    /// Credit that expires, the soonest first.
    pub(crate) expiring: Vec<LotRow>,
    /// Below what posted amount the customer is told.
    pub(crate) alert_below: Option<Micros>,
}

/// Looks at a balance and what belongs to it.
///
/// # Errors
/// When there is no such account, or the database failed.
pub(crate) async fn statement(db: &Db, id: BalanceId) -> Result<Statement, Error> {
    let alert_below: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::alert::below(&mut connection, id).await
        })
        .await;
    Ok(Statement {
        id,
        balance: balance(db, id).await?,
        expiring: expiring(db, id).await?,
        alert_below: alert_below?,
    })
}

/// Looks at a balance.
///
/// # Errors
/// When there is no such account, or the database failed.
pub(crate) async fn balance(db: &Db, id: BalanceId) -> Result<Balance, Error> {
    let found: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::ledger::balance(&mut connection, id).await
        })
        .await;
    found?.ok_or(Error::NotFound("account"))
}

/// Credit that expires, the soonest first. What was used of it is counted some seconds behind the ledger.
///
/// # Errors
/// When the database failed.
pub(crate) async fn expiring(db: &Db, id: BalanceId) -> Result<Vec<LotRow>, Error> {
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        store::lot::open(&mut connection, id).await
    })
    .await
}
