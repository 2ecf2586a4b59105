//! What a benchmark found, and how it is printed. Nothing is measured here.

use crate::{
    floors::{Floor, floor},
    peers::peers,
};
use std::fmt::Write;

/// The figures of one benchmark, in the order in which they are worth reading.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// The figures of every benchmark that ran.
#[derive(Default)]
pub(crate) struct Report {
    benches: Vec<(&'static str, Figures)>,
}

// === impl Report ===

impl Report {
    /// Adds what the benchmark `name` found.
    pub(crate) fn add(&mut self, name: &'static str, figures: Figures) {
        self.benches.push((name, figures));
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
            // Writing to a string cannot fail.
            let peers = match peers(bench, figure) {
                "" => String::new(),
                text => format!("{text} "),
            };
            let _ = write!(
                table,
                "\n| {bench} | {figure} | {value_text} | {bound} | {peers}|"
            );
        }
        table
    }

    /// `{name:{figure:value}}`.
    pub(crate) fn json(&self) -> String {
        let figures = |figures: &Figures| -> serde_json::Map<_, _> {
            let rounded = figures
                .iter()
                .map(|(name, value)| (*name, (value * 1e3).round() / 1e3));
            rounded
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect()
        };
        let benches = self.benches.iter();
        let benches = benches.map(|(name, found)| ((*name).to_owned(), figures(found).into()));
        serde_json::Value::Object(benches.collect()).to_string()
    }

    /// Whether no figure is below its floor.
    pub(crate) fn meets_all_floors(&self) -> bool {
        let judged = self
            .rows()
            .filter_map(|(bench, figure, value)| Some((floor(bench, figure)?, value)));
        judged
            .into_iter()
            .all(|(floor, value)| floor.is_met_by(value))
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
        let benches = self.benches.iter();
        benches.flat_map(|(bench, figures)| {
            figures
                .iter()
                .map(|(figure, value)| (*bench, *figure, *value))
        })
    }
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
fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    fn report(requests_per_s: f64) -> Report {
        let mut report = Report::default();
        report.add(
            "chat",
            vec![("requests_per_s", requests_per_s), ("noise", 0.256)],
        );
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
    fn a_figure_below_its_floor_fails_the_report() {
        assert!(report(12_000.0).meets_all_floors());
        assert!(!report(9_000.0).meets_all_floors());
        assert!(!report(f64::NAN).meets_all_floors());
    }

    #[test]
    fn json_names_bench_and_figure() {
        let json = report(12_000.5).json();
        assert_eq!(json, r#"{"chat":{"requests_per_s":12000.5,"noise":0.256}}"#);
    }
}
