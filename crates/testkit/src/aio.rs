//! The real program as child processes: started, killed, started again. Which shape it takes, `aio up` or a process for each
//! role, is a matter of this room alone: a test that does not ask runs in all of them. Where a run names a system that runs already,
//! it is that one that tests are given.

mod alone;
mod care;
mod engines;
mod house;
mod instance;
mod rolling;
mod running;
mod shape;
mod system;

use std::{
    path::PathBuf,
    process::{ExitStatus, Output},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use domain::{ApiKey, Mode};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Account, Api, api, binary, openapi::Told, servers::free_port};
use engines::{Access, Engines, Via};
use house::House;
use instance::{Instance, Program};
use running::Running;

pub use alone::Sandbox;
pub use engines::Servers;
pub use instance::Signal;
pub use shape::{Role, Shape};

/// How many times ports are chosen, as another program may take one between our look and the start.
const TRIES: u32 = 5;

/// The program. [`Aio::finish`] ends a test that went well: it audits the ledger, stops the program in order and reads its logs.
/// A program that is dropped without it is killed, and the end of its logs is shown.
pub struct Aio {
    shape: Shape,
    house: House,
    engines: Option<Engines>,
    operator: String,
    http: reqwest::Client,
    told: Arc<Told>,
    first: Option<FirstStart>,
    verdict: Verdict,
    /// Whether this test may start it, stop it and read what it prints.
    ours: bool,
    /// Declared last, so that it is deleted when nobody writes to it any more.
    home: TempDir,
}

/// How a test went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Not well, unless it says otherwise.
    Open,
    /// Well.
    Good,
}

/// What a first start prints for its user.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// The key.
    pub key: String,
    /// The line to paste into a shell.
    pub curl: String,
}

// === impl Aio ===

impl Aio {
    /// Starts it in the shape of this run, with nothing kept from before.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// Starts it in the shape of this run, with more environment variables.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn with(env: &[(&str, &str)]) -> Result<Self> {
        Self::open(Shape::of_this_run()?, Access::Shared, env, &mut straight).await
    }

    /// Starts `aio up`, whatever the shape of this run: for tests that are about its command line and its data directory.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn embedded() -> Result<Self> {
        Self::embedded_with(&[]).await
    }

    /// The same, with more environment variables.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn embedded_with(env: &[(&str, &str)]) -> Result<Self> {
        Self::open(Shape::Embedded, Access::Shared, env, &mut straight).await
    }

    /// Starts it in this shape on servers of its own, which [`Aio::servers`] gives to kill and to wipe.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn private(shape: Shape) -> Result<Self> {
        Self::private_with(shape, &[]).await
    }

    async fn open(
        shape: Shape,
        access: Access,
        env: &[(&str, &str)],
        via: &mut Via<'_>,
    ) -> Result<Self> {
        if let Some(running) = Running::of_this_run()? {
            let usual = access == Access::Shared && shape == Shape::of_this_run()?;
            ensure!(usual, "this test starts a system of its own");
            running.was_told(env)?;
            return Self::of(running);
        }
        let operator = operator_key();
        let usual = [
            ("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
            ("AIO_EGRESS__ALLOW", "127.0.0.1/32"),
            // Slowness is what few tests are about.
            ("AIO_LIMITS__OVERLOAD__DELAY", "0s"),
            ("AIO_BOOTSTRAP_KEY", operator.as_str()),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let home = tempfile::Builder::new().prefix("aio-e2e-").tempdir()?;
        let program = Program {
            path: binary()?,
            home: home.path().to_owned(),
            env: usual
                .into_iter()
                .chain(env.iter().copied())
                .map(owned)
                .collect(),
        };
        let engines = match shape {
            Shape::Embedded => None,
            Shape::Split | Shape::Split3 => Some(Engines::open(access).await?),
        };
        if let Some(engines) = &engines {
            engines.migrate(&program).await?;
        }
        for _ in 1..TRIES {
            let mut house = House::new(program.clone());
            match &engines {
                None => house.settle(vec![Instance::new(None, 1, free_port()?)], [].into()),
                Some(engines) => {
                    let (instances, env) = engines.plan(shape, via)?;
                    house.settle(instances, env);
                }
            }
            match house.launch(None).await {
                Err(error) if format!("{error:#}").contains("cannot listen on") => continue,
                launched => launched?,
            }
            return Ok(Self {
                first: FirstStart::find(&house.printed("stdout")?),
                shape,
                house,
                engines,
                operator,
                http: api::client()?,
                told: Arc::default(),
                verdict: Verdict::Open,
                ours: true,
                home,
            });
        }
        bail!("no port is free");
    }

    /// Starts it again, on the same data and the same ports; kills it before, if it still runs.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.house.launch(None).await
    }

    /// Where the web pages are: in `aio up` with the API, and else in a process that is started for the first who asks.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn pages(&mut self) -> Result<String> {
        if let Ok(pages) = self.house.one(Role::Dashboard, 1) {
            return Ok(pages.base());
        }
        let Some(engines) = &self.engines else {
            return Ok(self.base().to_owned());
        };
        let instance = engines.instance(Role::Dashboard, 1)?;
        let base = instance.base();
        self.house.add(instance).await?;
        Ok(base)
    }

    /// Sets an environment variable for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        let env = &mut self.house.program.env;
        env.insert(name.to_owned(), value.to_owned());
    }

    /// Kills every process of it, as a power cut would (SIGKILL), and waits until they are gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.is_ours()?;
        self.house.kill(None)
    }

    /// Whether one of its processes has ended by itself since it was started.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_lost_one(&mut self) -> Result<bool> {
        self.is_ours()?;
        self.house.has_lost_one()
    }

    /// Kills every process that does what this role does: in the embedded shape, the one that does everything.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill_role(&mut self, role: Role) -> Result<()> {
        self.is_ours()?;
        self.house.kill(Some(role))
    }

    /// Starts every process that does what this role does again; kills them before, if they still run.
    ///
    /// # Errors
    /// When one does not get ready; says what it printed.
    pub async fn restart_role(&mut self, role: Role) -> Result<()> {
        self.kill_role(role)?;
        self.house.launch(Some(role)).await
    }

    /// What a simulated provider was asked, each in a job of its bill: those that make no chat and no embedding, in order.
    ///
    /// # Errors
    /// When the sandbox does not say; in the embedded shape, when nobody told it where to listen.
    pub async fn jobs(&self) -> Result<Vec<Value>> {
        self.is_ours()?;
        let base = match self.house.one(Role::Sandbox, 1) {
            Ok(sandbox) => sandbox.base(),
            Err(_) => {
                let listen = self.house.program.env.get("AIO_SANDBOX__LISTEN");
                format!(
                    "http://{}",
                    listen.context("AIO_SANDBOX__LISTEN is not set")?
                )
            }
        };
        let bill = self.api(None).get(&format!("{base}/bill/jobs")).await?;
        ensure!(bill.status == 200, "no bill: {bill}");
        let jobs = bill.json()?["jobs"].as_array().cloned();
        let mut jobs = jobs.context("a bill without jobs")?;
        jobs.retain(|job| job["kind"] != "chat" && job["kind"] != "embedding");
        Ok(jobs)
    }

    /// How many processes do what this role does.
    pub fn replicas(&self, role: Role) -> usize {
        self.shape.replicas(role)
    }

    /// The servers it stands on.
    ///
    /// # Errors
    /// When they are not its own: it was not started by [`Aio::private`], or in the embedded shape.
    pub fn servers(&mut self) -> Result<&mut Servers> {
        let engines = self.engines.as_mut();
        let engines = engines.filter(|engines| engines.access == Access::Private);
        let engines = engines.context("no servers of its own: Aio::private() in a split shape")?;
        Ok(&mut engines.servers)
    }

    /// Sends a signal to whoever is to stop first, and does not wait: the others are told by [`Aio::exited`], in order.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.is_ours()?;
        self.house.signal(signal)
    }

    /// Waits until it has ended by itself. Those that the others need are told to stop when the others have. Gives the first
    /// status that is no success.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        self.house.exited().await
    }

    /// Tells it to stop (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.exited().await
    }

    /// What every test that went well ends with: the ledger holds, the program stops with success, and its logs, from its first
    /// start on, tell of no panic, of no key or secret, and of no prompt. Of a system that runs, that the ledger holds.
    ///
    /// # Errors
    /// Whichever of these is not so.
    pub async fn finish(mut self) -> Result<()> {
        let audit = self.audit().await?;
        ensure!(audit["ok"] == true, "the ledger does not hold: {audit:#}");
        if self.house.runs() {
            let status = self.stop().await?;
            ensure!(status.success(), "it stops with {status}");
        }
        // A prompt shows by its directive.
        let mut words = vec![
            "panicked",
            "aio_test_",
            "whsec_",
            "[sandbox",
            &self.operator,
        ];
        words.extend(engines::CANARIES);
        words.push(crate::bucket::SECRET);
        let env = self.house.program.env.iter();
        words.extend(env.filter_map(|(name, value)| engines::is_secret(name).then_some(&**value)));
        self.house.check_logs(&words)?;
        self.verdict = Verdict::Good;
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

    /// Runs a command of the program to its end: on its data directory, or, in the split shapes, by the URL of an edge and the
    /// operator's key. There it needs processes that answer: where none runs, an edge and billing do for as long as it takes.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let base = self.base();
        let mut words = arguments.to_vec();
        let mut open = Vec::new();
        // What is computed from files alone takes no address.
        let offline = arguments.first() == Some(&"receipt") || arguments.contains(&"sign-in-link");
        if self.shape != Shape::Embedded && !offline {
            words.extend(["--url", base.as_str()]);
            if self.ours && !self.house.runs() {
                open = self.house.open_books().await?;
            }
        }
        let mut command = self.house.program.run(&words, "data");
        command.env("AIO_OPERATOR_KEY", &self.operator);
        let output = tokio::process::Command::from(command).output().await?;
        drop(open);
        Ok(output)
    }

    /// A client with the operator's key.
    pub fn admin(&self) -> Api {
        self.api(Some(&self.operator))
    }

    /// A client with this key, or without one. It goes to one edge after another.
    pub fn api(&self, key: Option<&str>) -> Api {
        Api::new(
            self.http.clone(),
            self.house.edges(),
            Arc::clone(&self.told),
            key,
        )
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
    /// When it printed no key or no command, as in the split shapes.
    pub fn first(&self) -> Result<&FirstStart> {
        self.first.as_ref().context("no key was printed")
    }

    /// Where its first edge is reached: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> String {
        self.house.edges().into_iter().next().unwrap_or_default()
    }

    /// The data directory of `aio up`.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// What the last start has printed so far: that of the edges first, that of billing last.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn stdout(&self) -> Result<String> {
        self.is_ours()?;
        self.house.printed("stdout")
    }

    /// What the last start has logged so far: that of the edges first, that of billing last.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn stderr(&self) -> Result<String> {
        self.is_ours()?;
        self.house.printed("stderr")
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // There is nobody to tell that even this failed.
        let _ = self.house.kill(None);
        if self.verdict == Verdict::Open {
            let _ = self.house.show_logs();
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

/// Whoever calls a process calls it where it is.
fn straight(_role: Role, address: String) -> Result<String> {
    Ok(address)
}

/// A well-formed live key of our own making.
fn operator_key() -> String {
    let key = ApiKey::from_random(Mode::Live, &rand::random());
    key.expose().to_owned()
}
