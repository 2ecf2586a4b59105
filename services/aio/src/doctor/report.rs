//! What the doctor found: a line each, and whether all of it is good.

use std::fmt::Display;

use serde_json::{Value, json};

/// What was looked at, in order.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    name: &'static str,
    state: State,
    said: String,
    /// What is to be done.
    mend: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// It works, and not as well as it could.
    Doubtful,
    Bad,
}

// === impl Report ===

impl Report {
    /// Something is as it should be.
    pub(super) fn good(&mut self, name: &'static str, said: impl Display) {
        self.add(name, State::Good, &said, None);
    }

    /// Something works, and not as well as it could; `mend` says what to do.
    pub(super) fn doubtful(&mut self, name: &'static str, said: impl Display, mend: impl Display) {
        self.add(name, State::Doubtful, &said, Some(mend.to_string()));
    }

    /// Something is wrong; `mend` says what to do.
    pub(super) fn bad(&mut self, name: &'static str, said: impl Display, mend: impl Display) {
        self.add(name, State::Bad, &said, Some(mend.to_string()));
    }

    /// Something is wrong, and says itself what to do.
    pub(super) fn mistake(&mut self, name: &'static str, said: impl Display) {
        self.add(name, State::Bad, &said, None);
    }

    fn add(&mut self, name: &'static str, state: State, said: &dyn Display, mend: Option<String>) {
        self.0.push(Finding {
            name,
            state,
            // A line each, whatever others say of themselves.
            said: said.to_string().replace('\n', " "),
            mend,
        });
    }

    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.0.iter().all(|finding| finding.state != State::Bad)
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.0.iter().map(Finding::line).collect();
        let bad = self.0.iter().filter(|finding| finding.state == State::Bad);
        lines.push(match bad.count() {
            0 => "nothing is wrong".to_owned(),
            1 => "one thing is wrong".to_owned(),
            count => format!("{count} things are wrong"),
        });
        lines
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let checks: Vec<Value> = self.0.iter().map(Finding::json).collect();
        json!({ "ok": self.is_good(), "checks": checks })
    }
}

// === impl Finding ===

impl Finding {
    fn line(&self) -> String {
        let mark = match self.state {
            State::Good => "ok  ",
            State::Doubtful => "warn",
            State::Bad => "FAIL",
        };
        let mend = self.mend.as_ref().map(|mend| format!(": {mend}"));
        let (name, said) = (self.name, &self.said);
        format!("{mark}  {name:<16} {said}{}", mend.unwrap_or_default())
    }

    fn json(&self) -> Value {
        let status = match self.state {
            State::Good => "ok",
            State::Doubtful => "warning",
            State::Bad => "failed",
        };
        json!({ "name": self.name, "status": status, "said": self.said, "mend": self.mend })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_nothing_wrong() {
        let mut report = Report::default();
        report.good("disk", "12 GiB are free");
        report.doubtful("descriptors", "1024", "raise it");
        assert!(report.is_good());
        assert_eq!(
            report.lines(),
            [
                "ok    disk             12 GiB are free",
                "warn  descriptors      1024: raise it",
                "nothing is wrong"
            ]
        );
        report.bad("redis", "nobody\nanswers", "start it");
        assert!(!report.is_good());
        assert_eq!(
            report.lines()[2],
            "FAIL  redis            nobody answers: start it"
        );
        let told = report.json();
        assert_eq!(told["ok"], false);
        assert_eq!(told["checks"][2]["status"], "failed");
        assert_eq!(told["checks"][0]["mend"], Value::Null);
    }
}
