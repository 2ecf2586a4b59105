//! One process of the program: where it listens, what it is told, what it printed; started, killed, stopped.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, kill_process};

use super::shape::Role;
use crate::eventually;

/// What the program can be told by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// As service managers do.
    Terminate,
    /// As Ctrl-C does.
    Interrupt,
}

/// The program itself, and where its processes keep what they print.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) home: PathBuf,
    /// What all processes of a house are told.
    pub(super) env: BTreeMap<String, String>,
}

/// One process, whether it runs or not.
pub(super) struct Instance {
    /// What it does; nothing for the process that does everything.
    role: Option<Role>,
    /// Counted from 1 among those of its role; 0 for a stand-in.
    number: usize,
    listen: String,
    /// What it is told beside what all are.
    env: BTreeMap<String, String>,
    child: Option<Child>,
    starts: u32,
}

// === impl Program ===

impl Program {
    /// The program with these arguments, in an environment that holds nothing but what the test sets.
    pub(super) fn run(&self, arguments: &[&str], data_dir: &str) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.home.join(data_dir))
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .env_clear()
            .envs(&self.env);
        command
    }
}

// === impl Instance ===

impl Instance {
    pub(super) fn new(role: Option<Role>, number: usize, port: u16) -> Self {
        Self {
            role,
            number,
            listen: format!("127.0.0.1:{port}"),
            env: BTreeMap::new(),
            child: None,
            starts: 0,
        }
    }

    /// One that somebody else has started, at `host:port`.
    pub(super) fn at(role: Role, place: &str) -> Self {
        Self {
            role: Some(role),
            number: 1,
            listen: place.to_owned(),
            env: BTreeMap::new(),
            child: None,
            starts: 0,
        }
    }

    /// Tells it alone something.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What it is told beside what all are.
    pub(super) const fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// One that has not been started and does the same in its place.
    pub(super) fn stand_in(&self) -> Self {
        Self {
            role: self.role,
            number: 0,
            listen: self.listen.clone(),
            env: self.env.clone(),
            child: None,
            starts: 0,
        }
    }

    /// Whether it does what this role does.
    pub(super) fn plays(&self, role: Role) -> bool {
        self.role.is_none_or(|own| own == role)
    }

    pub(super) const fn role(&self) -> Option<Role> {
        self.role
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(super) const fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// The name of its data directory and its logs.
    pub(super) fn name(&self) -> String {
        match self.role {
            None => "data".to_owned(),
            Some(role) => format!("{}-{}", role.as_str(), self.number),
        }
    }

    /// Starts it, and does not wait.
    pub(super) fn launch(&mut self, program: &Program) -> Result<()> {
        self.starts = self.starts.saturating_add(1);
        let command = self.role.map_or("up", Role::as_str);
        let mut command = program.run(&[command, "--listen", &self.listen], &self.name());
        command
            .envs(&self.env)
            .stdout(File::create(self.file(program, self.starts, "stdout"))?)
            .stderr(File::create(self.file(program, self.starts, "stderr"))?);
        self.child = Some(command.spawn().context("cannot start the program")?);
        Ok(())
    }

    /// Waits for the line that says that it serves.
    pub(super) async fn ready(&mut self, program: &Program) -> Result<()> {
        let (out, err) = (
            self.file(program, self.starts, "stdout"),
            self.file(program, self.starts, "stderr"),
        );
        let name = self.name();
        let child = self.child.as_mut().context("it does not run")?;
        let line = eventually(&format!("{name} gets ready"), async || {
            let text = fs::read_to_string(&out)?;
            let whole = text.lines().filter(|_| text.ends_with('\n'));
            if let Some(line) = whole.rev().find(|line| line.starts_with("ready ")) {
                return Ok(Some(line.to_owned()));
            }
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(&err)?;
                bail!("{name} ends with {status}\n{text}{log}");
            }
            Ok(None)
        })
        .await?;
        ensure!(line.contains(&self.listen), "another address: {line}");
        Ok(())
    }

    /// Cuts its power (SIGKILL), and does not wait.
    pub(super) fn cut(&mut self) -> Result<()> {
        Ok(self.child.as_mut().map_or(Ok(()), Child::kill)?)
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.cut()?;
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal, and does not wait.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        self.send(match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Interrupt => rustix::process::Signal::INT,
        })
    }

    /// Lets it stand still (SIGSTOP): its connections stay open, and nobody answers.
    pub(super) fn pause(&self) -> Result<()> {
        self.send(rustix::process::Signal::STOP)
    }

    /// Lets it go on after [`Instance::pause`].
    pub(super) fn go_on(&self) -> Result<()> {
        self.send(rustix::process::Signal::CONT)
    }

    fn send(&self, signal: rustix::process::Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    pub(super) fn pid(&self) -> Result<Pid> {
        let child = self.child.as_ref().context("it does not run")?;
        Ok(Pid::from_child(child))
    }

    /// Waits until it has ended by itself; kills it if it does not.
    pub(super) async fn exited(&mut self) -> Result<ExitStatus> {
        let name = self.name();
        let mut child = self.child.take().context("it does not run")?;
        let exited = eventually(&format!("{name} ends"), async || Ok(child.try_wait()?)).await;
        if exited.is_err() {
            child.kill()?;
            child.wait()?;
        }
        exited
    }

    /// Whether it has ended by itself.
    pub(super) fn has_died(&mut self) -> Result<bool> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
        Ok(ended.flatten().is_some())
    }

    /// What its last start has printed so far, to `stdout` or `stderr`; nothing before the first.
    pub(super) fn printed(&self, program: &Program, stream: &str) -> Result<String> {
        if self.starts == 0 {
            return Ok(String::new());
        }
        let file = self.file(program, self.starts, stream);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// What every start has logged.
    pub(super) fn logs(&self, program: &Program) -> Result<Vec<String>> {
        let starts = 1..=self.starts;
        let logs = starts.map(|start| fs::read_to_string(self.file(program, start, "stderr")));
        Ok(logs.collect::<Result<_, _>>()?)
    }

    fn file(&self, program: &Program, start: u32, stream: &str) -> PathBuf {
        program
            .home
            .join(format!("{}.{stream}.{start}", self.name()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // There is nobody to tell that even this failed.
        let _ = self.kill();
    }
}
