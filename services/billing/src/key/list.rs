//! Use case: list an account's keys.

use db::Db;
use domain::{AccountId, Mode};

use super::{Asker, Shown};
use crate::{
    Error,
    store::{self, key::Those},
};

/// Which keys are asked for.
pub(crate) struct Page {
    /// Whose: what an operator says.
    pub(crate) account: Option<AccountId>,
    pub(crate) those: Those,
    /// Keys wanted.
    pub(crate) limit: u32,
}

/// Lists keys: a customer's own, or both modes' of the account that an operator names.
///
/// # Errors
/// When there is no such account, or the database failed.
pub(crate) async fn list_keys(db: &Db, asker: &Asker, page: Page) -> Result<Vec<Shown>, Error> {
    let (account, mode): (AccountId, Option<Mode>) = match asker {
        Asker::Operator(_) => (page.account.ok_or(Error::NotFound("account"))?, None),
        Asker::Customer(caller) => (caller.account, Some(caller.mode)),
    };
    let now = db.now_micros();
    let limit = i64::from(page.limit.clamp(1, 1_000));
    let found: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            let keys =
                store::key::list(&mut connection, (account, mode), page.those, limit).await?;
            if keys.is_empty() && !store::account::exists(&mut connection, account).await? {
                return Err(Error::NotFound("account"));
            }
            Ok(keys)
        })
        .await;
    let shown = |row: store::key::ListedRow| Shown {
        row: row.key,
        budget: row.budget,
        last_used_at: row.last_used_at,
        now,
    };
    Ok(found?.into_iter().map(shown).collect())
}
