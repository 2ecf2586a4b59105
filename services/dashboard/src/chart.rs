//! Charts as SVG, made on the server: bars by day that are stacked, a bar in a table, a line in a corner. Whole numbers only. Colours are classes of
//! the style sheet, so that a chart is right in light and dark; what it says stands beside it as text.

mod scale;

use askama::Template;

use crate::{days, show};

/// Colours there are, and the grey of what has none of its own.
pub(crate) const COLOURS: usize = 8;
pub(crate) const GREY: usize = COLOURS;

/// Width and height of a chart on a wide screen and on a phone, and about how wide a day's name is.
const SIZES: [(&str, i64, i64); 2] = [("wide", 960, 280), ("narrow", 340, 240)];
/// What is left free above, at the right and below the bars, for ends of names and for the days.
const ABOVE: i64 = 12;
const RIGHT: i64 = 22;
const BELOW: i64 = 28;
/// How wide a figure and a day's name are at most, to be on the safe side.
const DIGIT: i64 = 8;
const DAY_NAME: i64 = 56;
/// The widest bar; few days do not fill the width.
const WIDEST_BAR: i64 = 56;
/// Everything is drawn in tenths.
const TENTHS: i64 = 10;
/// The whole of a bar in a table, and the size of a line in a corner.
const WHOLE: i64 = 1_000;
const SPARK: (i64, i64) = (120, 28);

/// What one colour stands for: a figure in micro-credits for each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Below [`COLOURS`], or [`GREY`].
    pub(crate) colour: usize,
    pub(crate) values: Vec<i64>,
}

/// Credits by day, stacked: an SVG for wide screens and one for phones, the legend, and the figures as a table that is folded.
#[derive(Clone, Debug, Template)]
#[template(path = "app/chart.html")]
pub(crate) struct Bars {
    /// Of the page's charts, this one.
    id: &'static str,
    title: String,
    about: String,
    views: Vec<View>,
    legend: Vec<Key>,
    /// The figures; empty: they stand elsewhere on the page.
    table: Vec<Line>,
}

/// One drawing.
#[derive(Clone, Debug, Default)]
struct View {
    name: &'static str,
    width: i64,
    height: i64,
    /// The figures at the side: where, and what.
    ticks: Vec<(Tenths, String)>,
    /// Where the plot begins, and ends.
    left: i64,
    right: i64,
    /// The days below: where, and what.
    names: Vec<(Tenths, String)>,
    /// A path for each colour.
    paths: Vec<(usize, String)>,
    /// Where the pointer learns what a day is: from where, how wide, what.
    days: Vec<(Tenths, Tenths, String)>,
    /// Where the plot begins and ends, from above.
    top: i64,
    bottom: i64,
}

/// A colour in words.
#[derive(Clone, Debug)]
struct Key {
    colour: usize,
    name: String,
    total: String,
}

/// A day of the table.
#[derive(Clone, Debug)]
struct Line {
    day: String,
    figures: Vec<String>,
    total: String,
}

/// A length in tenths of what an SVG counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenths(i64);

impl std::fmt::Display for Tenths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, tenth) = (self.0.div_euclid(TENTHS), self.0.rem_euclid(TENTHS));
        match tenth {
            0 => write!(f, "{whole}"),
            tenth => write!(f, "{whole}.{tenth}"),
        }
    }
}

/// The largest series in their order, and all others as one, so that there are no more than colours.
pub(crate) fn folded(mut series: Vec<Series>) -> Vec<Series> {
    series.sort_by(|a, b| {
        let (own, other) = (sum(&b.values), sum(&a.values));
        own.cmp(&other).then_with(|| a.name.cmp(&b.name))
    });
    let last = COLOURS - 1;
    if series.len() > COLOURS {
        let others = series.split_off(last);
        let mut all = Series {
            name: format!("{} others", others.len()),
            colour: GREY,
            values: Vec::new(),
        };
        for other in others {
            all.values
                .resize(other.values.len().max(all.values.len()), 0);
            let values = all.values.iter_mut().zip(other.values);
            values.for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
        number(&mut series);
        series.push(all);
    } else {
        number(&mut series);
    }
    series
}

/// Gives each a colour of its own.
fn number(series: &mut [Series]) {
    let numbered = series.iter_mut().enumerate();
    numbered.for_each(|(place, series)| series.colour = place);
}

/// A bar in a table: so much of the whole.
pub(crate) fn bar(part: i64, whole: i64, colour: usize) -> String {
    let width = scale::part(part, whole, WHOLE);
    format!(
        "<svg class=\"ch-bar\" viewBox=\"0 0 {WHOLE} 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"ch-rest\" width=\"{WHOLE}\" height=\"10\"/><rect class=\"ch-{colour}\" width=\"{width}\" height=\"10\"/></svg>"
    )
}

/// A line in a corner: how figures went, without saying which.
pub(crate) fn spark(values: &[i64]) -> String {
    let (width, height) = SPARK;
    let most = values.iter().copied().max().unwrap_or(0);
    let last = i64::try_from(values.len()).unwrap_or(1).saturating_sub(1);
    let point = |(place, value): (i64, &i64)| {
        let x = Tenths(scale::part(place, last, width * TENTHS));
        let up = scale::part(*value, most, (height - 4) * TENTHS);
        format!("{x} {}", Tenths((height - 2) * TENTHS - up))
    };
    let points: Vec<String> = (0..).zip(values).map(point).collect();
    format!(
        "<svg class=\"ch-spark\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path d=\"M{}\"/></svg>",
        points.join("L")
    )
}

fn sum(values: &[i64]) -> i64 {
    let sum = |sum: i64, more: &i64| sum.saturating_add(*more);
    values.iter().fold(0, sum)
}

/// The figures of one day.
fn of_day(series: &[Series], place: usize) -> impl Iterator<Item = (&Series, i64)> {
    let value = move |series: &Series| series.values.get(place).copied().unwrap_or(0).max(0);
    series.iter().map(move |series| (series, value(series)))
}

// === impl Bars ===

impl Bars {
    /// Credits on the days from this one on (UTC days since 1970), one for each value. The first series stands at the bottom.
    pub(crate) fn by_day(id: &'static str, title: &str, first: i64, series: &[Series]) -> Self {
        let count = series.iter().map(|series| series.values.len()).max();
        let days: Vec<i64> = (first..).take(count.unwrap_or(0)).collect();
        let totals: Vec<i64> = (0..days.len())
            .map(|place| {
                of_day(series, place).fold(0_i64, |sum, (_, value)| sum.saturating_add(value))
            })
            .collect();
        let legend: Vec<Key> = series
            .iter()
            .map(|series| Key {
                colour: series.colour,
                name: series.name.clone(),
                total: show::credits(sum(&series.values)),
            })
            .collect();
        let views = SIZES.map(|size| View::of(size, &days, series, &totals));
        Self {
            id,
            title: title.to_owned(),
            about: about(&days, &totals),
            views: views.into(),
            legend,
            table: Vec::new(),
        }
    }

    /// The same, with its figures in a table below: days on which there was something, the newest first.
    pub(crate) fn with_table(mut self, first: i64, series: &[Series]) -> Self {
        let count = series.iter().map(|series| series.values.len()).max();
        let lines = (first..)
            .zip(0..count.unwrap_or(0))
            .filter_map(|(day, place)| {
                let values: Vec<i64> = of_day(series, place).map(|(_, value)| value).collect();
                let total = sum(&values);
                (total > 0).then(|| Line {
                    day: days::text(day),
                    figures: values.into_iter().map(show::credits).collect(),
                    total: show::credits(total),
                })
            });
        self.table = lines.collect();
        self.table.reverse();
        self
    }
}

/// What the chart says, in a sentence.
fn about(days: &[i64], totals: &[i64]) -> String {
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return "No days.".to_owned();
    };
    let span = format!("{} to {}", days::text(*first), days::text(*last));
    let most = days.iter().zip(totals).max_by_key(|(_, total)| **total);
    match most {
        Some((day, most)) if *most > 0 => format!(
            "{span}: {} credits in all, most on {}: {}.",
            show::credits(sum(totals)),
            days::text(*day),
            show::credits(*most)
        ),
        Some(_) | None => format!("{span}: nothing was spent."),
    }
}

// === impl View ===

impl View {
    fn of(
        (name, width, height): (&'static str, i64, i64),
        days: &[i64],
        series: &[Series],
        totals: &[i64],
    ) -> Self {
        let ticks = scale::ticks(totals.iter().copied().max().unwrap_or(0));
        let texts = ticks.iter().map(|tick| show::credits(*tick));
        let texts: Vec<String> = texts.collect();
        let longest = texts.iter().map(|text| text.chars().count()).max();
        let left = 10 + DIGIT * i64::try_from(longest.unwrap_or(1)).unwrap_or(1);
        let mut view = Self {
            name,
            width,
            height,
            left,
            right: width - RIGHT,
            top: ABOVE,
            bottom: height - BELOW,
            ..Self::default()
        };
        let most = ticks.last().copied().unwrap_or(1);
        view.ticks = ticks
            .iter()
            .zip(texts)
            .map(|(tick, text)| (view.y(*tick, most), text))
            .collect();
        view.draw(days, series, most);
        view
    }

    /// Where a figure is, from above.
    fn y(&self, value: i64, most: i64) -> Tenths {
        let up = scale::part(value, most, (self.bottom - self.top) * TENTHS);
        Tenths(self.bottom * TENTHS - up)
    }

    /// Bars, their days, and what the pointer learns.
    fn draw(&mut self, days: &[i64], series: &[Series], most: i64) {
        let count = i64::try_from(days.len()).unwrap_or(1).max(1);
        let room = (self.right - self.left) * TENTHS;
        let slot = room / count;
        let width = (slot * 7 / 10).clamp(1, WIDEST_BAR * TENTHS);
        let each = (DAY_NAME * TENTHS).div_euclid(slot.max(1)) + 1;
        let mut paths: Vec<String> = series.iter().map(|_| String::new()).collect();
        for ((place, day), index) in (0..).zip(days).zip(0..) {
            let start = self.left * TENTHS + room * place / count;
            let from = Tenths(start + (slot - width) / 2);
            let (mut below, mut told) = (0_i64, String::new());
            for ((series, value), path) in of_day(series, index).zip(&mut paths) {
                if value == 0 {
                    continue;
                }
                let above = below.saturating_add(value);
                let (bottom, top) = (self.y(below, most), self.y(above, most));
                let (width, height) = (Tenths(width), Tenths(bottom.0 - top.0));
                path.push_str(&format!("M{from} {top}h{width}v{height}H{from}z"));
                told.push_str(&format!("\n{}: {}", series.name, show::credits(value)));
                below = above;
            }
            let text = format!("{}: {}{told}", days::text(*day), show::credits(below));
            self.days.push((Tenths(start), Tenths(slot), text));
            // From the last one back, so that today has its name.
            if (count - 1 - place) % each == 0 {
                self.names
                    .push((Tenths(start + slot / 2), days::short(*day)));
            }
        }
        let colours = series.iter().map(|series| series.colour);
        let paths = colours.zip(paths).filter(|(_, path)| !path.is_empty());
        self.paths = paths.collect();
    }
}

#[cfg(test)]
mod tests;
