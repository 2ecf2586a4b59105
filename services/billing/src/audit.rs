//! Use case: replay every entry and check the promises about money. One consistent view of the database; nothing is changed.

use chassis::clock::micros;
use db::{Db, Engine};
use sqlx::Connection as _;

use crate::{
    Error,
    config::Limits,
    lane::Ledger,
    seal,
    store::audit::{CHECKS, FIGURES, STUCK, ask, patience},
};

/// One promise, looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether the promise holds. What is merely counted always does.
    pub holds: Verdict,
    /// What was counted, or the sum that should be zero.
    pub figure: i64,
}

/// Whether a promise holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Kept,
    /// It does not.
    Broken,
}

/// Checks everything, and notes in the metrics what came of it.
///
/// # Errors
/// When the database failed.
pub(crate) async fn audit(db: &Db, ledger: &Ledger) -> Result<Vec<Check>, Error> {
    let checks = look(db, &ledger.limits).await?;
    let broken = checks.iter().filter(|check| check.holds == Verdict::Broken);
    let now = db.now_micros();
    ledger.metrics.audited.ended(broken.count(), now);
    Ok(checks)
}

async fn look(db: &Db, limits: &Limits) -> Result<Vec<Check>, Error> {
    let mut connection = db.reader().acquire().await?;
    // One transaction, so that every question sees the same moment.
    let begin = match db.engine() {
        Engine::Sqlite => "begin",
        Engine::Postgres => "begin isolation level repeatable read, read only",
    };
    let mut view = connection.begin_with(begin).await?;
    if db.engine() == Engine::Postgres {
        // It reads everything there is, which takes longer than other statements may.
        patience(&mut view, limits.audit.timeout).await?;
    }
    let mut checks = Vec::new();
    for question in CHECKS {
        let figure = ask(&mut view, *question, None).await?;
        checks.push(promise(question.name, figure));
    }
    let overdue = db
        .now_micros()
        .saturating_sub(micros(limits.audit.stuck_after));
    checks.push(promise(
        STUCK.name,
        ask(&mut view, STUCK, Some(overdue)).await?,
    ));
    let followed = seal::follow(&mut view).await?;
    checks.push(promise("seals_fit_the_entries", followed.broken));
    checks.push(Check {
        name: "seals",
        holds: Verdict::Kept,
        figure: followed.seals,
    });
    for question in FIGURES {
        checks.push(Check {
            name: question.name,
            holds: Verdict::Kept,
            figure: ask(&mut view, *question, None).await?,
        });
    }
    view.rollback().await?;
    Ok(checks)
}

/// Whether every promise holds.
pub fn verdict(checks: &[Check]) -> Verdict {
    if checks.iter().all(|check| check.holds == Verdict::Kept) {
        Verdict::Kept
    } else {
        Verdict::Broken
    }
}

fn promise(name: &'static str, figure: i64) -> Check {
    let holds = if figure == 0 {
        Verdict::Kept
    } else {
        Verdict::Broken
    };
    Check {
        name,
        holds,
        figure,
    }
}
