//! Use case: what is on a balance.

use db::Db;

use crate::{
    Error,
    ledger::{Balance, BalanceId},
    store::{self, LotRow},
};

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
