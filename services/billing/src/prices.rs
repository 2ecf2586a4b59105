//! Use cases: keep the text of a price list, give it back, and say what an account pays of a price.

pub(crate) mod rpc;

use db::Db;
use domain::{AccountId, PriceFactor, catalogue};
use serde_json::json;
use tracing::info;

use crate::{
    Error,
    audit_log::{self, Action, By, Change},
    store::{self, AccountRow, PriceListRow},
};

/// Keeps the text of a price list, once. Idempotent: its version is its hash.
///
/// # Errors
/// When the version is not the text's, or the database failed.
pub(crate) async fn keep_list(db: &Db, version: &str, body: String) -> Result<(), Error> {
    if catalogue::version_of(&body) != version {
        return Err(Error::invalid("version", "be the hash of the price list"));
    }
    if list(db, version).await.is_ok() {
        return Ok(());
    }
    let row = PriceListRow {
        version: version.to_owned(),
        body,
        created_at: db.now_micros(),
    };
    let kept: Result<bool, Error> = db
        .write(move |connection| {
            Box::pin(async move { store::price_list::insert(connection, &row).await })
        })
        .await;
    if kept? {
        info!(version, "a new price list is kept");
    }
    Ok(())
}

/// A kept price list.
///
/// # Errors
/// When there is none of this version, or the database failed.
pub(crate) async fn list(db: &Db, version: &str) -> Result<PriceListRow, Error> {
    let found: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::price_list::get(&mut connection, version).await
        })
        .await;
    found?.ok_or(Error::NotFound("price list"))
}

/// Sets what an account pays of a price. What is held already keeps the factor it was held with.
///
/// # Errors
/// When there is no such account, or the database failed.
pub(crate) async fn set_factor(
    db: &Db,
    account: AccountId,
    factor: PriceFactor,
    by: By,
) -> Result<AccountRow, Error> {
    let now = db.now_micros();
    let row = db
        .write(move |connection| {
            Box::pin(async move {
                let before = store::account::lock_price_factor(connection, account).await?;
                let before = before.ok_or(Error::NotFound("account"))?;
                let row = store::account::set_price_factor(connection, account, factor).await?;
                let change = Change {
                    whose: (Some(account), None),
                    action: Action::AccountUpdate,
                    subject: account.to_string(),
                    detail: json!({
                        "before": { "price_factor": before.to_string() },
                        "after": { "price_factor": factor.to_string() },
                    }),
                };
                if before != factor {
                    audit_log::note(connection, &by, change, now).await?;
                }
                row.ok_or(Error::NotFound("account"))
            })
        })
        .await?;
    info!(account.id = %account, factor = %factor, "an account's price factor was set");
    Ok(row)
}
