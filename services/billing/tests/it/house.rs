//! Billing over a database of its own, for one test, on either engine.

use std::time::Duration;

use billing::{
    Billing, By, CreditsRequest, Deps, Error, Held, HoldRequest, Life, Outcome, SettleRequest,
    Verdict, ledger::BalanceId, verdict,
};
use chassis::{Tasks, config::Settings, secrets::Secrets};
use db::{Db, Engine};
use domain::{Micros, Mode, OperationId};
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::place::Place;

/// Makes two tests of each function named, which takes the engine: one over SQLite, one over a real PostgreSQL. With `threads`,
/// each runs on two threads.
macro_rules! on_both_engines {
    (threads: $($name:ident),* $(,)?) => {
        on_both_engines!(@ (flavor = "multi_thread", worker_threads = 2) $($name),*);
    };
    (@ $how:tt $($name:ident),*) => {
        mod sqlite {
            $(#[tokio::test $how] async fn $name() { super::$name(db::Engine::Sqlite).await })*
        }
        mod postgres {
            $(#[tokio::test $how] async fn $name() { super::$name(db::Engine::Postgres).await })*
        }
    };
    ($($name:ident),* $(,)?) => {
        on_both_engines!(@ () $($name),*);
    };
}
pub(crate) use on_both_engines;

/// Billing, running.
pub(crate) struct House {
    pub(crate) billing: Billing,
    pub(crate) db: Db,
    pub(crate) tasks: Tasks,
    pub(crate) secrets: Secrets,
    registry: Registry,
    pub(crate) place: Place,
}

// === impl House ===

impl House {
    pub(crate) async fn open(engine: Engine) -> Self {
        Self::with(engine, "").await
    }

    /// With settings of its own: lines of `limits.billing`, and further sections. Nothing is swept unless the test does it.
    pub(crate) async fn with(engine: Engine, settings: &str) -> Self {
        Self::over(Place::fresh(engine).await, Secrets::random(), settings).await
    }

    /// Stops everything, and opens the same database again.
    pub(crate) async fn reopen(self) -> Self {
        assert!(self.tasks.stop(Duration::from_secs(5)).await);
        Self::over(self.place, self.secrets, "").await
    }

    /// A process over this database; there may be others.
    pub(crate) async fn over(place: Place, secrets: Secrets, settings: &str) -> Self {
        let tasks = Tasks::default();
        let calm = if settings.contains("sweep_every") {
            ""
        } else {
            "sweep_every = '1h'"
        };
        let jobs = ["project", "seal", "lots", "alert"];
        let jobs = jobs
            .map(|job| format!("jobs.{job}_every = '1h'"))
            .join("\n");
        let settings = format!("[limits.billing]\n{calm}\n{jobs}\n{settings}");
        let settings = Settings::from_toml(&settings);
        let db = place.open(&settings, &tasks).await;
        let mut registry = Registry::default();
        let deps = Deps {
            settings,
            db: db.clone(),
            key_mac: secrets.key_mac().clone(),
            webhooks: chassis::rpc::nobody(),
            tasks: tasks.clone(),
        };
        let billing = Billing::start(deps, &mut registry).await.unwrap();
        Self {
            billing,
            db,
            tasks,
            secrets,
            registry,
            place,
        }
    }

    /// An account with this much live credit, in micro-credits.
    pub(crate) async fn account_with(&self, amount: i64) -> BalanceId {
        let account = self
            .billing
            .create_account("someone", None, By::operator())
            .await
            .unwrap();
        let balance = BalanceId {
            account: account.id,
            mode: Mode::Live,
        };
        if amount != 0 {
            self.give(chassis::mint(), balance, amount).await.unwrap();
        }
        balance
    }

    /// Runs a statement behind the service's back.
    pub(crate) async fn run(&self, sql: impl Into<String>) -> Result<(), Error> {
        let sql = sqlx::AssertSqlSafe(sql.into());
        let written = self.db.write(move |connection| {
            Box::pin(async move {
                sqlx::query(sql).execute(connection).await?;
                Ok(())
            })
        });
        written.await
    }

    pub(crate) async fn give(
        &self,
        transfer: OperationId,
        balance: BalanceId,
        amount: i64,
    ) -> Result<(), Error> {
        let request = CreditsRequest {
            transfer,
            balance,
            amount: Micros::new(amount),
            reason: "test".to_owned(),
            by: By::operator(),
            expires_at: None,
        };
        self.billing.add_credits(request).await
    }

    pub(crate) async fn hold(
        &self,
        hold: OperationId,
        balance: BalanceId,
        amount: i64,
    ) -> Result<Held, Error> {
        self.billing
            .ledger()
            .hold(media(hold, balance, amount))
            .await
    }

    pub(crate) async fn settle(&self, hold: OperationId, outcome: Outcome) -> Result<i64, Error> {
        let request = SettleRequest {
            hold,
            outcome,
            payer: None,
            receipt: format!(r#"{{"of":"{hold}"}}"#),
        };
        let captured = self.billing.ledger().settle(request).await?;
        Ok(captured.get())
    }

    /// Posted, held, open holds.
    pub(crate) async fn figures(&self, balance: BalanceId) -> (i64, i64, i64) {
        let balance = self.billing.balance(balance).await.unwrap();
        (balance.posted.get(), balance.held.get(), balance.open_holds)
    }

    /// Every promise about money holds.
    pub(crate) async fn audit(&self) {
        let checks = self.billing.audit().await.unwrap();
        assert_eq!(verdict(&checks), Verdict::Kept, "{checks:#?}");
    }

    /// The lines of the metrics that start with `name`.
    pub(crate) fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
        lines.join("\n")
    }
}

pub(crate) fn media(hold: OperationId, balance: BalanceId, amount: i64) -> HoldRequest {
    HoldRequest {
        hold,
        balance,
        amount: Micros::new(amount),
        floor: Micros::new(amount),
        life: Life::Media,
        key: None,
        price_version: "v1".to_owned(),
    }
}

pub(crate) fn capture(amount: i64) -> Outcome {
    Outcome::Capture(Micros::new(amount))
}

/// The code a customer would see.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    proto::Fault::from(result.unwrap_err()).code.word
}
