//! Clocks that are wrong: libfaketime's, which is fetched from the system's archive where it is not installed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::progress;

/// Where packages of the system put the library, below the folder of the machine's kind.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A clock that jumps while a program goes by it.
pub(crate) struct Clock {
    /// How wrong it is stands in a file.
    folder: TempDir,
    library: PathBuf,
}

// === impl Clock ===

impl Clock {
    /// A clock that is right.
    ///
    /// # Errors
    /// When there is no library.
    pub(crate) fn new() -> Result<Self> {
        let clock = Self {
            folder: tempfile::tempdir()?,
            library: library()?,
        };
        clock.jump("+0")?;
        Ok(clock)
    }

    /// What a program must have in its environment to go by it.
    ///
    /// # Errors
    /// When the machine's C library is not where it should be.
    pub(crate) fn env(&self) -> Result<Vec<(String, String)>> {
        // The library asks for memory before jemalloc, which Redis brings, can give any; so the C library's own comes before that.
        let kind = self.library.ancestors().nth(2).context("no folder")?;
        let kind = kind.file_name().context("no kind of machine")?;
        let plain = Path::new("/lib").join(kind).join("libc.so.6");
        let preload = format!("{}:{}", self.library.display(), plain.display());
        let pairs = [
            ("LD_PRELOAD", preload),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // Only what time it is, not how much of it passes.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Ok(pairs.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// From now on it is so wrong: `-1h`, `+1d`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn jump(&self, to: &str) -> Result<()> {
        // At once, for nobody to read half of it.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{to}\n"))?;
        Ok(std::fs::rename(new, self.file())?)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}

/// The library: the system's, or that of the package, unpacked beside this program.
///
/// # Errors
/// When it is not installed and cannot be fetched.
pub(crate) fn library() -> Result<PathBuf> {
    let this = std::env::current_exe().context("who am I?")?;
    let folder = this.parent().context("no folder")?.join("faketime");
    let own = folder.join("usr/lib");
    let find = || found(Path::new("/usr/lib")).or_else(|| found(&own));
    if let Some(library) = find() {
        return Ok(library);
    }
    std::fs::create_dir_all(&folder)?;
    progress("fetching libfaketime from the system's archive");
    let script = "apt-get download libfaketime && dpkg -x libfaketime_*.deb .";
    let fetched = Command::new("sh")
        .args(["-c", script])
        .current_dir(&folder)
        .output()?;
    match find() {
        Some(library) => Ok(library),
        None => bail!(
            "libfaketime is not installed and cannot be fetched: apt-get install libfaketime: {}",
            String::from_utf8_lossy(&fetched.stderr)
        ),
    }
}

fn found(base: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(base).ok()?;
    let mut places = folders.filter_map(|folder| Some(folder.ok()?.path().join(LIBRARY)));
    places.find(|place| place.is_file())
}
