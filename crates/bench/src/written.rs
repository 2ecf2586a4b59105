//! The report: everything that was found at one commit, in Markdown, JSON and one page of HTML, with what is better seen than read as
//! drawings. Each figure stands beside its goal and its floor, and how far it is from the goal.

use crate::{
    benches::{BENCHES, Bench},
    figures::number,
    floors::{Floor, floor},
    kept::{FOLDER, Kept, kept},
};
use anyhow::Context as _;
use report::{Machine, html};
use serde_json::{Value, json};
use std::{fmt::Write as _, fs, path::Path};

/// Writes the report of everything that is kept of this machine's commit, and says where.
pub(crate) fn write(machine: &Machine) -> anyhow::Result<String> {
    let all = BENCHES
        .iter()
        .filter_map(|bench| {
            let kept = kept(bench.name, &machine.commit)?;
            Some(Section { bench, kept })
        })
        .collect::<Vec<_>>();
    let folder = Path::new(FOLDER);
    let plots = folder.join("plots");
    fs::create_dir_all(&plots)?;
    let drawings = drawings(&all)?;
    for (name, svg) in &drawings {
        fs::write(plots.join(format!("{name}.svg")), svg)?;
    }
    let text = markdown(machine, &all);
    let page = html("Benchmarks", &text, &drawings);
    for (file, text) in [
        ("report.md", text),
        ("report.html", page),
        ("report.json", json(machine, &all)),
    ] {
        let file = folder.join(file);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(format!(
        "{} benchmarks of {} are in {FOLDER}/report.md, .html and .json",
        all.len(),
        machine.commit
    ))
}

/// What one benchmark found.
struct Section {
    bench: &'static Bench,
    kept: Kept,
}

fn drawings(all: &[Section]) -> anyhow::Result<Vec<(String, String)>> {
    let mut drawings = Vec::new();
    for section in all {
        for plot in &section.kept.plots {
            drawings.push((plot.name.clone(), plot.svg()?));
        }
        let bars = section.kept.bars.iter();
        drawings.extend(bars.map(|bars| (bars.name.clone(), bars.svg())));
    }
    Ok(drawings)
}

fn markdown(machine: &Machine, all: &[Section]) -> String {
    let mut text = format!(
        "# Benchmarks\n\n{}\nAbsolute figures hold for this machine at this hour; ratios are taken within one run. A goal is what we are \
         after; below its floor a figure fails the run. Each table names the command that measures it again.\n\n",
        machine.markdown()
    );
    text += &summary(all);
    for section in all {
        text += &section.markdown();
    }
    text
}

/// What is not as it should be, and how much is.
fn summary(all: &[Section]) -> String {
    let judged = all.iter().flat_map(Section::judged).collect::<Vec<_>>();
    let count = |verdict: &str| judged.iter().filter(|row| row.2 == verdict).count();
    let mut text = format!(
        "Of {} figures with a goal, {} meet it, {} only their floor, and {} neither.\n\n",
        judged.len(),
        count(GOAL),
        count(FLOOR),
        count(NEITHER)
    );
    let short: Vec<_> = judged.iter().filter(|row| row.2 != GOAL).collect();
    if !short.is_empty() {
        text += "| figure | value | goal | floor | | from the goal |\n| --- | ---: | ---: | ---: | --- | ---: |\n";
    }
    for (name, value, verdict, floor) in short {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {verdict} | {} |",
            number(*value),
            bounds(floor),
            distance(floor, *value)
        );
    }
    text + "\n"
}

const GOAL: &str = "goal met";
const FLOOR: &str = "floor met";
const NEITHER: &str = "**NOT MET**";

fn verdict(floor: &Floor, value: f64) -> &'static str {
    if floor.reaches_goal(value) {
        GOAL
    } else if floor.is_met_by(value) {
        FLOOR
    } else {
        NEITHER
    }
}

fn bounds(floor: &Floor) -> String {
    let sign = floor.sign();
    format!(
        "{sign} {} | {sign} {}",
        number(floor.goal),
        number(floor.floor)
    )
}

/// How far a value is on the right side (+) or the wrong side (−) of its goal.
fn distance(floor: &Floor, value: f64) -> String {
    let margin = floor.margin(value);
    if margin.is_nan() {
        "not measured".to_owned()
    } else if floor.goal == 0.0 {
        number(margin)
    } else {
        format!("{margin:+.0} %", margin = margin / floor.goal * 100.0)
    }
}

// === impl Section ===

impl Section {
    /// The figures with a goal: name, value, verdict.
    fn judged(&self) -> Vec<(String, f64, &'static str, &'static Floor)> {
        let figures = self.kept.figures();
        let judged = figures.filter_map(|(figure, value)| {
            let floor = floor(self.bench.name, figure)?;
            let name = format!("{} {figure}", self.bench.name);
            Some((name, value, verdict(floor, value), floor))
        });
        judged.collect()
    }

    fn command_line(&self) -> String {
        let quick = if self.kept.quick { " --quick" } else { "" };
        format!("cargo xtask bench {}{quick}", self.bench.command)
    }

    fn markdown(&self) -> String {
        let quick = if self.kept.quick {
            ", short phases: for a look, not for a claim"
        } else {
            ""
        };
        let mut text = format!(
            "## {}\n\n{}. `{}`, {}{quick}.\n\n",
            self.bench.name,
            self.bench.about,
            self.command_line(),
            self.kept.at
        );
        for note in &self.kept.notes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- {note}");
        }
        text += "\n| figure | value | goal | floor | | from the goal |\n| --- | ---: | ---: | ---: | --- | ---: |\n";
        for (figure, value) in self.kept.figures() {
            let judged = floor(self.bench.name, figure).map_or_else(
                || "| | |".to_owned(),
                |floor| {
                    let (verdict, distance) = (verdict(floor, value), distance(floor, value));
                    format!("{} | {verdict} | {distance}", bounds(floor))
                },
            );
            let _ = writeln!(text, "| {figure} | {} | {judged} |", number(value));
        }
        let plots = self.kept.plots.iter().map(|plot| (&plot.name, &plot.title));
        let bars = self.kept.bars.iter().map(|bars| (&bars.name, &bars.title));
        for (name, title) in plots.chain(bars) {
            let _ = write!(text, "\n![{title}](plots/{name}.svg)\n");
        }
        text + "\n"
    }

    fn json(&self) -> Value {
        let rows = self.kept.figures().map(|(figure, value)| {
            let floor = floor(self.bench.name, figure);
            json!({
                "figure": figure,
                "value": value,
                "goal": floor.map(|floor| floor.goal),
                "floor": floor.map(|floor| floor.floor),
                "better": floor.map(Floor::better),
                "met": floor.map(|floor| floor.is_met_by(value)),
                "goal_met": floor.map(|floor| floor.reaches_goal(value)),
            })
        });
        json!({
            "name": self.bench.name,
            "about": self.bench.about,
            "command": self.command_line(),
            "at": self.kept.at,
            "quick": self.kept.quick,
            "notes": self.kept.notes,
            "figures": rows.collect::<Vec<_>>(),
            "plots": self.kept.plots,
            "bars": self.kept.bars,
        })
    }
}

fn json(machine: &Machine, all: &[Section]) -> String {
    let facts = machine.facts.iter();
    let facts: serde_json::Map<String, Value> = facts
        .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
        .collect();
    let benches: Vec<Value> = all.iter().map(Section::json).collect();
    json!({ "commit": machine.commit, "machine": facts, "benches": benches }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(figures: &[(&str, f64)]) -> Section {
        let figures: Vec<_> = figures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        Section {
            bench: &BENCHES[0],
            kept: Kept {
                commit: "c".to_owned(),
                quick: true,
                at: "now".to_owned(),
                figures: crate::figures::rounded(&figures),
                plots: Vec::new(),
                bars: Vec::new(),
                notes: vec!["a note".to_owned()],
            },
        }
    }

    #[test]
    fn each_figure_stands_beside_its_goal_and_its_distance() {
        let all = [section(&[
            ("requests_per_s", 9_000.0),
            ("cpu_ratio_to_bare_proxy", 3.0),
            ("rss_idle_mb", 20.0),
            ("errors", 4.0),
            ("noise_cores", 0.1),
        ])];
        let text = markdown(&Machine::look(), &all);
        for row in [
            "Of 4 figures with a goal, 1 meet it, 1 only their floor, and 2 neither.",
            "| chat requests_per_s | 9000 | ≥ 18000 | ≥ 10000 | **NOT MET** | -50 % |",
            "| cpu_ratio_to_bare_proxy | 3 | ≤ 2.50 | ≤ 4 | floor met | -20 % |",
            "| rss_idle_mb | 20 | ≤ 40 | ≤ 80 | goal met | +50 % |",
            "| errors | 4 | ≤ 0 | ≤ 0 | **NOT MET** | -4 |",
            "| noise_cores | 0.10 | | | | |",
            "`cargo xtask bench chat --quick`, now, short phases",
            "- a note",
        ] {
            assert!(text.contains(row), "no {row} in {text}");
        }
        let told: Value = serde_json::from_str(&json(&Machine::look(), &all)).unwrap();
        let first = told.pointer("/benches/0/figures/0").unwrap();
        assert_eq!(first.get("met").unwrap(), false);
        assert_eq!(first.get("better").unwrap(), "more");
    }
}
