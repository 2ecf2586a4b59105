//! A RabbitMQ node with an Erlang directory of nodes (epmd) of its own, so that it meets no other node of this machine.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    SHARED_RABBITMQ,
    home::{command, folder, free_port},
    process::Process,
    programs::Program,
};

/// Small enough for several nodes on one machine. Plugins would only take ports and time.
const SETTINGS: &str = "\
loopback_users.guest = true
raft.wal_max_size_bytes = 67108864
vm_memory_high_watermark.absolute = 512MiB
log.console = true
log.console.level = warning
log.file = false
";
/// How much of the disk must be free for it to take messages; the second is more than any disk has.
const ROOM: &str = "50MB";
const MORE_THAN_THERE_IS: &str = "1000000GB";
/// What a client says first, by which protocol it speaks.
const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The first byte of a method frame: the server's `connection.start`.
const METHOD: u8 = 1;

/// A RabbitMQ node. What it holds survives [`Rabbit::kill`] and [`Rabbit::restart`] but not [`Rabbit::wipe`].
pub struct Rabbit {
    url: String,
    prefix: String,
    private: Option<Private>,
}

/// What a node of one's own has.
struct Private {
    process: Option<Process>,
    /// Declared below the node, so that it outlives it.
    _epmd: Process,
    ports: Ports,
    /// Declared last, so that it is deleted when nobody writes to it any more.
    home: TempDir,
}

/// What a node listens on, the same after a restart.
#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    nodes: u16,
    epmd: u16,
}

// === impl Rabbit ===

impl Rabbit {
    /// The node of the whole run if there is one, else one of its own.
    ///
    /// # Errors
    /// When that cannot be started.
    pub async fn shared() -> Result<Self> {
        match chassis::config::variable_value(SHARED_RABBITMQ) {
            None => Self::start().await,
            Some(url) => Ok(Self {
                url,
                prefix: prefix(),
                private: None,
            }),
        }
    }

    /// A node of one's own. Takes some seconds.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start; says what it printed.
    pub async fn start() -> Result<Self> {
        let home = folder("rabbitmq")?;
        fs::write(home.path().join("enabled_plugins"), "[].\n")?;
        let ports = Ports {
            amqp: free_port()?,
            nodes: free_port()?,
            epmd: free_port()?,
        };
        // Found running, it is not started by the node as a daemon that nobody stops.
        let mut epmd = command(&Program::Epmd.path()?);
        epmd.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
        let mut epmd = Process::spawn("epmd", &mut epmd, home.path())?;
        let listens = async || TcpStream::connect(loopback(ports.epmd)).await.is_ok();
        epmd.ready(listens).await?;
        let mut server = Self {
            url: format!("amqp://guest:guest@127.0.0.1:{}/%2f", ports.amqp),
            prefix: prefix(),
            private: Some(Private {
                process: None,
                _epmd: epmd,
                ports,
                home,
            }),
        };
        server.restart().await?;
        Ok(server)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the names of this test's queues and exchanges begin with: nobody else's do.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where its files are, if it is one's own.
    pub fn folder(&self) -> Option<&Path> {
        self.private.as_ref().map(|private| private.home.path())
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it is not one's own, or does not stop.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.private()?.process.take() {
            process.stop().await?;
        }
        Ok(())
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// When it is not one's own, or the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        let process = self.private()?.process.take();
        process.map_or(Ok(()), Process::kill)
    }

    /// Deletes everything it holds, queues included.
    ///
    /// # Errors
    /// When it is not one's own, or runs.
    pub fn wipe(&mut self) -> Result<()> {
        let private = self.private()?;
        ensure!(private.process.is_none(), "RabbitMQ runs: stop it first");
        fs::remove_dir_all(private.data()).context("cannot delete RabbitMQ's data")
    }

    /// Starts it again, on the same port; kills it before, if it still runs.
    ///
    /// # Errors
    /// When it is not one's own, or does not start; says what it printed.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.private()?.launch(ROOM).await
    }

    /// Starts it again on a disk that is full, as far as it knows: it takes nothing from publishers, until [`Rabbit::restart`].
    ///
    /// # Errors
    /// As [`Rabbit::restart`].
    pub async fn restart_full(&mut self) -> Result<()> {
        self.kill()?;
        self.private()?.launch(MORE_THAN_THERE_IS).await
    }

    fn private(&mut self) -> Result<&mut Private> {
        let private = self.private.as_mut();
        private.context("the shared RabbitMQ is not this test's to stop: use Rabbit::start()")
    }
}

// === impl Private ===

impl Private {
    fn data(&self) -> PathBuf {
        self.home.path().join("mnesia")
    }

    async fn launch(&mut self, free: &str) -> Result<()> {
        let settings = format!("{SETTINGS}disk_free_limit.absolute = {free}\n");
        fs::write(self.home.path().join("rabbitmq.conf"), settings)?;
        let mut process = Process::spawn("rabbitmq", &mut self.command()?, self.home.path())?;
        let address = loopback(self.ports.amqp);
        process.ready(async || answers(address).await).await?;
        self.process = Some(process);
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let home = self.home.path();
        let ports = self.ports;
        let mut rabbit = command(&Program::Rabbit.path()?);
        rabbit
            // The Erlang cookie is there.
            .env("HOME", home)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", format!("aio{}@localhost", ports.amqp))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
            .env("RABBITMQ_DIST_PORT", ports.nodes.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                home.join("enabled_plugins"),
            )
            .env("RABBITMQ_MNESIA_BASE", self.data())
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            // The script then becomes the node instead of waiting for it, so that our child is the node itself.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        Ok(rabbit)
    }
}

/// Whether a broker answers the beginning of a handshake, which it does when its queues are recovered.
async fn answers(address: SocketAddr) -> bool {
    let handshake = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(PROTOCOL).await?;
        stream.read_u8().await
    };
    let answer = timeout(Duration::from_secs(5), handshake).await;
    matches!(answer, Ok(Ok(METHOD)))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn prefix() -> String {
    format!("t{:012x}", rand::random::<u64>() >> 16)
}
