//! What the operator's pages keep in this process: the settings as they were at the start, and the audit that runs or ran last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::{
    Tasks,
    config::{Error, Settings, Shown},
};
use proto::billing::v1::AuditReply;

use super::now;

/// It.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What is set, without secrets.
    pub(crate) settings: Vec<Shown>,
    /// Where an audit runs.
    pub(crate) tasks: Tasks,
    audit: Arc<Mutex<Audit>>,
}

/// The audit. Moments are microseconds UTC.
#[derive(Clone, Debug, Default)]
pub(crate) enum Audit {
    /// None was asked for since the start.
    #[default]
    Never,
    /// One runs.
    Running {
        /// Since when.
        since: i64,
        /// How long the one before took, if there was one.
        before: Option<i64>,
    },
    /// It has ended.
    Ended {
        /// When it began, and ended.
        between: (i64, i64),
        /// What it found; `None`: it failed, which is in the log.
        found: Option<AuditReply>,
    },
}

/// The right to run the audit: one has it at a time.
pub(crate) struct Turn {
    audit: Arc<Mutex<Audit>>,
    since: i64,
    found: Option<AuditReply>,
}

// === impl Desk ===

impl Desk {
    /// Nothing was done yet.
    ///
    /// # Errors
    /// When the settings cannot be read.
    pub(crate) fn new(settings: &Settings, tasks: Tasks) -> Result<Self, Error> {
        Ok(Self {
            settings: settings.shown()?,
            tasks,
            audit: Arc::default(),
        })
    }

    /// How the audit stands.
    pub(crate) fn audit(&self) -> Audit {
        lock(&self.audit).clone()
    }

    /// Begins an audit, unless one runs.
    pub(crate) fn begin(&self) -> Option<Turn> {
        let (mut audit, since) = (lock(&self.audit), now());
        let before = match &*audit {
            Audit::Running { .. } => return None,
            Audit::Never => None,
            Audit::Ended { between, .. } => Some(between.1.saturating_sub(between.0)),
        };
        *audit = Audit::Running { since, before };
        Some(Turn {
            audit: Arc::clone(&self.audit),
            since,
            found: None,
        })
    }
}

// === impl Turn ===

impl Turn {
    /// Ends with what was found.
    pub(crate) fn end(mut self, found: Option<AuditReply>) {
        self.found = found;
    }
}

impl Drop for Turn {
    /// Also where the work was cut: nobody would ever have another turn.
    fn drop(&mut self) {
        *lock(&self.audit) = Audit::Ended {
            between: (self.since, now()),
            found: self.found.take(),
        };
    }
}

/// No code panics while it holds the lock, and every state is a good one.
fn lock(audit: &Mutex<Audit>) -> MutexGuard<'_, Audit> {
    audit.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_audit_runs_at_a_time_and_one_that_is_cut_has_ended() {
        let desk = Desk::new(&Settings::from_toml(""), Tasks::default()).unwrap();
        let turn = desk.begin().unwrap();
        assert!(desk.begin().is_none());
        assert!(matches!(desk.audit(), Audit::Running { before: None, .. }));
        drop(turn);
        assert!(matches!(desk.audit(), Audit::Ended { found: None, .. }));
        let found = AuditReply::default();
        desk.begin().unwrap().end(Some(found));
        assert!(matches!(desk.audit(), Audit::Ended { found: Some(_), .. }));
        let turn = desk.begin();
        assert!(matches!(
            desk.audit(),
            Audit::Running {
                before: Some(_),
                ..
            }
        ));
        drop(turn);
    }
}
