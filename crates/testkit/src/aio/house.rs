//! All processes of a program together: started from the ledger outwards, and stopped the other way round.

use std::{collections::BTreeMap, io::Write as _, process::ExitStatus};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;

use super::{
    instance::{Instance, Program, Signal},
    shape::{Role, STAGES},
};

/// Lines of each log that a failed test shows.
const SHOWN: usize = 40;

/// The processes, whether they run or not.
pub(super) struct House {
    pub(super) program: Program,
    /// In the order in which they stop.
    instances: Vec<Instance>,
    /// The last signal that was sent to those that stop first.
    told: Signal,
}

// === impl House ===

impl House {
    pub(super) const fn new(program: Program) -> Self {
        Self {
            program,
            instances: Vec::new(),
            told: Signal::Terminate,
        }
    }

    /// These processes now, with these variables for all of them beside what they were told.
    pub(super) fn settle(&mut self, instances: Vec<Instance>, env: BTreeMap<String, String>) {
        self.instances = instances;
        // What the test itself says holds.
        for (name, value) in env {
            self.program.env.entry(name).or_insert(value);
        }
    }

    /// Starts one more.
    pub(super) async fn add(&mut self, mut instance: Instance) -> Result<()> {
        instance.launch(&self.program)?;
        self.instances.push(instance);
        let last = self.instances.last_mut().context("no process")?;
        last.ready(&self.program).await
    }

    /// Starts those that do what this role does, or all; each stage when the one that it calls is ready.
    pub(super) async fn launch(&mut self, role: Option<Role>) -> Result<()> {
        for stage in stages().into_iter().rev() {
            let mut those: Vec<_> = playing(&mut self.instances, role)
                .filter(|instance| stage.contains(&instance.role()))
                .collect();
            for instance in &mut those {
                instance.launch(&self.program)?;
            }
            for instance in &mut those {
                instance.ready(&self.program).await?;
            }
        }
        Ok(())
    }

    /// Kills those that do what this role does, or all: at once, so that nobody sees the others die and acts on it.
    pub(super) fn kill(&mut self, role: Option<Role>) -> Result<()> {
        // Billing first: what those still do that live a moment longer costs nobody anything.
        playing(&mut self.instances, role)
            .rev()
            .try_for_each(Instance::cut)?;
        playing(&mut self.instances, role).try_for_each(Instance::kill)
    }

    /// Tells those of these roles to stop that have this number; each is started again in its place when it has.
    pub(super) async fn roll(&mut self, roles: &[Role], number: usize) -> Result<()> {
        let program = &self.program;
        let those = self.instances.iter_mut().filter(|instance| {
            let plays = instance.role().is_some_and(|role| roles.contains(&role));
            plays && instance.number() == number
        });
        let rolled = those.map(|instance| async move {
            instance.signal(Signal::Terminate)?;
            let status = instance.exited().await?;
            ensure!(status.success(), "{} ends with {status}", instance.name());
            instance.launch(program)?;
            instance.ready(program).await
        });
        try_join_all(rolled).await?;
        Ok(())
    }

    /// Sends a signal to those that stop first.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<()> {
        self.told = signal;
        let first = self.instances.first().context("no process")?.role();
        let those = self.instances.iter();
        let mut those = those.filter(|instance| instance.role() == first && instance.runs());
        those.try_for_each(|instance| instance.signal(signal))
    }

    /// Waits until those that were told to stop have, and tells the others, stage by stage. Gives the first status that is no
    /// success.
    pub(super) async fn exited(&mut self) -> Result<ExitStatus> {
        let first = self.instances.first().context("no process")?.role();
        let mut said: Option<ExitStatus> = None;
        for stage in stages() {
            let running = self.instances.iter_mut();
            let mut those: Vec<_> = running
                .filter(|instance| instance.runs() && stage.contains(&instance.role()))
                .collect();
            for instance in those.iter().filter(|instance| instance.role() != first) {
                instance.signal(self.told)?;
            }
            for instance in &mut those {
                let status = instance.exited().await?;
                if said.is_none_or(|said| said.success()) {
                    said = Some(status);
                }
            }
        }
        said.context("it does not run")
    }

    /// Whether one of them has ended by itself.
    pub(super) fn has_lost_one(&mut self) -> Result<bool> {
        for instance in &mut self.instances {
            if instance.has_died()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One process of those that have a role for themselves, counted from 1.
    pub(super) fn one(&self, role: Role, number: usize) -> Result<&Instance> {
        let mut those = self.instances.iter();
        let found = those.find(|one| one.role() == Some(role) && one.number() == number);
        found.with_context(|| format!("there is no {} {number}", role.as_str()))
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter()
    }

    pub(super) fn runs(&self) -> bool {
        self.instances.iter().any(Instance::runs)
    }

    /// Processes that answer the audit in place of the edge and billing, which do not run.
    pub(super) async fn open_books(&self) -> Result<Vec<Instance>> {
        let mut open = Vec::new();
        for role in [Role::Billing, Role::Edge] {
            let found = self.instances.iter().find(|instance| instance.plays(role));
            let mut stand_in = found.context("no process")?.stand_in();
            stand_in.launch(&self.program)?;
            stand_in.ready(&self.program).await?;
            open.push(stand_in);
        }
        Ok(open)
    }

    /// Where the processes that serve customers are.
    pub(super) fn edges(&self) -> Vec<String> {
        let instances = self.instances.iter();
        let edges = instances.filter(|instance| instance.plays(Role::Edge));
        edges.map(Instance::base).collect()
    }

    /// What the last starts have printed so far to `stdout` or `stderr`.
    pub(super) fn printed(&self, stream: &str) -> Result<String> {
        let instances = self.instances.iter();
        instances
            .map(|instance| instance.printed(&self.program, stream))
            .collect()
    }

    /// That no start has logged one of these words.
    pub(super) fn check_logs(&self, words: &[&str]) -> Result<()> {
        for instance in &self.instances {
            let name = instance.name();
            for (start, log) in (1..).zip(instance.logs(&self.program)?) {
                for word in words {
                    let line = log.lines().find(|line| line.contains(word));
                    ensure!(
                        line.is_none(),
                        "the log of start {start} of {name} says {word:?}: {line:?}"
                    );
                }
            }
        }
        Ok(())
    }

    /// Shows the end of each process's log.
    pub(super) fn show_logs(&self) -> Result<()> {
        let mut out = std::io::stderr().lock();
        for instance in &self.instances {
            let log = instance.printed(&self.program, "stderr")?;
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(SHOWN);
            writeln!(out, "the end of the log of {}:", instance.name())?;
            for line in lines.iter().skip(from) {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}

/// Who stops together, in order. The process that does everything is a stage of its own.
fn stages() -> Vec<Vec<Option<Role>>> {
    let split = STAGES
        .iter()
        .map(|stage| stage.iter().copied().map(Some).collect());
    [vec![None]].into_iter().chain(split).collect()
}

fn playing(
    instances: &mut [Instance],
    role: Option<Role>,
) -> impl DoubleEndedIterator<Item = &mut Instance> {
    let those = instances.iter_mut();
    those.filter(move |instance| role.is_none_or(|role| instance.plays(role)))
}
