//! What the benchmarks found, and how it is printed. Nothing is measured here.

use crate::{
    floors::{Floor, floor},
    peers::peers,
};
use report::{Bars, Plot};
use std::fmt::Write;

/// The figures of one benchmark, in the order in which they are worth reading.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// What one benchmark found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// In the order in which they are worth reading.
    pub(crate) figures: Vec<(String, f64)>,
    /// What is better seen than read.
    pub(crate) plots: Vec<Plot>,
    pub(crate) bars: Vec<Bars>,
    /// What has to be known to read them: versions, and what was left out.
    pub(crate) notes: Vec<String>,
}

/// What every benchmark that ran has found.
#[derive(Default)]
pub(crate) struct Report {
    benches: Vec<(&'static str, Found)>,
    /// Benchmarks that came to no end.
    broken: Vec<String>,
}

// === impl Found ===

impl Found {
    /// Adds a figure.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64) {
        self.figures.push((name.into(), value));
    }
}

impl From<Figures> for Found {
    fn from(figures: Figures) -> Self {
        let owned = figures.into_iter();
        let owned = owned.map(|(name, value)| (name.to_owned(), value));
        Self {
            figures: owned.collect(),
            ..Self::default()
        }
    }
}

// === impl Report ===

impl Report {
    /// Adds what the benchmark `name` found.
    pub(crate) fn add(&mut self, name: &'static str, found: Found) {
        self.benches.push((name, found));
    }

    /// Notes that a benchmark came to no end: the run has failed.
    pub(crate) fn broke(&mut self, why: String) {
        self.broken.push(why);
    }

    /// One markdown table.
    pub(crate) fn table(&self) -> String {
        let mut table =
            "| bench | figure | value | goal | floor | | peers, without money |\n| --- | --- | ---: | ---: | ---: | --- | --- |"
                .to_owned();
        for (bench, figure, value) in self.rows() {
            let value_text = number(value);
            let bound = match floor(bench, figure) {
                Some(floor) => bound(floor, value),
                None => "| |".to_owned(),
            };
            let peers = match peers(bench, figure) {
                "" => String::new(),
                text => format!("{text} "),
            };
            // Writing to a string cannot fail.
            let _ = write!(
                table,
                "\n| {bench} | {figure} | {value_text} | {bound} | {peers}|"
            );
        }
        for why in &self.broken {
            let _ = write!(table, "\n\nNO END: {why}");
        }
        table
    }

    /// `{name:{figure:value}}`.
    pub(crate) fn json(&self) -> String {
        let benches = self.benches.iter();
        let benches =
            benches.map(|(name, found)| ((*name).to_owned(), rounded(&found.figures).into()));
        serde_json::Value::Object(benches.collect()).to_string()
    }

    /// Whether every benchmark came to its end, and no figure is below its floor.
    pub(crate) fn meets_all_floors(&self) -> bool {
        let judged = self
            .rows()
            .filter_map(|(bench, figure, value)| Some((floor(bench, figure)?, value)));
        let all = judged
            .into_iter()
            .all(|(floor, value)| floor.is_met_by(value));
        all && self.broken.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &str, f64)> {
        let benches = self.benches.iter();
        benches.flat_map(|(bench, found)| {
            let figures = found.figures.iter();
            figures.map(|(figure, value)| (*bench, figure.as_str(), *value))
        })
    }
}

/// Figures as JSON, to the thousandth.
pub(crate) fn rounded(figures: &[(String, f64)]) -> serde_json::Map<String, serde_json::Value> {
    let rounded = figures
        .iter()
        .map(|(name, value)| (name.clone(), ((value * 1e3).round() / 1e3).into()));
    rounded.collect()
}

fn bound(floor: &Floor, value: f64) -> String {
    let verdict = if floor.is_met_by(value) {
        "met"
    } else {
        "NOT MET"
    };
    let sign = floor.sign();
    let (goal, floor) = (number(floor.goal), number(floor.floor));
    format!("{sign} {goal} | {sign} {floor} | {verdict}")
}

/// As many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(requests_per_s: f64) -> Report {
        let mut report = Report::default();
        let figures = vec![("requests_per_s", requests_per_s), ("noise", 0.256)];
        report.add("chat", figures.into());
        report
    }

    #[test]
    fn the_table_judges_what_has_a_floor() {
        let table = report(12_000.0).table();
        assert!(
            table
                .contains("| chat | requests_per_s | 12000 | ≥ 18000 | ≥ 10000 | met | TensorZero"),
            "{table}"
        );
        assert!(
            table.ends_with("| chat | noise | 0.26 | | | | |"),
            "{table}"
        );
        assert!(report(9_000.0).table().contains("NOT MET"));
    }

    #[test]
    fn a_figure_below_its_floor_or_a_benchmark_without_an_end_fails_the_report() {
        assert!(report(12_000.0).meets_all_floors());
        assert!(!report(9_000.0).meets_all_floors());
        assert!(!report(f64::NAN).meets_all_floors());
        let mut broken = report(12_000.0);
        broken.broke("media: no studio".to_owned());
        assert!(!broken.meets_all_floors());
        assert!(broken.table().ends_with("NO END: media: no studio"));
    }

    #[test]
    fn json_names_bench_and_figure() {
        let json = report(12_000.5).json();
        assert_eq!(json, r#"{"chat":{"requests_per_s":12000.5,"noise":0.256}}"#);
    }
}
