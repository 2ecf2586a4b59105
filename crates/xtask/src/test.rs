//! `cargo xtask test`: the whole suite on a fresh machine that has only Rust. Installs the servers that tests need, starts
//! private ones, installs the SDKs that customers use, runs every test, and then the black-box suite again over the other shapes of the program.
//! Or, of a system that runs already, what may be asked of it.

mod against;
mod install;
mod run;
mod sdks;
mod servers;

use crate::{command::cargo, say::say};
use against::Against;
use cargo_metadata::MetadataCommand;
use clap::ValueEnum;
use run::{Counts, Runner};
use servers::Servers;
use std::process::ExitCode;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Which shapes to test; all of them when none is named.
    #[arg(long, value_enum, value_name = "SHAPE")]
    shape: Vec<Shape>,
    #[command(flatten)]
    against: Against,
    /// Arguments for `cargo nextest run` (or `cargo test` where nextest is missing).
    #[arg(last = true)]
    runner: Vec<String>,
}

/// How the program runs under the black-box suite. Every other test runs once, with the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// One process, `aio up`: the whole workspace's tests.
    Embedded,
    /// A process for each role: the black-box suite; beside the third shape, only what does not depend on how many there are.
    Split,
    /// Three processes for each role: the rest of the black-box suite.
    Split3,
    /// A system that somebody else has started: what of the black-box suite may be asked of it.
    #[value(skip)]
    Running,
}

/// Builds what the tests start, then runs each shape and says at the end how many tests ran.
pub(crate) fn test(choice: &Choice) -> anyhow::Result<ExitCode> {
    // The black-box suite starts the real binary, which no dependency between crates would build.
    if choice.against.needs_program() {
        say("test: building aio");
        cargo(&["build", "--package", "aio", "--package", "testkit"])?;
    }
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    if choice.against.is_named() {
        sdks::install(target.as_std_path())?;
        return running(choice);
    }
    let program = target.join("debug/test-servers");
    install::missing(program.as_str())?;
    if choice.has_suite() {
        sdks::install(target.as_std_path())?;
    }
    say("test: starting PostgreSQL and RabbitMQ for this run");
    let servers = Servers::start(program.as_str())?;
    let runner = Runner::installed();
    let mut table = Vec::new();
    for shape in choice.shapes() {
        say(&format!("\ntest: {}", shape.title()));
        let by_name = choice.shape.contains(&shape);
        let arguments = runner.arguments((shape, by_name), &choice.runner);
        let mut environment = servers.environment.clone();
        environment.push(("AIO_TEST_SHAPE".to_owned(), shape.name().to_owned()));
        table.push((shape, runner.run(&arguments, &environment)?));
    }
    drop(servers);
    Ok(told(&table))
}

/// Asks a system that runs already.
fn running(choice: &Choice) -> anyhow::Result<ExitCode> {
    say(&format!("\ntest: {}", Shape::Running.title()));
    for (reason, those) in against::NOT_ASKED {
        say(&format!(
            "test: not asked, as {reason}: {}",
            those.join(" ")
        ));
    }
    let runner = Runner::installed();
    let mut environment = choice.against.environment()?;
    environment.push((
        "AIO_TEST_SHAPE".to_owned(),
        Shape::Running.name().to_owned(),
    ));
    let arguments = runner.arguments((Shape::Running, true), &choice.runner);
    let counts = runner.run(&arguments, &environment)?;
    Ok(told(&[(Shape::Running, counts)]))
}

/// Says what each run came to.
fn told(table: &[(Shape, Counts)]) -> ExitCode {
    say("");
    for (shape, counts) in table {
        say(&line(*shape, counts));
    }
    let passed = table.iter().all(|(_, counts)| counts.success);
    ExitCode::from(u8::from(!passed))
}

fn line(shape: Shape, counts: &Counts) -> String {
    let Counts {
        run,
        failed,
        skipped,
        success,
    } = counts;
    let verdict = if *success { "passed" } else { "FAILED" };
    let name = shape.name();
    format!("test: {name:<8} {verdict}: {run} tests run, {failed} failed, {skipped} skipped")
}

// === impl Choice ===

impl Choice {
    /// Whether the black-box suite is among the tests.
    fn has_suite(&self) -> bool {
        let named = run::packages(&self.runner);
        named.is_empty() || named.contains(&run::SUITE)
    }

    /// The shapes to test, in the order in which they are declared. Who names packages means those: the black-box suite is
    /// repeated only if it is one of them.
    fn shapes(&self) -> Vec<Shape> {
        let all = Shape::value_variants().iter().copied();
        let suite = self.has_suite();
        all.filter(|shape| match self.shape.as_slice() {
            [] => suite || *shape == Shape::Embedded,
            some => some.contains(shape),
        })
        .collect()
    }
}

// === impl Shape ===

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Split => "split",
            Self::Split3 => "split3",
            Self::Running => "running",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Embedded => "everything, with `aio up`",
            Self::Split => "the black-box suite, with one process for each role",
            Self::Split3 => "the black-box suite, with three processes for each role",
            Self::Running => "the black-box suite, asked of a system that runs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(shape: &[Shape], runner: &[&str]) -> Vec<Shape> {
        let runner = runner.iter().map(ToString::to_string).collect();
        let shape = shape.to_vec();
        let against = Against::default();
        Choice {
            shape,
            against,
            runner,
        }
        .shapes()
    }

    #[test]
    fn shapes_run_in_order_and_only_where_they_matter() {
        use Shape::{Embedded, Split, Split3};
        assert_eq!(shapes(&[], &[]), [Embedded, Split, Split3]);
        assert_eq!(shapes(&[], &["ledger"]), [Embedded, Split, Split3]);
        assert_eq!(shapes(&[Split3, Embedded], &[]), [Embedded, Split3]);
        assert_eq!(shapes(&[], &["-p", "queue"]), [Embedded]);
        assert_eq!(shapes(&[], &["-pe2e"]), [Embedded, Split, Split3]);
        assert_eq!(shapes(&[Split], &["--package=queue"]), [Split]);
    }
}
