//! Bars beside one another, on a scale of powers of ten: for figures that differ by more than a length could show.

use crate::page::escaped;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 110.0;
const ABOVE: f64 = 44.0;
const ROW: f64 = 26.0;
/// The shortest bar is that of the smallest figure, and can still be seen.
const SHORTEST: f64 = 0.06;

/// Figures to compare.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bars {
    /// The name of its file, without an ending.
    pub name: String,
    /// What stands above it.
    pub title: String,
    /// Who, and how much. What is not a number above 0 is left out.
    pub rows: Vec<(String, f64)>,
}

// === impl Bars ===

impl Bars {
    /// The drawing.
    pub fn svg(&self) -> String {
        let rows = self.rows.iter();
        let rows: Vec<_> = rows
            .filter(|row| row.1.is_finite() && row.1 > 0.0)
            .collect();
        let logs = || rows.iter().map(|row| row.1.log10());
        let least = logs().fold(f64::INFINITY, f64::min);
        let span = logs().fold(f64::NEG_INFINITY, f64::max) - least;
        let room = WIDTH - LEFT - RIGHT;
        let height = rows.iter().fold(ABOVE, |height, _| height + ROW) + 12.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
             <text x=\"14\" y=\"26\" font-size=\"16\" fill=\"#111\">{}</text>",
            escaped(&self.title)
        );
        let mut y = ABOVE;
        for (name, value) in rows {
            let part = if span > 0.0 {
                SHORTEST + (1.0 - SHORTEST) * (value.log10() - least) / span
            } else {
                1.0
            };
            let length = room * part;
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#111\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"18\" fill=\"#2f6fb0\"/>\
                 <text x=\"{:.1}\" y=\"{:.0}\" fill=\"#111\">{}</text>",
                LEFT - 8.0,
                y + 14.0,
                escaped(name),
                y,
                LEFT + length + 6.0,
                y + 14.0,
                number(*value)
            );
            y += ROW;
        }
        svg + "</svg>"
    }
}

/// As many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_figure_has_a_longer_bar_and_what_is_none_has_no_bar() {
        let bars = Bars {
            name: "cpu".to_owned(),
            title: "CPU < all".to_owned(),
            rows: vec![
                ("proxy".to_owned(), 20.0),
                ("other".to_owned(), 8_425.0),
                ("away".to_owned(), f64::NAN),
            ],
        };
        let svg = bars.svg();
        assert!(
            svg.contains("CPU &lt; all") && !svg.contains("away"),
            "{svg}"
        );
        let widths: Vec<f64> = svg
            .split("width=\"")
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 3, "{widths:?}");
        assert!(widths[1] < widths[2], "{widths:?}");
    }
}
