//! The program in one process: `aio up` on a fresh data directory, and a key for it.

use crate::{
    admin::{ADMIN_KEY, Admin, START},
    body::Body,
    load::Connection,
    phases::Target,
    process::{Build, Core, Process, aio},
};
use anyhow::bail;
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A running `aio up`. Dropping it kills the program and removes its data.
pub(crate) struct Gateway {
    // Before the directory, so that it is dead when its files go.
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// A live key that may spend.
    pub(crate) key: String,
    site: Site,
}

/// Where it is, and where it keeps what it keeps.
struct Site {
    core: Core,
    data: TempDir,
    address: SocketAddr,
    upstream: SocketAddr,
    build: Build,
    /// More settings.
    more: Vec<(&'static str, String)>,
}

/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(1);

// === impl Gateway ===

impl Gateway {
    /// Starts the program with `upstream` as OpenAI, and makes the key.
    pub(crate) async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        Self::start_with(upstream, Build::Release, Vec::new()).await
    }

    /// The same, of this build and with more settings.
    pub(crate) async fn start_with(
        upstream: SocketAddr,
        build: Build,
        more: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        Self::start_on(Core::UnderTest, upstream, build, more).await
    }

    /// The same, on this core.
    pub(crate) async fn start_on(
        core: Core,
        upstream: SocketAddr,
        build: Build,
        more: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let site = Site {
            core,
            data: TempDir::with_prefix("bench-")?,
            address: free_address()?,
            upstream,
            build,
            more,
        };
        let mut process = site.launch()?;
        let admin = Admin::new(site.address);
        let key = match admin.prepare(&mut process).await {
            Ok(key) => key,
            Err(e) => return Err(e.context(format!("aio up said:\n{}", site.said()))),
        };
        Ok(Self {
            process,
            address: site.address,
            key,
            site,
        })
    }

    /// Kills the program and starts it again with what it has kept. Says how long it took from there to the first answer.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<Duration> {
        let target = Target {
            name: "aio",
            address: self.address,
            key: Some(self.key.clone()),
            head: String::new(),
            processes: Vec::new(),
        };
        let request = target.request(Body::Short);
        self.process.kill();
        let begun = Instant::now();
        self.process = self.site.launch()?;
        while begun.elapsed() < START {
            let answered = async {
                let mut connection = Connection::open(self.address).await?;
                connection.exchange(request.as_bytes()).await
            };
            // While nobody listens there is an error, which is no reason to stop.
            if answered.await.is_ok_and(|answer| answer.status == 200) {
                return Ok(begun.elapsed());
            }
            sleep(LOOK).await;
        }
        bail!(
            "aio up did not answer again; it said:\n{}",
            self.site.said()
        )
    }
}

// === impl Site ===

impl Site {
    fn launch(&self) -> anyhow::Result<Process> {
        let log = File::options().append(true).create(true).open(self.log())?;
        let mut command = aio(self.core, self.build)?;
        command
            .args(["up", "--listen", &self.address.to_string(), "--data-dir"])
            .arg(self.data.path().join("data"))
            .env("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("AIO_BOOTSTRAP_KEY", ADMIN_KEY)
            .env(
                "AIO_PROVIDERS__OPENAI__BASE_URL",
                format!("http://{}/v1", self.upstream),
            )
            .env("AIO_PROVIDERS__OPENAI__API_KEY", "bench")
            .envs(self.more.iter().map(|(name, value)| (name, value)))
            .current_dir(self.data.path())
            .stdout(log.try_clone()?)
            .stderr(log);
        Process::start(&mut command)
    }

    /// What it has printed.
    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.data.path().join("aio.log")
    }
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
