//! Where the servers' programs are on this machine, and which packages bring those that are missing.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// A program that tests start, and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `initdb`, `postgres` and `psql`.
    Postgres,
    /// `rabbitmq-server`: the script of the server itself, not the wrapper that wants to be root.
    Rabbit,
    /// `epmd`, Erlang's directory of nodes.
    Epmd,
    /// `redis-server`.
    Redis,
}

/// The packages that have to be installed, each once; empty when nothing is missing.
pub fn missing() -> Vec<&'static str> {
    let all = [
        Program::Postgres,
        Program::Rabbit,
        Program::Epmd,
        Program::Redis,
    ];
    let absent = all.into_iter().filter(|program| program.path().is_err());
    let mut packages: Vec<_> = absent.map(Program::package).collect();
    packages.dedup();
    packages
}

// === impl Program ===

impl Program {
    /// The program, newest version first. For PostgreSQL, the folder that holds its programs.
    ///
    /// # Errors
    /// When it is not installed; says which package brings it.
    pub fn path(self) -> Result<PathBuf> {
        let found = match self {
            Self::Postgres => newest("/usr/lib/postgresql", "bin", "postgres"),
            Self::Rabbit => newest("/usr/lib/rabbitmq/lib", "sbin", "rabbitmq-server")
                .map(|folder| folder.join("rabbitmq-server")),
            Self::Epmd | Self::Redis => None,
        };
        let on_path = || {
            let program = on_path(self.command())?;
            match self {
                Self::Postgres => program.parent().map(Path::to_owned),
                Self::Rabbit | Self::Epmd | Self::Redis => Some(program),
            }
        };
        let package = self.package();
        found
            .or_else(on_path)
            .with_context(|| format!("{} is missing: apt-get install {package}", self.command()))
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Rabbit => "rabbitmq-server",
            Self::Epmd => "epmd",
            Self::Redis => "redis-server",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            // It depends on Erlang, which brings epmd.
            Self::Rabbit | Self::Epmd => "rabbitmq-server",
            Self::Redis => "redis-server",
        }
    }
}

/// `base/VERSION/below`, of the highest version that holds `program`.
fn newest(base: &str, below: &str, program: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(base).ok()?.filter_map(Result::ok);
    let folders = versions.map(|version| version.path().join(below));
    folders
        .filter(|folder| folder.join(program).is_file())
        .max_by_key(|folder| numbers(folder))
}

/// The numbers in a path, in order, so that 15 comes after 9.
fn numbers(path: &Path) -> Vec<u64> {
    let text = path.to_string_lossy().into_owned();
    let digits = text.split(|letter: char| !letter.is_ascii_digit());
    digits.filter_map(|number| number.parse().ok()).collect()
}

/// Also in `/usr/sbin`, which an ordinary user's path may lack.
fn on_path(command: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join(command))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9", "15", "notes"] {
            let bin = folder.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join("postgres"), "").unwrap();
        }
        let base = folder.path().to_string_lossy().into_owned();
        let found = newest(&base, "bin", "postgres").unwrap();
        assert_eq!(found, folder.path().join("15/bin"));
        assert_eq!(newest(&base, "sbin", "postgres"), None);
    }
}
