//! Curves as SVG: how one thing grows while another does.

use crate::bars::number;
use plotters::{coord::Shift, prelude::*};
use serde::{Deserialize, Serialize};

const SIZE: (u32, u32) = (760, 380);
const FONT: &str = "sans-serif";
/// Told apart by who sees few colours as well.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x2f, 0x6f, 0xb0),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0x4e, 0x9a),
    RGBColor(0x55, 0x55, 0x55),
];

/// Some curves over one axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plot {
    /// The name of its file, without an ending.
    pub name: String,
    /// What stands above it.
    pub title: String,
    /// What grows.
    pub x: Axis,
    /// What is seen meanwhile. Begins at 0 unless it is on a scale of powers of ten.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
}

/// One axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Axis {
    /// What it says, with the unit.
    pub name: String,
    /// How it is divided.
    pub scale: Scale,
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers of ten. What is not above 0 has no place on it.
    Log,
}

/// One curve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its points, from left to right. What is not a number is left out.
    pub points: Vec<(f64, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

// === impl Axis ===

impl Axis {
    /// An axis that is divided evenly.
    pub fn linear(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scale: Scale::Linear,
        }
    }

    /// An axis that is divided by powers of ten.
    pub fn log(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scale: Scale::Log,
        }
    }

    /// Where a value is drawn; nothing when it has no place.
    fn place(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        };
        place.is_finite().then_some(place)
    }

    fn label(&self, place: f64) -> String {
        match self.scale {
            Scale::Linear => number(place),
            Scale::Log => number(10_f64.powf(place)),
        }
    }

    /// From where to where these places are drawn, and this one if the axis is divided evenly.
    fn range(&self, places: impl Iterator<Item = f64> + Clone, also: Option<f64>) -> (f64, f64) {
        let least = places.clone().fold(f64::INFINITY, f64::min);
        let most = places.fold(f64::NEG_INFINITY, f64::max);
        if !least.is_finite() || !most.is_finite() {
            return (0.0, 1.0);
        }
        let begin = match (self.scale, also) {
            (Scale::Linear, Some(also)) => least.min(also),
            (Scale::Linear | Scale::Log, _) => least,
        };
        let room = if most > begin { most - begin } else { 1.0 };
        (begin, most + room * 0.05)
    }
}

// === impl Plot ===

impl Plot {
    /// The drawing.
    ///
    /// # Errors
    /// When it cannot be drawn, which has no reason that a reader could mend.
    pub fn svg(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area())?;
        Ok(text)
    }

    fn draw(&self, area: &Area<'_>) -> anyhow::Result<()> {
        area.fill(&WHITE)?;
        let curves: Vec<Vec<(f64, f64)>> = self.series.iter().map(|s| self.places(s)).collect();
        let all = curves.iter().flatten();
        let x = self.x.range(all.clone().map(|place| place.0), None);
        let y = self.y.range(all.map(|place| place.1), Some(0.0));
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 18))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        chart
            .configure_mesh()
            .x_desc(self.x.name.as_str())
            .y_desc(self.y.name.as_str())
            .x_label_formatter(&|place| self.x.label(*place))
            .y_label_formatter(&|place| self.y.label(*place))
            .label_style((FONT, 13))
            .light_line_style(WHITE)
            .draw()?;
        for ((series, curve), colour) in self.series.iter().zip(&curves).zip(COLOURS.iter().cycle())
        {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(curve.iter().copied(), style))?
                .label(series.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            // A curve of a few points shows where it was measured.
            if curve.len() <= 20 {
                let points = curve.iter();
                let points = points.map(|place| Circle::new(*place, 3, colour.filled()));
                chart.draw_series(points)?;
            }
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .label_font((FONT, 13))
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }
        Ok(area.present()?)
    }

    fn places(&self, series: &Series) -> Vec<(f64, f64)> {
        let points = series.points.iter();
        let places = points.filter_map(|(x, y)| Some((self.x.place(*x)?, self.y.place(*y)?)));
        places.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        let series = |name: &str, points| Series {
            name: name.to_owned(),
            points,
        };
        Plot {
            name: "growth".to_owned(),
            title: "Cost of a task".to_owned(),
            x: Axis::log("open tasks"),
            y: Axis::linear("CPU, µs"),
            series: vec![series("aio", points), series("nothing", Vec::new())],
        }
    }

    #[test]
    fn a_plot_says_what_it_shows() {
        let svg = plot(vec![(1_000.0, 700.0), (100_000.0, 720.0), (0.0, f64::NAN)])
            .svg()
            .unwrap();
        for text in ["Cost of a task", "open tasks", "CPU, µs", "aio", "100000"] {
            assert!(svg.contains(text), "no {text} in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
    }

    #[test]
    fn nothing_measured_is_a_drawing_all_the_same() {
        assert!(plot(Vec::new()).svg().unwrap().starts_with("<svg"));
    }
}
