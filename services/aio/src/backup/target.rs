//! Where a backup is written: a directory, or a tar file. Under its name there is a whole one or none: what is not finished is called
//! `NAME.partial`.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::manifest::{SUMS, Summing, Sums};
use crate::say;

/// What a file is called that is to be a tar file.
const ARCHIVE: &str = "tar";
/// Who may read and write a file of a backup.
const PRIVATE: u32 = 0o600;

/// A backup on its way.
pub(crate) struct Target {
    place: PathBuf,
    /// What becomes the backup, or, beside a tar file, where databases wait to go into it.
    stage: PathBuf,
    archive: Option<Archive>,
    sums: Sums,
}

/// A tar file on its way.
struct Archive {
    path: PathBuf,
    builder: tar::Builder<File>,
}

// === impl Target ===

impl Target {
    /// Begins a backup of about so many bytes, of which the largest database has `largest`.
    ///
    /// # Errors
    /// When there is something at `place` already, it cannot be written, or there is no room.
    pub(crate) fn begin(place: &Path, bytes: u64, largest: u64) -> anyhow::Result<Self> {
        let shown = place.display();
        ensure!(
            !place.exists() || is_empty(place),
            "{shown} is there already: name a place that is not there yet, such as {shown}-$(date +%F)"
        );
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let is_archive = place.extension().is_some_and(|end| end == ARCHIVE);
        // A database is there twice for as long as it goes into the tar file.
        let needed = if is_archive {
            bytes.saturating_add(largest)
        } else {
            bytes
        };
        let free = say::room(parent)?;
        ensure!(
            free >= needed,
            "there is no room for the backup in {}: {} are needed, {} are free",
            parent.display(),
            say::size(needed),
            say::size(free)
        );
        let stage = beside(place, if is_archive { ".staged" } else { ".partial" });
        let partial = beside(place, ".partial");
        // One that was killed leaves them behind.
        let _ = fs::remove_dir_all(&stage);
        let _ = fs::remove_file(&partial);
        fs::create_dir(&stage).with_context(|| format!("cannot make {}", stage.display()))?;
        let archive = if is_archive {
            let file =
                create(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
            Some(Archive {
                path: partial,
                builder: tar::Builder::new(file),
            })
        } else {
            None
        };
        Ok(Self {
            place: place.to_owned(),
            stage,
            archive,
            sums: Sums::default(),
        })
    }

    /// Where a database is written, to be taken by [`Target::take`].
    pub(crate) fn stage(&self) -> &Path {
        &self.stage
    }

    /// Takes what was written in the stage under this name, and says how large it is.
    pub(crate) fn take(&mut self, name: &str) -> anyhow::Result<u64> {
        let path = self.stage.join(name);
        if self.archive.is_some() {
            let taken = self.put(name, &path)?;
            fs::remove_file(&path)?;
            return taken.with_context(|| format!("{} is gone", path.display()));
        }
        let file = File::open(&path)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        let mut summing = Summing::new(file);
        io::copy(&mut summing, &mut io::sink())?;
        self.sums.add(name, summing.sum());
        Ok(bytes)
    }

    /// Copies a file, and says how large it is; `None` if it is not there.
    pub(crate) fn put(&mut self, name: &str, source: &Path) -> anyhow::Result<Option<u64>> {
        let file = match File::open(source) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", source.display()));
            }
        };
        // One that grows is one that no row knows: its beginning is as good as nothing.
        let bytes = file.metadata()?.len();
        self.add(name, file.take(bytes), bytes)
            .with_context(|| format!("cannot copy {}", source.display()))?;
        Ok(Some(bytes))
    }

    /// Adds a file that was made here.
    pub(crate) fn write(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let bytes = u64::try_from(content.len())?;
        self.add(name, content, bytes)
            .with_context(|| format!("cannot write {name}"))
    }

    fn add(&mut self, name: &str, content: impl io::Read, bytes: u64) -> anyhow::Result<()> {
        let mut summing = Summing::new(content);
        match &mut self.archive {
            Some(archive) => {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes);
                header.set_mode(PRIVATE);
                archive
                    .builder
                    .append_data(&mut header, name, &mut summing)?;
            }
            None => {
                let path = self.stage.join(name);
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                let mut file = create(&path)?;
                let copied = io::copy(&mut summing, &mut file)?;
                ensure!(copied == bytes, "it became shorter meanwhile");
                file.sync_all()?;
            }
        }
        self.sums.add(name, summing.sum());
        Ok(())
    }

    /// Writes the sums, and gives the backup its name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(mut self) -> anyhow::Result<PathBuf> {
        let sums = self.sums.text();
        self.write(SUMS, sums.as_bytes())?;
        let shown = self.place.display();
        match self.archive.take() {
            Some(archive) => {
                let file = archive.builder.into_inner()?;
                file.sync_all()?;
                fs::rename(&archive.path, &self.place)
                    .with_context(|| format!("cannot write {shown}"))?;
                fs::remove_dir_all(&self.stage)?;
            }
            None => {
                fs::rename(&self.stage, &self.place)
                    .with_context(|| format!("cannot write {shown}"))?;
            }
        }
        if let Some(parent) = self.place.parent()
            && !parent.as_os_str().is_empty()
        {
            File::open(parent)?.sync_all()?;
        }
        Ok(self.place)
    }

    /// Removes what was begun.
    pub(crate) fn discard(self) {
        // What cannot be removed now is removed by the next backup of this name.
        let _ = fs::remove_dir_all(&self.stage);
        if let Some(archive) = &self.archive {
            let _ = fs::remove_file(&archive.path);
        }
    }
}

/// Makes a file that is the owner's alone.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)
}

/// Whether it is a directory with nothing in it.
fn is_empty(place: &Path) -> bool {
    fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none())
}

fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
