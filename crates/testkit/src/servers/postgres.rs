//! A PostgreSQL server. It writes with fsync, as in production.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    SHARED_POSTGRES,
    home::{TRIES, User, command, folder, free_port},
    process::Process,
    programs::Program,
};

/// The superuser.
const SUPERUSER: &str = "postgres";
/// Who owns the databases of tests: no superuser, but it may make roles, as `aio migrate` does.
const OWNER: &str = "aio_owner";
/// The owner's password, which URLs carry as they would elsewhere.
const OWNER_PASSWORD: &str = "owner";

/// Who has to prove who they are, by a password; nobody else has to. Proving it costs as much as ten connections do in a program
/// that is built for tests, so only a test that is about passwords asks for it, by granting this to a role.
pub const WITH_PASSWORD: &str = "with_password";

/// Who may connect, and how they prove who they are.
const HBA: &str = "\
host all +with_password 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
";

/// Room for three replicas of every role of several tests at once.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 600
shared_buffers = 64MB
dynamic_shared_memory_type = posix
timezone = 'UTC'
log_min_messages = warning
log_min_error_statement = error
log_line_prefix = '%m [%p] %u@%d '
";

/// A PostgreSQL server. What it holds survives [`Postgres::kill`] and [`Postgres::restart`], and ends with the value.
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    private: Option<Private>,
}

/// What a server of one's own has.
struct Private {
    process: Option<Process>,
    user: User,
    /// Declared last, so that it is deleted when nobody writes to it any more.
    home: TempDir,
}

// === impl Postgres ===

impl Postgres {
    /// The server of the whole run if there is one, else one of its own.
    ///
    /// # Errors
    /// When that cannot be started.
    pub async fn shared() -> Result<Self> {
        let Some(url) = chassis::config::variable_value(SHARED_POSTGRES) else {
            return Self::start().await;
        };
        let port = port_of(&url).with_context(|| format!("{SHARED_POSTGRES} is {url}"))?;
        Ok(Self {
            programs: Program::Postgres.path()?,
            port,
            private: None,
        })
    }

    /// A server of one's own.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; says what it printed.
    pub async fn start() -> Result<Self> {
        let programs = Program::Postgres.path()?;
        let home = folder("postgres")?;
        let user = User::instead_of_root("postgres")?;
        user.give(home.path())?;
        make_cluster(&programs, home.path(), user)?;
        let mut server = Self {
            programs,
            port: 0,
            private: Some(Private {
                process: None,
                user,
                home,
            }),
        };
        let mut tries = 1;
        loop {
            server.port = free_port()?;
            match server.launch().await {
                Err(error) if tries < TRIES && format!("{error:#}").contains("could not bind") => {
                    tries += 1;
                }
                launched => {
                    launched?;
                    break;
                }
            }
        }
        server.psql(&format!(
            "create role {OWNER} login createrole createdb password '{OWNER_PASSWORD}';
             grant pg_monitor, pg_signal_backend to {OWNER};
             create role {WITH_PASSWORD}"
        ))?;
        Ok(server)
    }

    /// Makes a database and gives the URL of its owner, who is no superuser but may make roles.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn database(&self) -> Result<String> {
        let name = format!("aio_{:016x}", rand::random::<u64>());
        let sql = format!("create database {name} owner {OWNER}");
        let mut psql = tokio::process::Command::from(self.psql_command(&sql));
        succeeded(&psql.output().await?, &sql)?;
        let port = self.port;
        Ok(format!(
            "postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{port}/{name}"
        ))
    }

    /// Dumps a database into a file, as the owner of this URL.
    ///
    /// # Errors
    /// When it cannot be dumped; says what was printed.
    pub async fn dump(&self, url: &str, to: &Path) -> Result<()> {
        let mut dump = command(&self.programs.join("pg_dump"));
        dump.args(["--format", "custom", "--file"]).arg(to).arg(url);
        let output = tokio::process::Command::from(dump).output().await?;
        succeeded(&output, "pg_dump")
    }

    /// Deletes the database of this URL, whoever is connected, and makes it again, empty.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn renew(&self, url: &str) -> Result<()> {
        let (_, name) = url.rsplit_once('/').context("no database in the URL")?;
        // Neither may be done in a transaction, as several statements at once would be.
        for sql in [
            format!("drop database {name} with (force)"),
            format!("create database {name} owner {OWNER}"),
        ] {
            let mut psql = tokio::process::Command::from(self.psql_command(&sql));
            succeeded(&psql.output().await?, &sql)?;
        }
        Ok(())
    }

    /// Puts a dump into the database of this URL, as its owner, in the place of what is there.
    ///
    /// # Errors
    /// When it cannot be put there; says what was printed.
    pub async fn load(&self, url: &str, from: &Path) -> Result<()> {
        let mut restore = command(&self.programs.join("pg_restore"));
        restore
            .args(["--clean", "--if-exists", "--dbname", url])
            .arg(from);
        let output = tokio::process::Command::from(restore).output().await?;
        succeeded(&output, "pg_restore")
    }

    /// The URL of its superuser.
    pub fn superuser_url(&self) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Where its files are, if it is one's own.
    pub fn folder(&self) -> Option<&Path> {
        self.private.as_ref().map(|private| private.home.path())
    }

    /// Kills it and every one of its processes, as a power cut would. What was committed is kept.
    ///
    /// # Errors
    /// When it is not one's own, or the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        match self.private()?.process.take() {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Lets it stand still, with every one of its processes (SIGSTOP): its connections stay open, and nobody answers.
    ///
    /// # Errors
    /// When it is not one's own, or the system refuses.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Postgres::pause`].
    ///
    /// # Errors
    /// When it is not one's own, or the system refuses.
    pub fn go_on(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        let process = self.private()?.process.as_ref();
        process.context("it does not run")?.signal(signal)
    }

    /// Starts it again, on the same port; kills it before, if it still runs.
    ///
    /// # Errors
    /// When it is not one's own, or does not start; says what it printed.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch().await
    }

    async fn launch(&mut self) -> Result<()> {
        let (programs, port) = (self.programs.clone(), self.port);
        let private = self.private()?;
        let mut postgres = command(&programs.join("postgres"));
        postgres
            .arg("-D")
            .arg(data(private.home.path()))
            .args(["-p", &port.to_string()]);
        private.user.runs(&mut postgres);
        let mut process = Process::spawn("postgres", &mut postgres, private.home.path())?;
        let ready = async || {
            let isready = command(&programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status();
            isready.is_ok_and(|status| status.success())
        };
        process.ready(ready).await?;
        private.process = Some(process);
        Ok(())
    }

    fn private(&mut self) -> Result<&mut Private> {
        let private = self.private.as_mut();
        private.context("the shared PostgreSQL is not this test's to kill: use Postgres::start()")
    }

    fn psql(&self, sql: &str) -> Result<()> {
        succeeded(&self.psql_command(sql).output()?, sql)
    }

    /// `psql` as the superuser, with these statements.
    fn psql_command(&self, sql: &str) -> Command {
        let mut psql = command(&self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"])
            .args(["--command", sql])
            .arg(self.superuser_url());
        psql
    }
}

/// Makes the server's files. Only they are made without fsync; the server itself writes with it.
fn make_cluster(programs: &Path, home: &Path, user: User) -> Result<()> {
    let mut initdb = command(&programs.join("initdb"));
    initdb
        .arg("-D")
        .arg(data(home))
        .args(["--username", SUPERUSER, "--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"])
        .current_dir(home);
    user.runs(&mut initdb);
    succeeded(&initdb.output()?, "initdb")?;
    fs::write(data(home).join("pg_hba.conf"), HBA)?;
    let settings = data(home).join("postgresql.auto.conf");
    fs::write(settings, SETTINGS)?;
    Ok(())
}

fn data(home: &Path) -> PathBuf {
    home.join("data")
}

fn succeeded(output: &std::process::Output, what: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}: {said}", output.status);
    Ok(())
}

/// The port in a URL of the form that [`Postgres::superuser_url`] gives.
fn port_of(url: &str) -> Option<u16> {
    let (_, address) = url.rsplit_once('@')?;
    let (_, port) = address.split('/').next()?.rsplit_once(':')?;
    port.parse().ok()
}
