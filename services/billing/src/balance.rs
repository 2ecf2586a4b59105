//! Use case: what is on a balance.

use db::Db;

use crate::{
    Error,
    ledger::{Balance, BalanceId},
    store,
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
