//! What is done behind the ledger: again and again, and of all processes by one at a time.

use std::{sync::Arc, time::Duration};

use chassis::{Tasks, telemetry::causes};
use db::Db;
use tracing::{info_span, warn};

use crate::Error;

/// When a job is done, and under which name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Of all processes, one at a time does what has this name.
    pub(crate) name: &'static str,
    /// The pause before each time.
    pub(crate) every: Duration,
}

// === impl Job ===

impl Job {
    /// Does `work` again and again until told to stop.
    pub(crate) fn run<W>(self, db: &Db, tasks: &Tasks, work: impl Fn() -> W + Send + Sync + 'static)
    where
        W: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.run_or_sooner(db, tasks, || None, work);
    }

    /// The same, after a shorter pause where `sooner` names one.
    pub(crate) fn run_or_sooner<W>(
        self,
        db: &Db,
        tasks: &Tasks,
        sooner: impl Fn() -> Option<Duration> + Send + Sync + 'static,
        work: impl Fn() -> W + Send + Sync + 'static,
    ) where
        W: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (db, stop, does) = (db.clone(), tasks.clone(), Arc::new((sooner, work)));
        tasks.spawn_loop(info_span!("billing.job", job = self.name), move || {
            let (db, stop, does) = (db.clone(), stop.clone(), Arc::clone(&does));
            async move {
                let (sooner, work) = &*does;
                loop {
                    let pause = sooner().map_or(self.every, |pause| pause.min(self.every));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.stopping() => return,
                    }
                    let done = db.alone(self.name, work).await;
                    if let Err(error) = done.map_err(Error::from).and_then(Option::transpose) {
                        warn!(error = %causes(&error), job = self.name, "cannot be done now");
                    }
                }
            }
        });
    }
}
