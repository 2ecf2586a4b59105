//! What came of every fault: one table to read, or JSON; and a report in Markdown and in one page of HTML, with the whole matrix, each
//! fault with what shows that it does no harm.

use std::{fmt::Write as _, fs, path::Path};

use ::report::{Machine, html};
use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    Length,
    case::{Case, Ran},
    matrix::{Fault, Proof, matrix},
};

/// Where the report goes.
pub(crate) const FOLDER: &str = "target/chaos";

/// Everything that ran.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// One fault.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    fault: &'static str,
    ok: bool,
    /// What was seen, or what is wrong.
    seen: String,
    milliseconds: u64,
}

// === impl Report ===

impl Report {
    pub(crate) fn add(&mut self, case: &Case, ran: Ran) {
        let (ok, seen) = match ran.outcome {
            Ok(seen) => (true, seen),
            Err(error) => (false, format!("{error:#}")),
        };
        self.rows.push(Row {
            name: case.name(),
            fault: case.what(),
            ok,
            seen,
            milliseconds: u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// Whether no fault did harm.
    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.ok)
    }

    /// A markdown table.
    pub(crate) fn table(&self) -> String {
        let head = "| fault | what | outcome | seen | seconds |\n| --- | --- | --- | --- | --- |";
        let rows = self.rows.iter().map(|row| {
            let outcome = if row.ok { GOOD } else { BAD };
            let seen = row.seen.replace('|', "\\|").replace('\n', " ");
            let (seconds, tenths) = (row.milliseconds / 1_000, row.milliseconds % 1_000 / 100);
            format!(
                "\n| {} | {} | {outcome} | {seen} | {seconds}.{tenths} |",
                row.name, row.fault
            )
        });
        std::iter::once(head.to_owned()).chain(rows).collect()
    }

    /// A list of objects.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.rows)?)
    }

    /// Writes the report, and says where.
    pub(crate) fn write(&self, length: Length) -> Result<String> {
        let text = self.markdown(&Machine::look(), length);
        let folder = Path::new(FOLDER);
        fs::create_dir_all(folder)?;
        let page = html("Chaos", &text, &[]);
        for (file, text) in [("report.md", text), ("report.html", page)] {
            let file = folder.join(file);
            fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
        Ok(format!("the report is in {FOLDER}/report.md and .html"))
    }

    fn markdown(&self, machine: &Machine, length: Length) -> String {
        let harm = self.rows.iter().filter(|row| !row.ok).count();
        let form = match length {
            Length::Full => "the full form",
            Length::Quick => "the short form",
        };
        let seconds = self.rows.iter().map(|row| row.milliseconds / 1_000);
        let mut text = format!(
            "# Chaos\n\n{}\n{} faults ran in {} s, in {form}; {harm} did harm. After each of them the ledger was audited, and what customers \
             were told, what they paid, what their endpoints heard and what providers have on their bills was compared.\n\n## What ran\n\n",
            machine.markdown(),
            self.rows.len(),
            seconds.sum::<u64>()
        );
        text += &self.table();
        text += "\n\n## The whole matrix\n\nWhat is not a case of this program is a test of the suite, which `cargo xtask test` runs.\n\n\
                 | | fault | what shows that it does no harm | in this run |\n| --- | --- | --- | --- |\n";
        for fault in matrix() {
            let proofs: Vec<String> = fault
                .proofs
                .iter()
                .copied()
                .map(Proof::to_markdown)
                .collect();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                fault.name,
                fault.what,
                proofs.join("<br>"),
                self.of(&fault)
            );
        }
        text
    }

    /// What came of a fault's cases in this run.
    fn of(&self, fault: &Fault) -> String {
        let mut found = Vec::new();
        for proof in &fault.proofs {
            let Proof::Case(part) = proof else { continue };
            let rows = self.rows.iter().filter(|row| row.name.contains(part));
            let rows: Vec<&Row> = rows.collect();
            let bad: Vec<&str> = rows
                .iter()
                .filter(|row| !row.ok)
                .map(|row| row.name.as_str())
                .collect();
            found.push(match (rows.len(), bad.is_empty()) {
                (0, _) => "not run".to_owned(),
                (_, true) => GOOD.to_owned(),
                (_, false) => format!("{BAD}: {}", bad.join(", ")),
            });
        }
        found.dedup();
        if found.is_empty() {
            found.push("a test of the suite".to_owned());
        }
        if fault
            .proofs
            .iter()
            .all(|proof| matches!(proof, Proof::Open(_)))
        {
            return "**open**".to_owned();
        }
        found.join(", ")
    }
}

const GOOD: &str = "no harm";
const BAD: &str = "**harm**";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        Row {
            name: name.to_owned(),
            fault: "a fault",
            ok: true,
            seen: "a | b".to_owned(),
            milliseconds: 1_250,
        }
    }

    #[test]
    fn the_matrix_says_what_ran_and_what_did_not() {
        let rows = vec![
            row("up/edge.before_forward:1"),
            row("split/edge.before_forward:1"),
            Row {
                ok: false,
                ..row("up/chat.after_hold:1")
            },
        ];
        let report = Report { rows };
        let text = report.markdown(&Machine::look(), Length::Quick);
        let line = |name: &str| {
            let begin = format!("| {name} |");
            text.lines().find(|line| line.starts_with(&begin)).unwrap()
        };
        assert!(line("F01").ends_with("| no harm |"), "{}", line("F01"));
        assert!(line("F06").contains("**harm**: up/chat.after_hold:1"));
        assert!(line("F12").ends_with("| not run |"), "{}", line("F12"));
        assert!(line("F11").ends_with("| a test of the suite |"));
        assert!(line("C05").ends_with("| not run |"), "{}", line("C05"));
        assert!(!text.contains("| **open** |"), "{text}");
        assert!(text.contains("3 faults ran in 3 s, in the short form; 1 did harm"));
        assert!(text.contains("| a \\| b | 1.2 |"), "{text}");
    }
}
