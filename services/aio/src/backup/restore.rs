//! `aio restore`: makes a data directory out of a backup, whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use chassis::config::Settings;
use serde_json::json;

use super::{
    Progress,
    manifest::{FILES, Kept, MANIFEST, Manifest, SECRETS, SUMS, Summing, Sums, is_inside},
    of_one_process,
    target::create,
};
use crate::{args::Restore, say, stores, up};

/// Where a restore gathers everything. While it is there, nothing starts on the data directory.
pub(crate) const UNFINISHED: &str = "restoring";
/// What an empty data directory may hold: our own lock, and what file systems put into their roots.
const NOTHING: [&str; 2] = ["lock", "lost+found"];

/// Where everything goes.
struct Places {
    data_dir: PathBuf,
    /// Where files are kept, if that is not below the data directory.
    files: Option<PathBuf>,
}

/// What was read of a backup.
#[derive(Default)]
struct Seen {
    found: Sums,
    manifest: Vec<u8>,
    sums: Vec<u8>,
}

/// Makes a data directory.
///
/// # Errors
/// When the place is not empty, the backup is damaged or of a newer program, or something cannot be read or written. What was
/// begun is then removed.
pub(crate) fn restore(
    settings: &Settings,
    data_dir: &Path,
    asked: &Restore,
) -> anyhow::Result<ExitCode> {
    of_one_process(settings)?;
    let storage = media::StorageConfig::read(settings)?;
    let places = Places {
        data_dir: data_dir.to_owned(),
        files: storage.directory,
    };
    places.check()?;
    ensure!(
        asked.from.exists(),
        "there is no backup at {}",
        asked.from.display()
    );
    let _lock = up::own(data_dir)?;
    let gathered = data_dir.join(UNFINISHED);
    fs::create_dir(&gathered).with_context(|| format!("cannot make {}", gathered.display()))?;
    let mut progress = if asked.json {
        Progress::quiet()
    } else {
        Progress::aloud()
    };
    let manifest = match gather(&places, &asked.from, &mut progress) {
        Ok(manifest) => manifest,
        Err(error) => {
            places.clear();
            return Err(error);
        }
    };
    places.settle().with_context(|| {
        format!(
            "cannot put everything in its place in {}",
            data_dir.display()
        )
    })?;
    if asked.json {
        say::line(json!({ "data_dir": data_dir, "manifest": manifest }));
        return Ok(ExitCode::SUCCESS);
    }
    say::line(format!(
        "{} is as of {}",
        data_dir.display(),
        manifest.moment
    ));
    for note in notes(&manifest) {
        say::line(note);
    }
    Ok(ExitCode::SUCCESS)
}

fn notes(manifest: &Manifest) -> Vec<&'static str> {
    let secrets = match manifest.secrets {
        Kept::Included => None,
        Kept::LeftOut => Some("now put secrets.toml of that installation into it, mode 0600"),
        Kept::Elsewhere => {
            Some("the secrets were in the configuration: they must be the same here")
        }
    };
    let files = match manifest.files.kept {
        Kept::Included => None,
        Kept::LeftOut => Some("files were not in the backup: put them in their place"),
        Kept::Elsewhere => Some("files were in a bucket: storage.s3 must name it, or its copy"),
    };
    let then = Some("then: `aio ledger audit`, which must say that the ledger holds, and `aio up`");
    [secrets, files, then].into_iter().flatten().collect()
}

/// Brings everything to the places where it waits, and checks it.
fn gather(places: &Places, from: &Path, progress: &mut Progress) -> anyhow::Result<Manifest> {
    let shown = from.display();
    let mut read = Seen::default();
    if from.is_dir() {
        of_directory(from, &mut |path, content| {
            places.take(&mut read, path, content)
        })
    } else {
        of_archive(from, &mut |path, content| {
            places.take(&mut read, path, content)
        })
    }
    .with_context(|| format!("cannot read the backup {shown}"))?;
    ensure!(
        !read.manifest.is_empty() && !read.sums.is_empty(),
        "{shown} is no whole backup: there is no {MANIFEST} or no {SUMS} in it"
    );
    let manifest = Manifest::read(&read.manifest)?;
    let sums = String::from_utf8(read.sums).with_context(|| format!("{SUMS} is no text"))?;
    Sums::read(&sums)?.check(&read.found)?;
    progress.done("checksums", "all as they should be");
    for (name, told) in &manifest.databases {
        let store = stores::files().find(|store| store.name == name);
        let store = store.with_context(|| {
            format!("the backup has a database {name} that this program does not know: run a newer program")
        })?;
        let path = places.data_dir.join(UNFINISHED).join(store.file());
        let contents = db::contents(&path, store.migrations)
            .with_context(|| format!("cannot use {}", store.file()))?;
        ensure!(
            contents.version == told.version && contents.rows == told.rows,
            "{} does not hold what {MANIFEST} says",
            store.file()
        );
        let version = contents.version;
        progress.done(&store.file(), &format!("sound, version {version}"));
    }
    Ok(manifest)
}

type Take<'t> = &'t mut dyn FnMut(&str, &mut dyn Read) -> anyhow::Result<()>;

/// Hands over what a directory holds. Its list says what that is: whatever else lies there is not ours.
fn of_directory(from: &Path, take: Take<'_>) -> anyhow::Result<()> {
    let list =
        fs::read_to_string(from.join(SUMS)).with_context(|| format!("there is no {SUMS} in it"))?;
    for path in Sums::read(&list)?.paths().chain([SUMS]) {
        match File::open(from.join(path)) {
            Ok(mut file) => take(path, &mut file).with_context(|| path.to_owned())?,
            // The list says that it should be there, so whoever compares notices.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.to_owned()),
        }
    }
    Ok(())
}

/// Hands over what a tar file holds.
fn of_archive(from: &Path, take: Take<'_>) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(File::open(from)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        ensure!(
            entry.header().entry_type().is_file(),
            "it holds something that is no file"
        );
        let path = entry.path()?.into_owned();
        let path = path.to_str().context("it holds a name that is no text")?;
        take(path, &mut entry).with_context(|| path.to_owned())?;
    }
    Ok(())
}

// === impl Places ===

impl Places {
    /// Refuses places that are not empty.
    fn check(&self) -> anyhow::Result<()> {
        for place in [Some(&self.data_dir), self.files.as_ref()]
            .into_iter()
            .flatten()
        {
            let shown = place.display();
            let entries = match fs::read_dir(place) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
            };
            for entry in entries {
                let name = entry?.file_name();
                ensure!(
                    NOTHING.iter().any(|nothing| name == *nothing),
                    "{shown} is not empty ({} is there): a backup is restored into an empty place, and nothing is overwritten",
                    name.display()
                );
            }
        }
        Ok(())
    }

    /// Takes one file of a backup to where it waits.
    fn take(&self, read: &mut Seen, path: &str, content: &mut dyn Read) -> anyhow::Result<()> {
        ensure!(is_inside(path), "{path:?} is no place in a backup");
        if path == SUMS {
            content.read_to_end(&mut read.sums)?;
            return Ok(());
        }
        let mut summing = Summing::new(content);
        if path == MANIFEST {
            summing.read_to_end(&mut read.manifest)?;
        } else {
            let place = self.waits(path)?;
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = create(&place)?;
            io::copy(&mut summing, &mut file)?;
            file.sync_all()?;
        }
        read.found.add(path, summing.sum());
        Ok(())
    }

    fn waits(&self, path: &str) -> anyhow::Result<PathBuf> {
        let known = path == SECRETS || stores::files().any(|store| store.file() == path);
        match (path.strip_prefix(FILES), &self.files) {
            (Some(below), Some(files)) => Ok(files.join(below.trim_start_matches('/'))),
            (Some(_), None) => Ok(self.data_dir.join(UNFINISHED).join(path)),
            (None, _) if known => Ok(self.data_dir.join(UNFINISHED).join(path)),
            (None, _) => {
                bail!("it holds {path}, which this program does not know: run a newer program")
            }
        }
    }

    /// Puts everything in its place. The last step is the one that lets a program start.
    fn settle(&self) -> io::Result<()> {
        let gathered = self.data_dir.join(UNFINISHED);
        for entry in fs::read_dir(&gathered)? {
            let entry = entry?;
            fs::rename(entry.path(), self.data_dir.join(entry.file_name()))?;
        }
        File::open(&self.data_dir)?.sync_all()?;
        fs::remove_dir(&gathered)?;
        File::open(&self.data_dir)?.sync_all()
    }

    /// Removes what was begun.
    fn clear(&self) {
        // What cannot be removed is noticed by whoever starts, or restores, next.
        let _ = fs::remove_dir_all(self.data_dir.join(UNFINISHED));
        let Some(files) = &self.files else { return };
        let Ok(entries) = fs::read_dir(files) else {
            return;
        };
        // It was empty.
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
    }
}
