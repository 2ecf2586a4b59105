//! The section `models`: which models there are beside those compiled in, which of those there are not, and which providers are
//! described by files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use chassis::config::Settings;
use domain::Catalogue;
use media::Declared;
use serde::Deserialize;

/// The section `models`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Models {
    /// Where the operator's own model files are, `*.toml`.
    #[serde(default)]
    directory: Option<PathBuf>,
    /// Where the files of providers are that are no code of ours, `*.toml`.
    #[serde(default)]
    providers: Option<PathBuf>,
    /// Slugs of models compiled in that are not offered.
    #[serde(default)]
    without: Vec<String>,
}

/// The models of this installation, and the providers that files describe. All its processes must be told of the same ones.
///
/// # Errors
/// When a directory cannot be read, or what is in it does not hold together.
pub(crate) fn read(settings: &Settings) -> anyhow::Result<media::Models> {
    let section: Models = settings.section("models")?;
    let own = own("models.directory", section.directory.as_deref())?;
    let described = self::own("models.providers", section.providers.as_deref())?;
    let limits = media::Config::read(settings)?.declared;
    let models = media::Models {
        catalogue: Arc::new(Catalogue::with(&own, &section.without)?),
        declared: Declared::read(&described, limits)?,
    };
    models.check()?;
    Ok(models)
}

/// The files of a directory that a setting names; none where it names none.
fn own(setting: &str, directory: Option<&Path>) -> anyhow::Result<Vec<(String, String)>> {
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    files(directory).with_context(|| format!("cannot read {setting}, {}", directory.display()))
}

/// Name and text of each file, in the order of their names.
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
