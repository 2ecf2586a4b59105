//! What came of every fault: one table to read, or JSON.

use anyhow::Result;
use serde::Serialize;

use crate::case::{Case, Ran};

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
            let outcome = if row.ok { "no harm" } else { "**harm**" };
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
}
