//! `aio backup`: one consistent copy of a data directory, while `aio up` writes to it or while nothing runs.
//!
//! The databases are copied as of one moment ([`db::Moment`]), so that no order of copying has to keep what they promise each
//! other: an entry of billing's and the task of media's that it belongs to are both in the copy, or neither is. The files come
//! after them. A file is whole before a row says so and is never changed, so every file that the copied rows know is there,
//! but for those that were deleted in between; what came since is only bytes that nobody asks for.

mod files;
mod manifest;
mod restore;
mod target;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use chassis::{clock::now_micros, config::Settings};
use db::Moment;
use rustix::fs::Mode;
use serde_json::json;

use self::{
    files::Found,
    manifest::{Database, FORMAT, Files, Kept, MANIFEST, Manifest, SECRETS},
    target::Target,
};
use crate::{
    args::{Backup, Part},
    say,
    stores::{self, Store},
};

pub(crate) use self::restore::{UNFINISHED, restore};

/// How often it is said how far a long copy has come.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What is to be copied.
struct Sources {
    /// Each database and its file.
    databases: Vec<(Store, PathBuf)>,
    /// Where files are kept, and which of them are copied.
    files: (Kept, Found),
    /// The secrets, and whether they are copied.
    secrets: (Kept, PathBuf),
}

/// Says how far it has come.
struct Progress {
    quiet: bool,
    told: Instant,
}

/// Copies what the data directory holds.
///
/// # Errors
/// When there is nothing to copy, no room for it, a database or a file cannot be read, or the copy not be written. What was
/// begun is then removed.
pub(crate) fn backup(
    settings: &Settings,
    data_dir: &Path,
    asked: &Backup,
) -> anyhow::Result<ExitCode> {
    of_one_process(settings)?;
    rustix::process::umask(Mode::RWXG.union(Mode::RWXO));
    let sources = Sources::find(settings, data_dir, asked)?;
    let mut target = Target::begin(&asked.to, sources.bytes(), sources.largest())?;
    let mut progress = if asked.json {
        Progress::quiet()
    } else {
        Progress::aloud()
    };
    let made = match copy(&sources, &mut target, asked.patience, &mut progress) {
        Ok(made) => made,
        Err(error) => {
            target.discard();
            return Err(error);
        }
    };
    let place = target.finish()?;
    if asked.json {
        say::line(json!({ "path": place, "manifest": made }));
    } else {
        say::line(format!(
            "{} holds everything as of {}",
            place.display(),
            made.moment
        ));
        for note in notes(&made) {
            say::line(note);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses the shape whose databases are on a server.
pub(crate) fn of_one_process(settings: &Settings) -> anyhow::Result<()> {
    let database: db::Config = settings.section("database")?;
    ensure!(
        database.url.is_none(),
        "database.url is set: this is for the data directory of `aio up`; docs/backup.md says how PostgreSQL is copied"
    );
    Ok(())
}

fn copy(
    sources: &Sources,
    target: &mut Target,
    patience: Duration,
    progress: &mut Progress,
) -> anyhow::Result<Manifest> {
    let paths: Vec<PathBuf> = sources
        .databases
        .iter()
        .map(|(_, path)| path.clone())
        .collect();
    let moment = Moment::of(&paths, patience).context(
        "there is no moment at which nobody writes: is the disk slow? --patience waits longer",
    )?;
    let at = now_micros();
    let (secrets, path) = &sources.secrets;
    if *secrets == Kept::Included {
        let copied = target.put(SECRETS, path)?;
        ensure!(copied.is_some(), "{} is gone", path.display());
        progress.done(SECRETS, "copied");
    }
    let mut databases = BTreeMap::new();
    for (store, path) in &sources.databases {
        let name = store.file();
        let copied = database(&moment, (store, path), target, progress);
        let copied = copied.with_context(|| format!("cannot copy {name}"))?;
        let rows = copied
            .rows
            .values()
            .fold(0_i64, |sum, rows| sum.saturating_add(*rows));
        let (size, version) = (say::size(copied.bytes), copied.version);
        progress.done(&name, &format!("{size}, {rows} rows, version {version}"));
        databases.insert(store.name.to_owned(), copied);
    }
    drop(moment);
    let (kept, found) = &sources.files;
    let files = match kept {
        Kept::Included => found.copy(target, progress)?,
        Kept::LeftOut | Kept::Elsewhere => Files {
            kept: *kept,
            count: 0,
            bytes: 0,
        },
    };
    let manifest = Manifest {
        format: FORMAT,
        moment: domain::Moment::from_micros(at),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        databases,
        files,
        secrets: *secrets,
    };
    let text = serde_json::to_vec_pretty(&manifest)?;
    target.write(MANIFEST, &text)?;
    Ok(manifest)
}

/// Copies one database, and looks whether the copy is sound.
fn database(
    moment: &Moment,
    (store, path): (&Store, &Path),
    target: &mut Target,
    progress: &mut Progress,
) -> anyhow::Result<Database> {
    let name = store.file();
    let copied = target.stage().join(&name);
    moment.copy(path, &copied, |done, all| {
        progress.step(&name, done, all);
    })?;
    let contents = db::contents(&copied, store.migrations)?;
    Ok(Database {
        version: contents.version,
        bytes: target.take(&name)?,
        rows: contents.rows,
    })
}

/// What whoever keeps the backup should know.
fn notes(made: &Manifest) -> Vec<&'static str> {
    let secrets = match made.secrets {
        Kept::Included => {
            "the secrets are in it: whoever can read it can read everything, so keep it where few can, or encrypt it"
        }
        Kept::LeftOut => "the secrets are not in it: without secrets.toml it cannot be used",
        Kept::Elsewhere => "the secrets are in your configuration: without them it cannot be used",
    };
    let files = match made.files.kept {
        Kept::Included => None,
        Kept::LeftOut => Some("files are not in it: copy them now, after the databases"),
        Kept::Elsewhere => Some("files are in your bucket: copy it now, after the databases"),
    };
    [Some(secrets), files].into_iter().flatten().collect()
}

// === impl Sources ===

impl Sources {
    fn find(settings: &Settings, data_dir: &Path, asked: &Backup) -> anyhow::Result<Self> {
        let shown = data_dir.display();
        ensure!(
            !data_dir.join(UNFINISHED).exists(),
            "a restore into {shown} was not finished: there is nothing whole to copy"
        );
        let databases: Vec<(Store, PathBuf)> = stores::files()
            .map(|store| (store, data_dir.join(store.file())))
            .filter(|(_, path)| path.is_file())
            .collect();
        if databases.is_empty() {
            bail!("there are no databases at {shown}: name the data directory by --data-dir");
        }
        let secrets = data_dir.join(SECRETS);
        let storage = media::StorageConfig::read(settings)?;
        let files = match (storage.s3.is_some(), asked.without.contains(&Part::Files)) {
            (true, _) => (Kept::Elsewhere, Found::default()),
            (false, true) => (Kept::LeftOut, Found::default()),
            (false, false) => {
                let usual = data_dir.join(manifest::FILES);
                let place = storage.directory.unwrap_or(usual);
                (Kept::Included, Found::below(&place)?)
            }
        };
        Ok(Self {
            databases,
            files,
            secrets: match (secrets.is_file(), asked.without.contains(&Part::Secrets)) {
                (false, _) => (Kept::Elsewhere, secrets),
                (true, true) => (Kept::LeftOut, secrets),
                (true, false) => (Kept::Included, secrets),
            },
        })
    }

    /// How many bytes are to be copied, about: what is written meanwhile comes on top.
    fn bytes(&self) -> u64 {
        let sizes = self.sizes();
        sizes.fold(self.files.1.bytes(), u64::saturating_add)
    }

    /// The size of the largest database.
    fn largest(&self) -> u64 {
        self.sizes().max().unwrap_or_default()
    }

    fn sizes(&self) -> impl Iterator<Item = u64> {
        let paths = self.databases.iter().map(|(_, path)| path);
        paths.filter_map(|path| Some(path.metadata().ok()?.len()))
    }
}

// === impl Progress ===

impl Progress {
    /// For people.
    fn aloud() -> Self {
        Self {
            quiet: false,
            told: Instant::now(),
        }
    }

    /// For machines, which read the end alone.
    fn quiet() -> Self {
        Self {
            quiet: true,
            ..Self::aloud()
        }
    }

    /// Something is under way.
    fn step(&mut self, what: &str, done: u64, all: u64) {
        if self.quiet || self.told.elapsed() < TELL_EVERY {
            return;
        }
        self.told = Instant::now();
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
        say::line(format!("  {what:<13} {percent} %"));
    }

    /// Something is done.
    fn done(&mut self, what: &str, how: &str) {
        if !self.quiet {
            say::line(format!("  {what:<13} {how}"));
        }
        self.told = Instant::now();
    }
}
