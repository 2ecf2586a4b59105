//! Billing over a database of its own, for one test.

use std::time::Duration;

use billing::{
    Billing, Config, CreditsRequest, Deps, Error, Held, HoldRequest, Life, MIGRATIONS, Metrics,
    Outcome, SettleRequest, Verdict, ledger::BalanceId, verdict,
};
use chassis::{Tasks, config::Settings, secrets::Secrets};
use db::Db;
use domain::{Micros, Mode, OperationId};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tempfile::TempDir;

/// A fresh database. This is what another kind of database would give as well.
pub(crate) async fn database(directory: &TempDir, tasks: &Tasks) -> Db {
    let limits = Settings::from_toml("").section("database").unwrap();
    let path = directory.path().join("billing.db");
    Db::open(&path, MIGRATIONS, &limits, tasks).await.unwrap()
}

/// Billing, running.
pub(crate) struct House {
    pub(crate) billing: Billing,
    pub(crate) db: Db,
    pub(crate) tasks: Tasks,
    pub(crate) secrets: Secrets,
    registry: Registry,
    directory: TempDir,
}

// === impl House ===

impl House {
    pub(crate) async fn open() -> Self {
        Self::with("").await
    }

    /// With settings of its own: lines of `limits.billing`, and further sections. Nothing is swept unless the test does it.
    pub(crate) async fn with(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::over(directory, Secrets::random(), settings).await
    }

    /// Stops everything, and opens the same files again.
    pub(crate) async fn reopen(self) -> Self {
        assert!(self.tasks.stop(Duration::from_secs(5)).await);
        Self::over(self.directory, self.secrets, "").await
    }

    async fn over(directory: TempDir, secrets: Secrets, settings: &str) -> Self {
        let tasks = Tasks::default();
        let db = database(&directory, &tasks).await;
        let mut registry = Registry::default();
        let settings = format!("[limits.billing]\nsweep_every = '1h'\n{settings}");
        let settings = Settings::from_toml(&settings);
        let billing = Billing::open(Deps {
            db: db.clone(),
            key_mac: secrets.key_mac().clone(),
            config: Config::read(&settings).unwrap(),
            metrics: Metrics::register(&mut registry),
            tasks: tasks.clone(),
        })
        .await
        .unwrap();
        Self {
            billing,
            db,
            tasks,
            secrets,
            registry,
            directory,
        }
    }

    /// An account with this much live credit, in micro-credits.
    pub(crate) async fn account_with(&self, amount: i64) -> BalanceId {
        let account = self.billing.create_account("someone", None).await.unwrap();
        let balance = BalanceId {
            account: account.id,
            mode: Mode::Live,
        };
        if amount != 0 {
            self.give(chassis::mint(), balance, amount).await.unwrap();
        }
        balance
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
            actor: "operator".to_owned(),
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
