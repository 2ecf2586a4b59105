//! What every process has, whichever services run in it: its listeners, its state, its figures, the word to stop.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use chassis::{Tasks, http, telemetry};
use edge::{MetricsText, Readiness, Ready, health_router};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{info, info_span};

use crate::{assemble::Parts, config::Config, say};

/// How long billing may take to finish after everybody else has.
const LEDGER_GRACE: Duration = Duration::from_secs(10);

/// Whether the process serves. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct State(Arc<AtomicBool>);

/// The word to stop. Listened for from the first moment: a signal that comes while the process starts is not lost.
#[derive(Debug)]
pub(crate) struct Word {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Word ===

impl Word {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Completes when the process is to stop.
    pub(crate) async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// What `start` makes; `None` when the word to stop came first, and then everything that was started has been told.
    pub(crate) async fn or<T>(
        &mut self,
        parts: &Parts,
        start: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        tokio::select! {
            started = start => started.map(Some),
            () = self.heard() => {
                say::line("stopping before everything had started");
                parts.front.stop(LEDGER_GRACE).await;
                parts.core.stop(LEDGER_GRACE).await;
                Ok(None)
            }
        }
    }
}

// === impl State ===

impl State {
    /// For whoever asks whether to send requests here.
    pub(crate) fn ready(&self) -> Ready {
        let state = self.clone();
        Arc::new(move || {
            if state.0.load(Ordering::Relaxed) {
                Readiness::Ready
            } else {
                Readiness::NotReady
            }
        })
    }
}

/// Opens a listener; `setting` names what to change when the address is taken.
pub(crate) async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address for {setting}")
    })
}

/// Serves health and metrics to the end, so that whoever asks sees "not ready" and not a refused connection. The listener is
/// opened before any service starts: a port that is taken must not be found out with work under way.
pub(crate) fn serve_admin(
    parts: &Parts,
    config: &Config,
    state: &State,
    (listener, registry): (TcpListener, Registry),
) -> anyhow::Result<()> {
    info!(address = %listener.local_addr()?, "health and metrics");
    let registry = Arc::new(registry);
    let metrics: MetricsText = Arc::new(move || telemetry::metrics_text(&registry));
    let health = health_router(state.ready(), metrics);
    let limits = config.connections.clone();
    parts.core.spawn(
        info_span!("admin"),
        http::serve(listener, health, limits, parts.core.clone()),
    );
    Ok(())
}

/// Says that the process serves, waits for the word to stop, and stops it in order: nothing new is taken; what is open may end;
/// then billing, which all of them need, ends too.
pub(crate) async fn run(
    parts: &Parts,
    config: &Config,
    state: &State,
    (word, ready): (&mut Word, &str),
) -> anyhow::Result<()> {
    state.0.store(true, Ordering::Relaxed);
    say::line(ready);
    word.heard().await;
    state.0.store(false, Ordering::Relaxed);
    parts.front.leave();
    // Whoever sends requests here sees that, or is told by an answer, and stops sending, before the doors close.
    tokio::time::sleep(config.drain_delay).await;
    say::line("stopping: open requests may finish");
    let drained = tokio::select! {
        drained = parts.front.stop(config.shutdown_grace) => drained,
        () = report(&parts.front) => false,
    };
    let settled = parts.core.stop(LEDGER_GRACE).await;
    if drained && settled {
        say::line("stopped");
    } else {
        say::line("stopped; what was cut goes on at the next start");
    }
    Ok(())
}

/// Says every few seconds what is left; never ends.
async fn report(tasks: &Tasks) {
    let mut every = tokio::time::interval(Duration::from_secs(3));
    every.tick().await;
    loop {
        every.tick().await;
        say::line(format!("  still open: {}", tasks.running()));
    }
}
