//! The files that are kept: found below their directory, and copied after the databases.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::{
    Progress,
    manifest::{FILES, Files, Kept, is_inside},
    target::Target,
};
use crate::say;

/// A directory, and how much was in it when it was looked at.
#[derive(Debug, Default)]
pub(crate) struct Found {
    root: PathBuf,
    count: u64,
    bytes: u64,
}

// === impl Found ===

impl Found {
    /// Looks at what is there. A directory that is not there is an empty one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn below(root: &Path) -> anyhow::Result<Self> {
        let mut found = Self {
            root: root.to_owned(),
            ..Self::default()
        };
        walk(root, &mut |path| {
            // Who has gone in between is not counted.
            if let Ok(metadata) = path.metadata() {
                found.count = found.count.saturating_add(1);
                found.bytes = found.bytes.saturating_add(metadata.len());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// How many bytes they had.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies what is there now.
    ///
    /// # Errors
    /// When a file cannot be read or the copy not be written. A file that is deleted meanwhile is none.
    pub(super) fn copy(
        &self,
        target: &mut Target,
        progress: &mut Progress,
    ) -> anyhow::Result<Files> {
        let mut files = Files {
            kept: Kept::Included,
            count: 0,
            bytes: 0,
        };
        walk(&self.root, &mut |path| {
            let below = path.strip_prefix(&self.root)?;
            let below = below
                .to_str()
                .with_context(|| format!("{} is no name of ours", path.display()))?;
            ensure!(is_inside(below), "{} is no name of ours", path.display());
            let copied = target.put(&format!("{FILES}/{below}"), path)?;
            if let Some(bytes) = copied {
                files.count = files.count.saturating_add(1);
                files.bytes = files.bytes.saturating_add(bytes);
                progress.step(FILES, files.bytes, self.bytes.max(files.bytes));
            }
            Ok(())
        })?;
        let (count, size) = (files.count, say::size(files.bytes));
        progress.done(FILES, &format!("{size}, {count} files"));
        Ok(files)
    }
}

/// Visits every file below a directory.
fn walk(
    directory: &Path,
    visit: &mut dyn FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let shown = || format!("cannot read {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(shown),
    };
    for entry in entries {
        let entry = entry.with_context(shown)?;
        let path = entry.path();
        if entry.file_type().with_context(shown)?.is_dir() {
            walk(&path, visit)?;
        } else {
            visit(&path)?;
        }
    }
    Ok(())
}
