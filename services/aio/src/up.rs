//! `aio up`: everything in one process. Starts it, says so, and stops it in order.

use std::{
    fs::{self, File, TryLockError},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::Router;
use chassis::{Tasks, config::Settings, http, telemetry};
use edge::{MetricsText, Readiness, Ready, health_router};
use prometheus_client::registry::Registry;
use rustix::fs::Mode;
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
};
use tracing::{info, info_span, warn};

use crate::{
    assemble::{House, Parts, Places},
    config::{self, Config},
    first_start, say,
};

/// How long billing may take to finish after everybody else has.
const LEDGER_GRACE: Duration = Duration::from_secs(10);

/// Runs until told to stop.
pub(crate) async fn up(settings: &Settings, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let config: Config = settings.section("server")?;
    config::check_agreement(settings)?;
    say::line(format!(
        "aio {} starts, data in {}",
        env!("CARGO_PKG_VERSION"),
        data_dir.display()
    ));
    let _lock = own(data_dir)?;
    let parts = Parts::read(settings, data_dir)?;
    let public = bind(config.listen, "server.listen").await?;
    let admin = bind(config.admin_listen, "server.admin_listen").await?;
    let address = public.local_addr()?;
    let places = Places {
        public_url: config.public_url(address),
        sandbox_url: start_sandbox(&parts, &config).await?,
    };
    say::line("  sandbox   ready");
    let state = Arc::new(AtomicBool::new(false));
    let mut registry = Registry::default();
    let house = parts.start(&places, ready(&state), &mut registry).await?;
    let welcome = first_start::prepare(&house.billing, &places.public_url).await?;
    serve(
        &parts,
        &house,
        &config,
        Doors {
            public,
            admin,
            ready: ready(&state),
            registry,
        },
    )?;
    state.store(true, Ordering::Relaxed);
    for text in welcome {
        say::line(text);
    }
    say::line(format!(
        "ready  {url}  (API {url}/api/v1)",
        url = places.public_url
    ));
    told_to_stop().await?;
    state.store(false, Ordering::Relaxed);
    stop(&parts, config.shutdown_grace).await;
    Ok(ExitCode::SUCCESS)
}

/// Makes the data directory and keeps every other process out of it.
pub(crate) fn own(data_dir: &Path) -> anyhow::Result<File> {
    let shown = data_dir.display();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("cannot make the data directory {shown}"))?;
    // The directory may have been there before, open to others, and is not ours to close; what we make in it is.
    rustix::process::umask(Mode::RWXG.union(Mode::RWXO));
    let lock =
        File::create(data_dir.join("lock")).with_context(|| format!("cannot write in {shown}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another aio runs on {shown}: stop it, or choose another place by --data-dir")
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {shown}"))
        }
    }
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address for {setting}")
    })
}

/// The sandbox plays the providers on a loopback port of its own; only test keys reach it.
async fn start_sandbox(parts: &Parts, config: &Config) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen on the loopback address")?;
    let address = listener.local_addr()?;
    let deps = sandbox::Deps {
        config: parts.settings.section("sandbox")?,
        path: parts.data_dir.join("sandbox.db"),
        database: parts.settings.section("database")?,
        tasks: parts.core.clone(),
    };
    let router = sandbox::open(deps)
        .await
        .context("cannot start the sandbox")?
        .router();
    let serving = http::serve(
        listener,
        router,
        config.connections.clone(),
        parts.core.clone(),
    );
    parts.core.spawn(info_span!("sandbox"), serving);
    Ok(format!("http://{address}"))
}

/// The listeners, and what they say about the process.
struct Doors {
    public: TcpListener,
    admin: TcpListener,
    ready: Ready,
    registry: Registry,
}

fn serve(parts: &Parts, house: &House, config: &Config, doors: Doors) -> anyhow::Result<()> {
    let limits = &config.connections;
    let registry = Arc::new(doors.registry);
    let metrics: MetricsText = Arc::new(move || telemetry::metrics_text(&registry));
    info!(address = %doors.admin.local_addr()?, "health and metrics");
    let health = health_router(doors.ready, metrics);
    // Health is answered to the end, so that whoever asks sees "not ready" and not a refused connection.
    parts.core.spawn(
        info_span!("admin"),
        http::serve(doors.admin, health, limits.clone(), parts.core.clone()),
    );
    let public = http::serve(
        doors.public,
        house.edge.router(),
        limits.clone(),
        parts.front.clone(),
    );
    parts.front.spawn(info_span!("public"), public);
    open_socket(
        &config::socket(&parts.data_dir),
        house.edge.operator_router(),
        &parts.front,
    )
}

/// The operator's door: whoever may open the file is the operator.
fn open_socket(path: &Path, router: Router, tasks: &Tasks) -> anyhow::Result<()> {
    // The lock is ours, so a socket that is there belongs to a dead process.
    let _ = fs::remove_file(path);
    let shown = path.display();
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on {shown}"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot close {shown}"))?;
    let stopping = tasks.clone();
    tasks.spawn(info_span!("operator"), async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(async move { stopping.stopping().await })
            .await;
        if let Err(error) = served {
            warn!(%error, "the operator's socket closed");
        }
    });
    Ok(())
}

pub(crate) fn ready(state: &Arc<AtomicBool>) -> Ready {
    let state = Arc::clone(state);
    Arc::new(move || {
        if state.load(Ordering::Relaxed) {
            Readiness::Ready
        } else {
            Readiness::NotReady
        }
    })
}

async fn told_to_stop() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Nothing new is taken; what is open may end; then billing, which all of them need, ends too.
async fn stop(parts: &Parts, grace: Duration) {
    say::line("stopping: open requests may finish");
    let drained = tokio::select! {
        drained = parts.front.stop(grace) => drained,
        () = report(&parts.front) => false,
    };
    let settled = parts.core.stop(LEDGER_GRACE).await;
    if drained && settled {
        say::line("stopped");
    } else {
        say::line("stopped; what was cut goes on at the next start");
    }
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
