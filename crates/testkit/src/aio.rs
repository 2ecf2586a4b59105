//! The real program, `aio up`, as a child process on a data directory of its own: started, killed, started again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use domain::{ApiKey, Mode};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Account, Api, api, binary, eventually};

/// Below the ports that the system gives to clients: such a port can be had again after a restart.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How many ports are tried, as another program may take one between our look and the start.
const TRIES: u32 = 5;
/// Lines of the log that a failed test shows.
const SHOWN: usize = 40;

/// The program. [`Aio::finish`] ends a test that went well: it audits the ledger, stops the program in order and reads its log.
/// A program that is dropped without it is killed, and the end of its log is shown.
pub struct Aio {
    program: PathBuf,
    home: TempDir,
    env: BTreeMap<String, String>,
    listen: String,
    operator: String,
    http: reqwest::Client,
    child: Option<Child>,
    starts: u32,
    first: Option<FirstStart>,
}

/// What a first start prints for its user.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// The key.
    pub key: String,
    /// The line to paste into a shell.
    pub curl: String,
}

/// What the program can be told by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// As service managers do.
    Terminate,
    /// As Ctrl-C does.
    Interrupt,
}

// === impl Aio ===

impl Aio {
    /// Starts it on a fresh data directory.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// Starts it with more environment variables.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn with(env: &[(&str, &str)]) -> Result<Self> {
        let operator = operator_key();
        let usual = [
            ("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
            ("AIO_EGRESS__ALLOW", "127.0.0.1/32"),
            ("AIO_BOOTSTRAP_KEY", operator.as_str()),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut aio = Self {
            program: binary()?,
            home: tempfile::Builder::new().prefix("aio-e2e-").tempdir()?,
            env: usual
                .into_iter()
                .chain(env.iter().copied())
                .map(owned)
                .collect(),
            listen: String::new(),
            operator,
            http: api::client()?,
            child: None,
            starts: 0,
            first: None,
        };
        for _ in 1..TRIES {
            aio.listen = format!("127.0.0.1:{}", free_port()?);
            match aio.launch().await {
                Err(error) if format!("{error:#}").contains("cannot listen on") => {}
                started => return started.map(|()| aio),
            }
        }
        bail!("no port is free");
    }

    /// Starts it again, on the same data and the same port; kills it before, if it still runs.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch().await
    }

    /// Sets an environment variable for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Kills it, as a power cut would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal, and does not wait.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        let word = match signal {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
        };
        let command = format!("kill -{word} {}", child.id());
        let sent = Command::new("sh").args(["-c", &command]).status()?;
        ensure!(sent.success(), "cannot send {signal:?}");
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("it does not run")?;
        let exited = eventually("the program ends", async || Ok(child.try_wait()?)).await;
        if exited.is_err() {
            child.kill()?;
            child.wait()?;
        }
        exited
    }

    /// Tells it to stop (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.exited().await
    }

    /// What every test that went well ends with: the ledger holds, the program stops with success, and its log, from its first
    /// start on, tells of no panic, of no key or secret, and of no prompt.
    ///
    /// # Errors
    /// Whichever of these is not so.
    pub async fn finish(mut self) -> Result<()> {
        let audit = self.audit().await?;
        ensure!(audit["ok"] == true, "the ledger does not hold: {audit:#}");
        if self.child.is_some() {
            let status = self.stop().await?;
            ensure!(status.success(), "it stops with {status}");
        }
        for start in 1..=self.starts {
            let log = fs::read_to_string(self.file(start, "stderr"))?;
            // A prompt shows by its directive.
            let secret = ["aio_test_", "whsec_", "[sandbox", self.operator.as_str()];
            for word in ["panicked"].into_iter().chain(secret) {
                ensure!(
                    !log.contains(word),
                    "the log of start {start} says {word:?}"
                );
            }
        }
        self.starts = 0;
        Ok(())
    }

    /// `aio ledger audit --json`, whether the program runs or not.
    ///
    /// # Errors
    /// When the command fails in another way than by a broken promise.
    pub async fn audit(&self) -> Result<Value> {
        let output = self.command(&["ledger", "audit", "--json"]).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let audit: Value = serde_json::from_str(&text)
            .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        ensure!(
            output.status.success() == (audit["ok"] == true),
            "the audit says {audit} and exits with {}",
            output.status
        );
        Ok(audit)
    }

    /// Runs a command of the program on its data directory, to its end.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.run(arguments));
        Ok(command.output().await?)
    }

    /// A client with the operator's key.
    pub fn admin(&self) -> Api {
        self.api(Some(&self.operator))
    }

    /// A client with this key, or without one.
    pub fn api(&self, key: Option<&str>) -> Api {
        Api::new(self.http.clone(), &self.base(), key)
    }

    /// Makes an account with so much play money.
    ///
    /// # Errors
    /// When an admin route refuses.
    pub async fn account(&self, test_credits: impl Into<Value>) -> Result<Account> {
        Account::create(&self.admin(), &test_credits.into()).await
    }

    /// What the first start printed for its user.
    ///
    /// # Errors
    /// When it printed no key or no command.
    pub fn first(&self) -> Result<&FirstStart> {
        self.first.as_ref().context("no key was printed")
    }

    /// Where it is reached: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// What the last start has printed so far.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn stdout(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file(self.starts, "stdout"))?)
    }

    /// What the last start has logged so far.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn stderr(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file(self.starts, "stderr"))?)
    }

    async fn launch(&mut self) -> Result<()> {
        self.starts = self.starts.saturating_add(1);
        let listen = self.listen.clone();
        let mut command = self.run(&["up", "--listen", &listen]);
        command
            .stdout(File::create(self.file(self.starts, "stdout"))?)
            .stderr(File::create(self.file(self.starts, "stderr"))?);
        self.child = Some(command.spawn().context("cannot start the program")?);
        self.ready().await?;
        if self.first.is_none() {
            self.first = FirstStart::find(&self.stdout()?);
        }
        Ok(())
    }

    /// Waits for the line that says so.
    async fn ready(&mut self) -> Result<()> {
        let (out, err) = (
            self.file(self.starts, "stdout"),
            self.file(self.starts, "stderr"),
        );
        let child = self.child.as_mut().context("it does not run")?;
        let address = eventually("the program gets ready", async || {
            let text = fs::read_to_string(&out)?;
            let whole = text.lines().filter(|_| text.ends_with('\n'));
            if let Some(line) = whole.rev().find(|line| line.starts_with("ready ")) {
                return Ok(Some(line.to_owned()));
            }
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(&err)?;
                bail!("the program ends with {status}\n{text}{log}");
            }
            Ok(None)
        })
        .await?;
        ensure!(address.contains(&self.base()), "another address: {address}");
        Ok(())
    }

    /// The program with these arguments, in an environment that holds nothing but what the test sets.
    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .env_clear()
            .envs(&self.env);
        command
    }

    fn file(&self, start: u32, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.{start}"))
    }

    fn show_log(&self) -> Result<()> {
        let log = self.stderr()?;
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(SHOWN);
        let mut out = std::io::stderr().lock();
        writeln!(out, "the end of the program's log:")?;
        for line in lines.iter().skip(from) {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // There is nobody to tell that even this failed.
        let _ = self.kill();
        if self.starts > 0 {
            let _ = self.show_log();
        }
    }
}

// === impl FirstStart ===

impl FirstStart {
    fn find(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let key = lines.find(|line| line.starts_with("aio_test_"))?;
        let curl = lines.find(|line| line.starts_with("curl "))?;
        Some(Self {
            key: key.to_owned(),
            curl: curl.to_owned(),
        })
    }
}

/// A well-formed live key of our own making.
pub(crate) fn operator_key() -> String {
    let key = ApiKey::from_random(Mode::Live, &rand::random());
    key.expose().to_owned()
}

fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
