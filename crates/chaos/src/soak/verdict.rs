//! Whether something has grown, and what is left: the rules, and the report.
#![expect(
    clippy::float_arithmetic,
    reason = "statistics over what the kernel says: no money is computed here"
)]

use std::fmt::Write as _;

use ::report::{Axis, Plot, Series, median, slope};
use anyhow::Result;

use super::{
    load::{Counts, Left},
    looks::Look,
};

/// What comes before is the time in which pools and caches fill: so many of a hundred looks.
const WARM_PERCENT: usize = 30;
/// Memory may grow by this part of what there is, or by so many megabytes, over the time that counts.
const GROWTH: f64 = 0.10;
const GROWTH_MB: f64 = 16.0;
/// Files and connections, and threads, that may be more at the end than while pools were full.
const MORE_FILES: f64 = 16.0;
const MORE_THREADS: f64 = 8.0;

/// What came of it.
pub(super) struct Verdict {
    looks: Vec<Look>,
    rules: Vec<Rule>,
}

/// One rule.
struct Rule {
    name: &'static str,
    ok: bool,
    seen: String,
}

// === impl Verdict ===

impl Verdict {
    /// Judges looks under load, one at rest behind them, and what was left.
    pub(super) fn of(looks: &[Look], rest: &Look, left: Left) -> Self {
        let warm = looks.len() * WARM_PERCENT / 100;
        let counted = looks.get(warm..).unwrap_or_default();
        let points = |of: fn(&Look) -> f64| -> Vec<(f64, f64)> {
            counted.iter().map(|look| (look.minute, of(look))).collect()
        };
        let rss = points(|look| look.rss_mb);
        let minutes = rss.last().map_or(0.0, |point| point.0) - rss.first().map_or(0.0, |p| p.0);
        let usual = median(rss.iter().map(|point| point.1).collect());
        let grown = slope(&rss) * minutes;
        let most = |of: fn(&Look) -> f64| points(of).iter().map(|p| p.1).fold(0.0, f64::max);
        let (files, threads) = (most(|look| look.files), most(|look| look.threads));
        let rules = vec![
            Rule {
                name: "memory is flat",
                // What could not be measured is not.
                ok: grown <= (usual * GROWTH).max(GROWTH_MB),
                seen: format!(
                    "{grown:+.1} MB over {minutes:.1} min by the line through it, of {usual:.0} MB; {:.0} MB at rest",
                    rest.rss_mb
                ),
            },
            Rule {
                name: "no file or connection is left",
                ok: rest.files <= files + MORE_FILES && trend(&points(|look| look.files)),
                seen: format!("{:.0} at rest, {files:.0} at most under load", rest.files),
            },
            Rule {
                name: "no thread is left",
                ok: rest.threads <= threads + MORE_THREADS,
                seen: format!("{:.0} at rest, {threads:.0} at most", rest.threads),
            },
            Rule {
                name: "no hold is left",
                ok: left.holds == 0,
                seen: format!("{} are open", left.holds),
            },
            Rule {
                name: "every task has ended",
                ok: left.tasks == 0,
                seen: format!("{} are open", left.tasks),
            },
            Rule {
                name: "every end was told",
                ok: left.untold == 0,
                seen: format!("{} were not", left.untold),
            },
        ];
        Self {
            looks: looks.to_vec(),
            rules,
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.rules.iter().all(|rule| rule.ok)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(|rule| {
            let word = if rule.ok { "yes" } else { "NO" };
            format!("{}: {word}: {}", rule.name, rule.seen)
        })
    }

    pub(super) fn markdown(
        &self,
        rate: f64,
        counts: &Counts,
        broke: &[String],
        audit: &Result<()>,
    ) -> String {
        let mut text = format!(
            "{rate:.0} operations a second; {} were answered, {} with a failure, {} not at all.\n\n| | | |\n| --- | --- | --- |\n",
            counts.answered + counts.failed,
            counts.failed,
            counts.broken
        );
        for rule in &self.rules {
            let word = if rule.ok { "yes" } else { "**no**" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} | {word} | {} |", rule.name, rule.seen);
        }
        let (word, seen) = match audit {
            Ok(()) => ("yes", String::new()),
            Err(error) => ("**no**", format!("{error:#}").replace('\n', " ")),
        };
        let _ = writeln!(
            text,
            "| the ledger holds, and the logs are clean | {word} | {seen} |\n\n## What broke meanwhile\n"
        );
        for what in broke {
            let _ = writeln!(text, "- {what}");
        }
        text += "\n## What it held\n\n| minute | memory, MB | files | threads | holds | tasks open | databases, MB |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        for look in &self.looks {
            let _ = writeln!(
                text,
                "| {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} |",
                look.minute,
                look.rss_mb,
                look.files,
                look.threads,
                look.holds,
                look.tasks,
                look.database_mb
            );
        }
        text
    }

    /// The drawings: the name of each, and the SVG.
    pub(super) fn drawings(&self, name: &str) -> Result<Vec<(String, String)>> {
        let curve = |name: &str, of: fn(&Look) -> f64| Series {
            name: name.to_owned(),
            points: self
                .looks
                .iter()
                .map(|look| (look.minute, of(look)))
                .collect(),
        };
        let plot = |what: &str, title: &str, y: &str, series: Vec<Series>| Plot {
            name: format!("soak-{name}-{what}"),
            title: title.to_owned(),
            x: Axis::linear("minutes"),
            y: Axis::linear(y),
            series,
        };
        let plots = [
            plot(
                "memory",
                "Memory",
                "MB",
                vec![
                    curve("resident", |look| look.rss_mb),
                    curve("databases", |look| look.database_mb),
                ],
            ),
            plot(
                "held",
                "What is open",
                "how many",
                vec![
                    curve("files and connections", |look| look.files),
                    curve("threads", |look| look.threads),
                    curve("holds", |look| look.holds),
                    curve("tasks", |look| look.tasks),
                ],
            ),
        ];
        let drawn = plots
            .iter()
            .map(|plot| Ok((plot.name.clone(), plot.svg()?)));
        drawn.collect()
    }
}

/// Whether files do not become ever more: the line through them rises by less than a quarter of what there is.
fn trend(points: &[(f64, f64)]) -> bool {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return false;
    };
    let usual = median(points.iter().map(|point| point.1).collect());
    slope(points) * (last.0 - first.0) <= (usual / 4.0).max(MORE_FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(minute: u8, rss_mb: f64, files: f64) -> Look {
        Look {
            minute: minute.into(),
            rss_mb,
            files,
            threads: 8.0,
            holds: 3.0,
            tasks: 2.0,
            database_mb: 10.0,
        }
    }

    fn broken(looks: &[Look], rest: Look, left: Left) -> Vec<&'static str> {
        let verdict = Verdict::of(looks, &rest, left);
        let rules = verdict.rules.iter().filter(|rule| !rule.ok);
        rules.map(|rule| rule.name).collect()
    }

    #[test]
    fn what_warms_up_and_stays_is_well() {
        let looks: Vec<_> = (0..20)
            .map(|minute| look(minute, if minute < 4 { 40.0 } else { 120.0 }, 90.0))
            .collect();
        let rest = look(21, 110.0, 60.0);
        assert!(broken(&looks, rest, Left::default()).is_empty());
        let verdict = Verdict::of(&looks, &rest, Left::default());
        let text = verdict.markdown(9.0, &Counts::default(), &["Redis".to_owned()], &Ok(()));
        assert!(text.contains("| memory is flat | yes |") && text.contains("- Redis"));
        assert_eq!(verdict.drawings("up").unwrap().len(), 2);
    }

    #[test]
    fn what_grows_or_is_left_is_told() {
        let growing: Vec<_> = (0..20)
            .map(|minute| {
                look(
                    minute,
                    100.0 + 4.0 * f64::from(minute),
                    50.0 + 9.0 * f64::from(minute),
                )
            })
            .collect();
        let rest = look(21, 180.0, 250.0);
        let left = Left {
            holds: 1,
            tasks: 0,
            untold: 2,
        };
        assert_eq!(
            broken(&growing, rest, left),
            [
                "memory is flat",
                "no file or connection is left",
                "no hold is left",
                "every end was told"
            ]
        );
        assert!(!Verdict::of(&[], &rest, Left::default()).is_good());
    }
}
