//! `aio up`: everything in one process, on one data directory.

use std::{
    fs::{self, File, TryLockError},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use chassis::{Tasks, config::Settings, http};
use dashboard::Dashboard;
use prometheus_client::registry::Registry;
use rustix::fs::Mode;
use tokio::net::UnixListener;
use tracing::{info_span, warn};

use crate::{
    args::Role,
    assemble::{Parts, Places},
    backup,
    config::{self, Config},
    first_start, front,
    process::{self, State, Word},
    say,
};

/// Runs until told to stop.
pub(crate) async fn up(settings: &Settings, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let config: Config = settings.section("server")?;
    config::check_agreement(settings)?;
    let database: db::Config = settings.section("database")?;
    let rabbitmq: queue::rabbit::Config = settings.section("rabbitmq")?;
    let redis = live::Config::read(settings)?.redis;
    for (name, told) in [
        ("database.url", database.url.is_some()),
        ("rabbitmq.url", rabbitmq.url.is_some()),
        ("redis.url", redis.url.is_some()),
    ] {
        ensure!(
            !told,
            "{name} is for the roles (`aio edge`, `aio billing`, …): `aio up` keeps everything in its data directory and in memory"
        );
    }
    let mut word = Word::listen()?;
    say::line(format!(
        "aio {} starts, data in {}",
        env!("CARGO_PKG_VERSION"),
        data_dir.display()
    ));
    let _lock = own(data_dir)?;
    let parts = Parts::embedded(settings, data_dir)?;
    let admin = process::bind(config.admin_listen, "server.admin_listen").await?;
    let public = process::bind(config.listen(Role::Edge.port()), "server.listen").await?;
    let public_url = config.public_url(public.local_addr()?);
    let places = Places {
        sandbox_url: Some(start_sandbox(&parts, &config, &public_url).await?),
        public_url,
    };
    say::line("  sandbox   ready");
    let state = State::default();
    let mut registry = Registry::default();
    let starting = Box::pin(parts.start(&places, state.ready(), &mut registry));
    let Some(house) = word.or(&parts, starting).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let welcome = first_start::prepare(&house.billing, &places.public_url).await?;
    process::serve_admin(&parts, &config, &state, (admin, registry))?;
    let served = http::serve(
        public,
        front::router(
            house.edge.router(),
            house.pages.as_ref().map(Dashboard::router),
        ),
        config.connections.clone(),
        parts.front.clone(),
    );
    parts.front.spawn(info_span!("public"), served);
    open_socket(
        &config::socket(data_dir),
        house.edge.operator_router(),
        &parts.front,
    )?;
    for text in welcome {
        say::line(text);
    }
    if let Some(pages) = &house.pages {
        first_start::invite_operator(pages).await?;
    }
    let ready = format!("ready  {url}  (API {url}/api/v1)", url = places.public_url);
    process::run(&parts, &config, &state, (&mut word, &ready)).await?;
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
    ensure!(
        !data_dir.join(backup::UNFINISHED).exists(),
        "a restore into {shown} was not finished, or is on its way: empty it and restore again"
    );
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

/// The sandbox plays the providers on a loopback port of its own; only test keys reach it.
async fn start_sandbox(parts: &Parts, config: &Config, public_url: &str) -> anyhow::Result<String> {
    let sandbox: sandbox::Config = parts.settings.section("sandbox")?;
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let place = sandbox.listen.unwrap_or(usual);
    let listener = process::bind(place, "sandbox.listen").await?;
    let address = listener.local_addr()?;
    let sandbox = parts.sandbox(Some(public_url.to_owned())).await?;
    let router = sandbox.router();
    let limits = config.connections.clone();
    let serving = http::serve(listener, router, limits, parts.core.clone());
    parts.core.spawn(info_span!("sandbox"), serving);
    Ok(format!("http://{address}"))
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
