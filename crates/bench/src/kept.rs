//! What benchmarks found, kept below `target/bench/results` until the next run of each: so the report of a commit can come together
//! over several runs, and whoever wants one row again runs one benchmark.

use crate::{
    Length,
    figures::{Found, rounded},
};
use anyhow::Context as _;
use report::{Bars, Plot};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};

/// Where everything about the benchmarks is kept.
pub(crate) const FOLDER: &str = "target/bench";

/// What one benchmark found, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) commit: String,
    /// Short phases: for a look.
    pub(crate) quick: bool,
    /// RFC 3339, UTC.
    pub(crate) at: String,
    pub(crate) figures: serde_json::Map<String, serde_json::Value>,
    pub(crate) plots: Vec<Plot>,
    pub(crate) bars: Vec<Bars>,
    pub(crate) notes: Vec<String>,
}

/// Keeps what a benchmark found in the place of what it found before.
pub(crate) fn keep(name: &str, commit: &str, length: Length, found: &Found) -> anyhow::Result<()> {
    let mut plots = found.plots.clone();
    for series in plots.iter_mut().flat_map(|plot| &mut plot.series) {
        // JSON has no such numbers, and a curve has no place for them.
        series
            .points
            .retain(|(x, y)| x.is_finite() && y.is_finite());
    }
    let kept = Kept {
        commit: commit.to_owned(),
        quick: matches!(length, Length::Quick),
        at: chassis::clock::rfc3339(i64::try_from(crate::studio::now_micros())?),
        figures: rounded(&found.figures),
        plots,
        bars: found
            .bars
            .iter()
            .cloned()
            .map(|mut bars| {
                bars.rows.retain(|(_, value)| value.is_finite());
                bars
            })
            .collect(),
        notes: found.notes.clone(),
    };
    let file = file(name);
    let folder = file.parent().context("no folder")?;
    fs::create_dir_all(folder)?;
    fs::write(&file, serde_json::to_vec_pretty(&kept)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// What this benchmark found, if that is of this commit.
pub(crate) fn kept(name: &str, commit: &str) -> Option<Kept> {
    let kept: Kept = serde_json::from_slice(&fs::read(file(name)).ok()?).ok()?;
    (kept.commit == commit).then_some(kept)
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(FOLDER)
        .join("results")
        .join(format!("{name}.json"))
}

// === impl Kept ===

impl Kept {
    /// The figures, in their order; what could not be measured is not a number.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&str, f64)> {
        let figures = self.figures.iter();
        figures.map(|(name, value)| (name.as_str(), value.as_f64().unwrap_or(f64::NAN)))
    }
}
