//! A Redis server that keeps nothing on the disk, so that killing it is losing everything.

use std::{net::SocketAddr, path::Path};

use anyhow::{Result, bail, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{
    home::{TRIES, command, folder, free_port},
    process::Process,
    programs::Program,
};

/// A Redis server, always one's own: it starts in milliseconds.
pub struct Redis {
    process: Option<Process>,
    port: u16,
    /// What its environment has besides.
    env: Vec<(String, String)>,
    /// Declared last, so that it is deleted when nobody writes to it any more.
    home: TempDir,
}

// === impl Redis ===

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When Redis is not installed or does not start; says what it printed.
    pub async fn start() -> Result<Self> {
        Self::start_with(Vec::new()).await
    }

    /// Starts one, with these variables in its environment.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(env: Vec<(String, String)>) -> Result<Self> {
        let mut server = Self {
            process: None,
            port: 0,
            env,
            home: folder("redis")?,
        };
        for _ in 1..TRIES {
            server.port = free_port()?;
            match server.launch().await {
                Err(error) if format!("{error:#}").contains("Address already in use") => {}
                launched => return launched.map(|()| server),
            }
        }
        bail!("no port is free");
    }

    /// Where it is: `redis://127.0.0.1:PORT/0`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Where it runs.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Kills it. All it held is lost.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Starts it again, empty, on the same port; kills it before, if it still runs.
    ///
    /// # Errors
    /// When it does not start; says what it printed.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch().await
    }

    /// Deletes everything it holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn flush(&self) -> Result<()> {
        let answer = say(self.address(), "FLUSHALL").await?;
        ensure!(answer == "+OK", "{answer}");
        Ok(())
    }

    /// Writes everything it holds into its folder, as it is.
    ///
    /// # Errors
    /// When it does not.
    pub async fn save(&self) -> Result<()> {
        let answer = say(self.address(), "SAVE").await?;
        ensure!(answer == "+OK", "{answer}");
        Ok(())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    async fn launch(&mut self) -> Result<()> {
        let mut redis = command(&Program::Redis.path()?);
        redis
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--rdbcompression", "no"])
            .arg("--dir")
            .arg(self.home.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn("redis", &mut redis, self.home.path())?;
        let address = self.address();
        let ready = async || matches!(say(address, "PING").await.as_deref(), Ok("+PONG"));
        process.ready(ready).await?;
        self.process = Some(process);
        Ok(())
    }
}

/// Says one command of one word and gives the line that is answered.
async fn say(address: SocketAddr, word: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{word}\r\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
