//! What operators do to keep an installation well, in tests: its doctor, and its database dumped and put back.

use std::{path::Path, process::Output};

use anyhow::{Context as _, Result};

use super::{Aio, Role, engines::Engines};

impl Aio {
    /// Runs a command to its end that asks no other process, in the environment of the process of this role: in the embedded shape, of
    /// the one that does everything.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn command_of(&self, role: Role, arguments: &[&str]) -> Result<Output> {
        let mut command = self.house.program.run(arguments, "data");
        if let Ok(instance) = self.house.one(role, 1) {
            command.envs(instance.env());
        }
        Ok(tokio::process::Command::from(command).output().await?)
    }

    /// Dumps its database into a file, as its owner, while it runs or while it does not.
    ///
    /// # Errors
    /// In the embedded shape, and when PostgreSQL refuses.
    pub async fn dump(&self, to: &Path) -> Result<()> {
        let engines = self.on_servers()?;
        engines.servers.postgres.dump(&engines.database, to).await
    }

    /// Makes its database anew out of a dump, as docs/backup.md says: an empty one, `aio migrate`, and then the dump. None of its
    /// processes may run.
    ///
    /// # Errors
    /// In the embedded shape, and when PostgreSQL refuses.
    pub async fn load(&self, from: &Path) -> Result<()> {
        let engines = self.on_servers()?;
        engines.servers.postgres.renew(&engines.database).await?;
        engines.migrate(&self.house.program).await?;
        engines.servers.postgres.load(&engines.database, from).await
    }

    fn on_servers(&self) -> Result<&Engines> {
        self.engines.as_ref().context("it stands on no servers")
    }
}
