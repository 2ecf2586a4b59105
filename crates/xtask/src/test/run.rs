//! One run of the test runner: what it is told, and how many tests it says it ran. It must not judge tests itself.

use super::{Shape, against};
use crate::command::{cargo_command, cargo_has};
use anyhow::Context;
use std::{
    io::{BufRead, BufReader, IsTerminal, Write},
    process::Stdio,
};

/// The package of the black-box suite.
pub(super) const SUITE: &str = "e2e";

/// Rooms of the black-box suite that one process for each role is asked and three are not: what a wire, a model or an SDK is told does
/// not depend on how many there are. A run of all shapes asks three of them the others, and one of them only these; who names a shape
/// has it asked everything that it can answer.
const ASKED_ONCE: [&str; 45] = [
    "abuse::",
    "backup::",
    "browser::",
    "callback_url::",
    "canaries::",
    "capabilities::",
    "charges::",
    "chat_outcomes::",
    "claude::",
    "clear::",
    "declared::",
    "doctor::",
    "egress::",
    "embeddings::",
    "errors::",
    "faces::",
    "fal::",
    "heard::",
    "inputs::",
    "made_up::",
    "messages::",
    "models::",
    "natives::",
    "own_models::",
    "pages::",
    "pages_credits::",
    "pages_door::",
    "pages_keys::",
    "pages_leaks::",
    "pages_operator::",
    "pages_playground::",
    "pages_usage::",
    "pages_work::",
    "provider::",
    "quote::",
    "rebinding::",
    "receipts::",
    "responses::",
    "sdks::",
    "songs::",
    "speech::",
    "strangers::",
    "tools::",
    "transcriptions::",
    "verifying::",
];

/// Rooms that take a shape of their own, whatever the run's is: they are asked with that one.
const ASKED_SPLIT: [&str; 1] = ["degraded::"];
const ASKED_SPLIT3: [&str; 1] = ["rolling::"];

/// Those that `aio up` alone is asked: what a browser makes of a page, and what a machine makes up, does not depend on who answers.
const ASKED_EMBEDDED: [&str; 2] = ["browser::", "made_up::"];

/// The program that runs the tests.
#[derive(Clone, Copy)]
pub(super) enum Runner {
    Nextest,
    CargoTest,
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tests that ran to an end.
    pub(super) run: u64,
    /// Those of them that failed.
    pub(super) failed: u64,
    /// Tests that were left out.
    pub(super) skipped: u64,
    /// Whether the runner was content.
    pub(super) success: bool,
}

/// The packages that the runner's arguments name.
pub(super) fn packages(arguments: &[String]) -> Vec<&str> {
    let mut named = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "-p" | "--package") {
            named.extend(arguments.next().map(String::as_str));
        } else if let Some(name) = argument.strip_prefix("--package=") {
            named.push(name);
        } else if let Some(name) = argument.strip_prefix("-p") {
            named.push(name);
        }
    }
    named
}

/// The words that leave out the tests of these rooms; both runners know them.
fn skip(rooms: &[&str]) -> Vec<String> {
    behind(rooms.iter().flat_map(|room| ["--skip", room]))
}

/// Words for the program of the tests, which takes the names of rooms as those to run.
fn behind<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    std::iter::once("--")
        .chain(words)
        .map(str::to_owned)
        .collect()
}

// === impl Runner ===

impl Runner {
    /// Nextest where it is installed: it is faster, and it stops a test that hangs.
    pub(super) fn installed() -> Self {
        if cargo_has("nextest") {
            Self::Nextest
        } else {
            Self::CargoTest
        }
    }

    /// The words after `cargo`; those of the caller come last. `by_name`: the caller
    /// wants this shape, not all of them.
    pub(super) fn arguments(
        self,
        (shape, by_name): (Shape, bool),
        extra: &[String],
    ) -> Vec<String> {
        let named = !packages(extra).is_empty();
        let words: &[&str] = match self {
            Self::Nextest => &["nextest", "run"],
            Self::CargoTest => &["test", "--no-fail-fast"],
        };
        let which: &[&str] = match (shape, self) {
            (Shape::Embedded, _) if named => &[],
            (Shape::Embedded, _) => &["--workspace"],
            // A filter may be about other tests than these.
            (_, Self::Nextest) if named => &["--no-tests=pass"],
            (_, Self::Nextest) => &["--package", SUITE, "--no-tests=pass"],
            (_, Self::CargoTest) if named => &[],
            (_, Self::CargoTest) => &["--package", SUITE],
        };
        let words = words.iter().chain(which).map(ToString::to_string);
        // Who asks for tests gets those.
        let rooms = match shape {
            Shape::Running => {
                let those = against::NOT_ASKED.iter().flat_map(|(_, those)| *those);
                skip(&those.copied().collect::<Vec<_>>())
            }
            _ if !extra.is_empty() => vec![],
            Shape::Embedded => skip(&[&ASKED_SPLIT[..], &ASKED_SPLIT3].concat()),
            Shape::Split if by_name => skip(&[&ASKED_EMBEDDED[..], &ASKED_SPLIT3].concat()),
            Shape::Split => {
                let rooms = ASKED_ONCE.iter().chain(&ASKED_SPLIT).copied();
                behind(rooms.filter(|room| !ASKED_EMBEDDED.contains(room)))
            }
            Shape::Split3 => skip(&[&ASKED_ONCE[..], &ASKED_SPLIT].concat()),
        };
        words.chain(extra.iter().cloned()).chain(rooms).collect()
    }

    /// Runs it, shows what it prints, and reads its closing lines.
    pub(super) fn run(
        self,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Counts> {
        let mut command = cargo_command();
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        if std::io::stderr().is_terminal() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        match self {
            Self::Nextest => command.stderr(Stdio::piped()),
            Self::CargoTest => command.stdout(Stdio::piped()),
        };
        let mut child = command.spawn().context("cannot start cargo")?;
        let mut counts = Counts::default();
        if let Some(output) = child.stderr.take() {
            counts.read(self, BufReader::new(output), &mut std::io::stderr())?;
        }
        if let Some(output) = child.stdout.take() {
            counts.read(self, BufReader::new(output), &mut std::io::stdout())?;
        }
        counts.success = child.wait()?.success();
        Ok(counts)
    }
}

// === impl Counts ===

impl Counts {
    /// Passes every line on, and counts what closing lines say.
    fn read(
        &mut self,
        runner: Runner,
        mut output: impl BufRead,
        shown: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes)? > 0 {
            // A closed terminal is not an error of ours.
            let _ = shown.write_all(&bytes);
            self.add(runner, &plain(&String::from_utf8_lossy(&bytes)));
            bytes.clear();
        }
        Ok(())
    }

    /// Adds a closing line, the one of nextest or one of many of cargo's, which nextest shows too, of tests that failed:
    /// `Summary [ 44.6s] 8 tests run: 7 passed (1 slow), 1 failed, 0 skipped`, or
    /// `test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.1s`.
    fn add(&mut self, runner: Runner, line: &str) {
        let (opening, separator) = match runner {
            Runner::Nextest => ("Summary ", "run: "),
            Runner::CargoTest => ("test result: ", ". "),
        };
        let told = line.trim().strip_prefix(opening);
        let told = told.and_then(|told| told.split_once(separator));
        let told = told.map(|(_, told)| told);
        let words: Vec<_> = told
            .unwrap_or_default()
            .split([' ', ',', ';', '('])
            .collect();
        for pair in words.windows(2) {
            let [number, what] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match *what {
                "passed" => self.run = self.run.saturating_add(number),
                "failed" | "timed" => {
                    self.run = self.run.saturating_add(number);
                    self.failed = self.failed.saturating_add(number);
                }
                "skipped" | "ignored" | "filtered" => {
                    self.skipped = self.skipped.saturating_add(number);
                }
                _ => {}
            }
        }
    }
}

/// A line without the colours of the terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let after = part.split_once('m').map_or(part, |(_, after)| after);
        text + after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(runner: Runner, text: &str) -> (u64, u64, u64) {
        let mut counts = Counts::default();
        let mut shown = Vec::new();
        counts.read(runner, text.as_bytes(), &mut shown).unwrap();
        assert_eq!(shown, text.as_bytes());
        (counts.run, counts.failed, counts.skipped)
    }

    #[test]
    fn closing_lines_are_counted() {
        let nextest = "\u{1b}[31;1m     Summary\u{1b}[0m [  44.653s] \u{1b}[1m9\u{1b}[0m tests run: \
            \u{1b}[1m7\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m (2 slow), 1 failed, 1 timed out, 3 skipped\n";
        assert_eq!(counted(Runner::Nextest, nextest), (9, 2, 3));
        let one = "     Summary [   0.1s] 1 test run: 1 passed, 0 skipped\n";
        assert_eq!(counted(Runner::Nextest, one), (1, 0, 0));
        let cargo = "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n";
        assert_eq!(counted(Runner::CargoTest, &cargo.repeat(2)), (8, 0, 6));
        // What a failed test printed is no closing line of nextest's.
        assert_eq!(
            counted(Runner::Nextest, &(cargo.to_owned() + one)),
            (1, 0, 0)
        );
        assert_eq!(counted(Runner::Nextest, "7 passed\n"), (0, 0, 0));
    }

    #[test]
    fn the_callers_arguments_come_last() {
        let extra = ["ledger".to_owned()];
        let words = |runner: Runner, shape| runner.arguments((shape, false), &extra).join(" ");
        for (runner, shape, expected) in [
            (
                Runner::Nextest,
                Shape::Embedded,
                "nextest run --workspace ledger",
            ),
            (
                Runner::Nextest,
                Shape::Split,
                "nextest run --package e2e --no-tests=pass ledger",
            ),
            (
                Runner::CargoTest,
                Shape::Split3,
                "test --no-fail-fast --package e2e ledger",
            ),
        ] {
            assert_eq!(words(runner, shape), expected);
        }
        let extra = ["-p".to_owned(), "queue".to_owned()];
        let words = Runner::Nextest.arguments((Shape::Embedded, false), &extra);
        assert_eq!(words.join(" "), "nextest run -p queue");
    }

    #[test]
    fn each_room_is_asked_once_of_the_shapes_of_many_processes() {
        for runner in [Runner::Nextest, Runner::CargoTest] {
            let words = |shape, by_name| runner.arguments((shape, by_name), &[]).join(" ");
            for by_name in [false, true] {
                let three = words(Shape::Split3, by_name);
                assert!(three.contains("-- --skip abuse:: --skip backup:: --skip"));
                assert!(three.ends_with("--skip degraded::"));
                let one = words(Shape::Embedded, by_name);
                assert!(one.ends_with("-- --skip degraded:: --skip rolling::"));
            }
            let rest = words(Shape::Split, false);
            assert!(rest.contains(" -- abuse:: backup:: callback_url:: "));
            assert!(rest.ends_with(" degraded::") && !rest.contains("browser::"));
            let all = words(Shape::Split, true);
            assert!(all.ends_with("-- --skip browser:: --skip made_up:: --skip rolling::"));
        }
        // A room that was renamed would be asked again, and nobody would notice.
        let rooms = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/tests/it");
        let own = ASKED_SPLIT.iter().chain(&ASKED_SPLIT3);
        for room in ASKED_ONCE.iter().chain(&ASKED_EMBEDDED).chain(own) {
            let file = format!("{rooms}/{}.rs", room.trim_end_matches("::"));
            assert!(std::path::Path::new(&file).is_file(), "{file}");
        }
    }
}
