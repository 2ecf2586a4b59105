//! The servers under a split program and under the ledger: PostgreSQL, which writes with fsync, Redis and RabbitMQ. Each is a fresh one of
//! our own, with its files beside the programs.

use crate::{load::Watched, procfs::Processes};
use anyhow::Context;
use std::{fs::read_link, path::Path};
use testkit::servers;

/// A running PostgreSQL with an empty database. Dropping it ends it.
pub(crate) struct Postgres {
    /// The processes it consists of: one that has started the others.
    pub(crate) process: Watched,
    /// The database's owner.
    owner: String,
    _server: servers::Postgres,
}

/// A running Redis. Dropping it ends it.
pub(crate) struct Redis {
    pub(crate) process: Watched,
    pub(crate) url: String,
    _server: servers::Redis,
}

/// A running RabbitMQ. Dropping it ends it.
pub(crate) struct Rabbit {
    pub(crate) process: Watched,
    pub(crate) url: String,
    _server: servers::Rabbit,
}

// === impl Postgres ===

impl Postgres {
    /// Starts it and makes the database.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = servers::Postgres::start().await?;
        let folder = server.folder().context("not our own")?;
        Ok(Self {
            process: Watched::new("postgres", child_in(folder)?),
            owner: server.database().await?,
            _server: server,
        })
    }

    /// Where it is, for the database's owner.
    pub(crate) fn owner_url(&self) -> &str {
        &self.owner
    }

    /// Where it is, for another role. The server believes everybody who says who they are.
    pub(crate) fn url(&self, role: &str) -> anyhow::Result<String> {
        let (_, place) = self.owner.rsplit_once('@').context("no owner")?;
        Ok(format!("postgres://{role}@{place}"))
    }
}

// === impl Redis ===

impl Redis {
    /// Starts it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = servers::Redis::start().await?;
        Ok(Self {
            process: Watched::new("redis", child_in(server.folder())?),
            url: server.url(),
            _server: server,
        })
    }
}

// === impl Rabbit ===

impl Rabbit {
    /// Starts it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = servers::Rabbit::start().await?;
        let folder = server.folder().context("not our own")?;
        Ok(Self {
            process: Watched::new("rabbitmq", child_in(folder)?),
            url: server.url().to_owned(),
            _server: server,
        })
    }
}

/// The process that we have started and that works in this folder.
fn child_in(folder: &Path) -> anyhow::Result<u32> {
    let processes = Processes::look();
    let mut children = processes.children(std::process::id());
    let works_here = |pid: &u32| {
        let place = read_link(format!("/proc/{pid}/cwd"));
        place.is_ok_and(|place| place.starts_with(folder))
    };
    let found = children.find(works_here);
    found.with_context(|| format!("nothing runs in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_is_found_by_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(child_in(folder.path()).is_err());
        let mut command = Command::new("cat");
        command.current_dir(folder.path()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(child_in(folder.path()).unwrap(), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
