//! What a backup says of itself: `manifest.json`, and `SHA256SUMS`, which `sha256sum --check` reads as well.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Read},
    path::{Component, Path},
};

use anyhow::{Context as _, ensure};
use domain::Moment;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The manifest's name.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The name of the list of sums.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// The name of the secrets, in a backup as in a data directory.
pub(crate) const SECRETS: &str = "secrets.toml";
/// The folder of files, in a backup as in a data directory.
pub(crate) const FILES: &str = "outputs";
/// What a backup looks like. Rises when an older program could not read it any more.
pub(crate) const FORMAT: u32 = 1;

/// What a backup is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// The moment that the databases are of.
    pub(crate) moment: Moment,
    /// The version of the program that made it.
    pub(crate) program: String,
    /// By the names of their services.
    pub(crate) databases: BTreeMap<String, Database>,
    pub(crate) files: Files,
    pub(crate) secrets: Kept,
}

/// One database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    /// The version of its schema.
    pub(crate) version: i64,
    pub(crate) bytes: u64,
    /// How many rows each table has.
    pub(crate) rows: BTreeMap<String, i64>,
}

/// What customers uploaded and what tasks made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) kept: Kept,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// Whether something is in the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    /// It is.
    Included,
    /// It was to be left out.
    LeftOut,
    /// It is elsewhere: secrets in the configuration, files in a bucket.
    Elsewhere,
}

/// The sum of every file of a backup but of the list itself, by its path in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<String, String>);

/// Reads through, and sums up what was read.
pub(crate) struct Summing<R> {
    inner: R,
    hash: Sha256,
}

// === impl Manifest ===

impl Manifest {
    /// Reads one, and refuses what this program cannot restore.
    ///
    /// # Errors
    /// When it is not one, or a newer program's.
    pub(crate) fn read(text: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Outline {
            format: u32,
        }
        let Outline { format } =
            serde_json::from_slice(text).with_context(|| format!("{MANIFEST} is not readable"))?;
        ensure!(
            format <= FORMAT,
            "the backup is of format {format}, and this program knows formats up to {FORMAT}: run a newer program"
        );
        serde_json::from_slice(text).with_context(|| format!("{MANIFEST} is not readable"))
    }
}

// === impl Sums ===

impl Sums {
    pub(crate) fn add(&mut self, path: &str, sum: String) {
        self.0.insert(path.to_owned(), sum);
    }

    /// As `sha256sum` writes it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (path, sum) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{sum}  {path}");
        }
        text
    }

    /// Reads what [`Sums::text`] wrote.
    ///
    /// # Errors
    /// When a line is none of those, or names a place outside of the backup.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let mut sums = Self::default();
        for line in text.lines() {
            let (sum, path) = line
                .split_once("  ")
                .with_context(|| format!("{SUMS} has a line that is no sum"))?;
            ensure!(is_inside(path), "{SUMS} names {path:?}, which is no place");
            sums.add(path, sum.to_owned());
        }
        Ok(sums)
    }

    /// Refuses files that are not those of the list.
    ///
    /// # Errors
    /// Names the first that is missing, differs, or is one too many.
    pub(crate) fn check(&self, found: &Self) -> anyhow::Result<()> {
        for (path, sum) in &self.0 {
            let there = found.0.get(path);
            let there = there.with_context(|| format!("{path} is missing in the backup"))?;
            ensure!(
                there == sum,
                "{path} in the backup is damaged: its sum differs"
            );
        }
        let more = found.0.keys().find(|path| !self.0.contains_key(*path));
        ensure!(
            more.is_none(),
            "{} is in the backup and not in its {SUMS}",
            more.map_or("", String::as_str)
        );
        Ok(())
    }

    /// The paths, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Whether a path stays below the place that it is joined to.
pub(crate) fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

// === impl Summing ===

impl<R: Read> Summing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
        }
    }

    /// The sum of what was read, in hex.
    pub(crate) fn sum(self) -> String {
        let mut text = String::new();
        for byte in self.hash.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(of: &[(&str, &str)]) -> Sums {
        let mut sums = Sums::default();
        for (path, sum) in of {
            sums.add(path, (*sum).to_owned());
        }
        sums
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = sums(&[("billing.db", "ab"), ("outputs/a b/0", "cd")]);
        assert_eq!(list.text(), "ab  billing.db\ncd  outputs/a b/0\n");
        assert_eq!(Sums::read(&list.text()).unwrap(), list);
        for outside in [
            "ab  ../x",
            "ab  /etc/x",
            "ab  outputs/../../x",
            "ab  ",
            "ab billing.db",
        ] {
            assert!(Sums::read(outside).is_err(), "{outside}");
        }
    }

    #[test]
    fn what_is_missing_damaged_or_too_much_is_named() {
        let list = sums(&[("a", "1"), ("b", "2")]);
        let refused = |of: &[(&str, &str)]| list.check(&sums(of)).unwrap_err().to_string();
        assert!(list.check(&list.clone()).is_ok());
        assert_eq!(refused(&[("a", "1")]), "b is missing in the backup");
        assert!(refused(&[("a", "1"), ("b", "3")]).starts_with("b in the backup is damaged"));
        let more = refused(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert!(more.starts_with("c is in the backup and not"), "{more}");
    }

    #[test]
    fn a_sum_is_what_sha256sum_says() {
        let mut summing = Summing::new(&b"abc"[..]);
        let mut read = Vec::new();
        summing.read_to_end(&mut read).unwrap();
        assert_eq!(
            summing.sum(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_says() {
        let error = Manifest::read(br#"{"format":2,"new":true}"#).unwrap_err();
        assert!(error.to_string().contains("run a newer program"), "{error}");
    }
}
