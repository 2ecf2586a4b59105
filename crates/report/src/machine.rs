//! What a figure was measured on: the machine, the system, and the commit.

use std::{fs, path::Path, process::Command};

/// Facts in the order in which they are worth reading.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The commit that is checked out, with a `+` if files differ from it.
    pub commit: String,
    /// What else there is to say: name and value.
    pub facts: Vec<(&'static str, String)>,
}

// === impl Machine ===

impl Machine {
    /// Looks. What cannot be found out is `unknown`.
    pub fn look() -> Self {
        let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
        let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
        let changed = !changed.is_empty() && changed != UNKNOWN;
        let cores = std::thread::available_parallelism();
        Self {
            commit: if changed { commit + "+" } else { commit },
            facts: vec![
                ("processor", field("/proc/cpuinfo", "model name")),
                (
                    "cores",
                    cores.map_or_else(|_| UNKNOWN.to_owned(), |cores| cores.to_string()),
                ),
                ("memory", field("/proc/meminfo", "MemTotal")),
                ("kernel", line("/proc/sys/kernel/osrelease")),
                ("compiler", said("rustc", &["--version"])),
            ],
        }
    }

    /// A list in Markdown, the commit first.
    pub fn markdown(&self) -> String {
        let facts = self.facts.iter();
        let facts = facts.map(|(name, value)| format!("- {name}: {value}\n"));
        let commit = format!("- commit: {}\n", self.commit);
        std::iter::once(commit).chain(facts).collect()
    }
}

const UNKNOWN: &str = "unknown";

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(
        || UNKNOWN.to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn line(file: impl AsRef<Path>) -> String {
    fs::read_to_string(file).map_or_else(|_| UNKNOWN.to_owned(), |text| text.trim().to_owned())
}

/// The first value of this name in a file of lines such as `name : value`.
fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(own, _)| own.trim() == name);
    found.map_or_else(
        || UNKNOWN.to_owned(),
        |(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_unknown() {
        assert_eq!(field("/nowhere", "x"), UNKNOWN);
        assert_eq!(said("no-such-program-anywhere", &[]), UNKNOWN);
        assert!(field("/proc/meminfo", "MemTotal").ends_with("kB"));
        let machine = Machine::look();
        assert!(machine.markdown().starts_with("- commit: "));
    }
}
