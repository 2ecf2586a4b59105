//! Periodic: takes what accounts owe for refunded orders as soon as it is there: after a new credit from whomever, or when a
//! hold ends. Safe to run at any time, anywhere; of many processes one does it.

use chassis::{Tasks, telemetry::causes};
use domain::AccountId;
use tracing::{info, info_span, warn};

use super::{Orders, book};
use crate::{Error, resend::until_known, store};

/// Collects again and again until told to stop.
pub(super) fn run(orders: &Orders, tasks: &Tasks) {
    let (orders, stop) = (orders.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("billing.collect"), move || {
        collect_on(orders.clone(), stop.clone())
    });
}

async fn collect_on(orders: Orders, stop: Tasks) {
    let inner = &orders.inner;
    while !stop.is_stopping() {
        let collected = inner.db.alone("billing.collect", || orders.collect()).await;
        if let Err(error) = collected.map_err(Error::from).and_then(Option::transpose) {
            warn!(error = %causes(&error), "cannot collect what is owed");
        }
        tokio::select! {
            () = tokio::time::sleep(inner.config.orders.collect_every) => {}
            () = stop.stopping() => {}
        }
    }
}

impl Orders {
    /// Takes what is owed and is there now, and says from how many accounts. The collector does this by itself.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn collect(&self) -> Result<u64, Error> {
        let (mut after, mut accounts) = (None, 0_u64);
        loop {
            let debtors = self.debtors(after).await?;
            let Some(last) = debtors.last().copied() else {
                break;
            };
            for account in debtors {
                self.collect_from(account).await?;
                accounts = accounts.saturating_add(1);
            }
            after = Some(last);
        }
        if accounts > 0 {
            info!(accounts, "took what was owed");
        }
        Ok(accounts)
    }

    async fn debtors(&self, after: Option<AccountId>) -> Result<Vec<AccountId>, Error> {
        let inner = &self.inner;
        let limit = i64::from(inner.config.orders.collect_batch);
        inner
            .db
            .read(async {
                let mut connection = inner.db.reader().acquire().await?;
                store::order::debtors(&mut connection, after, limit).await
            })
            .await
    }

    async fn collect_from(&self, account: AccountId) -> Result<(), Error> {
        let db = &self.inner.db;
        until_known(&self.inner.config.limits, || {
            let now = db.now_micros();
            db.write(move |connection| Box::pin(book::collect_from(connection, account, now)))
        })
        .await
    }
}
