//! Use case: put a test balance back to the configured default, never below what is held.

use domain::{AccountId, Micros, Mode};
use serde_json::json;
use sqlx::AnyConnection;
use tracing::instrument;

use super::{Orders, book};
use crate::{
    Error,
    audit_log::{self, Action, By, Change},
    ledger::{BalanceId, Op, Transfer},
    resend::until_known,
    store,
};

/// Why it is booked, in the ledger.
pub(crate) const RESET: &str = "the test balance is reset";

impl Orders {
    /// Puts the account's play money back to the default, by an entry for the difference, and says which balance that is.
    ///
    /// # Errors
    /// When there is no such account, or the database failed.
    #[instrument(skip_all, fields(account.id = %account))]
    pub(crate) async fn reset_test_balance(
        &self,
        account: AccountId,
        by: &By,
    ) -> Result<BalanceId, Error> {
        let config = &self.inner.config;
        let (db, default) = (&self.inner.db, config.accounts.test_amount());
        let id = BalanceId {
            account,
            mode: Mode::Test,
        };
        until_known(&config.limits, || {
            let (now, by) = (db.now_micros(), by.clone());
            db.write(move |connection| Box::pin(reset(connection, id, default, (by, now))))
        })
        .await?;
        Ok(id)
    }
}

async fn reset(
    connection: &mut AnyConnection,
    id: BalanceId,
    default: Micros,
    (by, now): (By, i64),
) -> Result<(), Error> {
    let balance = store::order::lock_balance(connection, id).await?;
    let balance = balance.ok_or(Error::NotFound("account"))?;
    let wanted = default.max(balance.held);
    let amount = wanted.minus(balance.posted).map_err(book::out_of_range)?;
    if amount == Micros::ZERO {
        return Ok(());
    }
    let op = Op::Transfer {
        id: chassis::mint(),
        transfer: Transfer {
            balance: id,
            amount,
            actor: by.actor.clone(),
            reason: RESET.to_owned(),
        },
    };
    book::apply(connection, &[op], now).await?;
    let change = Change {
        whose: (Some(id.account), Some(id.mode)),
        action: Action::CreditsReset,
        subject: id.account.to_string(),
        detail: json!({ "microcredits": amount.get() }),
    };
    audit_log::note(connection, &by, change, now).await
}
