//! The section `models`: which models there are beside those compiled in, and which of those there are not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use chassis::config::Settings;
use domain::Catalogue;
use serde::Deserialize;

/// The section `models`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Models {
    /// Where the operator's own model files are, `*.toml`.
    #[serde(default)]
    directory: Option<PathBuf>,
    /// Slugs of models compiled in that are not offered.
    #[serde(default)]
    without: Vec<String>,
}

/// The models of this installation. All its processes must be told of the same ones.
///
/// # Errors
/// When the directory cannot be read, or what is in it does not hold together.
pub(crate) fn catalogue(settings: &Settings) -> anyhow::Result<Catalogue> {
    let models: Models = settings.section("models")?;
    let own = match &models.directory {
        None => Vec::new(),
        Some(directory) => files(directory)
            .with_context(|| format!("cannot read models.directory, {}", directory.display()))?,
    };
    Ok(Catalogue::with(&own, &models.without)?)
}

/// Name and text of each model file, in the order of their names.
fn files(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // A link is looked through: that is how container platforms hand out files.
        if path.extension().is_none_or(|ends| ends != "toml") || !path.is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.push((name.into_owned(), text));
    }
    ensure!(!files.is_empty(), "there is no file *.toml in it");
    files.sort();
    Ok(files)
}
