//! The program in one process: `aio up` on a fresh data directory, and a key for it.

use crate::{
    admin::{ADMIN_KEY, Admin},
    process::{Core, Process, aio},
};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
};
use tempfile::TempDir;

/// A running `aio up`. Dropping it kills the program and removes its data.
pub(crate) struct Gateway {
    // Before the directory, so that it is dead when its files go.
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// A live key that may spend.
    pub(crate) key: String,
    _data: TempDir,
}

// === impl Gateway ===

impl Gateway {
    /// Starts the program with `upstream` as the provider of `gemini`, and makes the key.
    pub(crate) async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let data = TempDir::with_prefix("bench-")?;
        let address = free_address()?;
        let log = data.path().join("aio.log");
        let mut command = aio(Core::UnderTest)?;
        command
            .args(["up", "--listen", &address.to_string(), "--data-dir"])
            .arg(data.path().join("data"))
            .env("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("AIO_BOOTSTRAP_KEY", ADMIN_KEY)
            .env(
                "AIO_PROVIDERS__GEMINI__BASE_URL",
                format!("http://{upstream}/v1"),
            )
            .env("AIO_PROVIDERS__GEMINI__API_KEY", "bench")
            .current_dir(data.path())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let mut process = Process::start(&mut command)?;
        let admin = Admin::new(address);
        let key = match admin.prepare(&mut process).await {
            Ok(key) => key,
            Err(e) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(e.context(format!("aio up said:\n{said}")));
            }
        };
        Ok(Self {
            process,
            address,
            key,
            _data: data,
        })
    }
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
