//! A system that runs already and is not ours, such as `docker-compose.yml` starts: where it is, and what it was told. Tests may ask it
//! everything, and neither stop it nor tell it anything else.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use chassis::config::variable_value;

use super::{
    Aio, Verdict,
    house::House,
    instance::{Instance, Program},
    shape::{Role, Shape},
};
use crate::{api, binary};

/// The value of `AIO_TEST_SHAPE` that means it.
pub(super) const NAME: &str = "running";

/// What the environment of this run says of it.
pub(super) struct Running {
    /// Where its edge is: `http://host:port`. Its `server.public_url` is the same.
    edge: String,
    /// Where its pages are.
    pages: String,
    /// The operator's key.
    pub(super) operator: String,
    /// The settings that it was started with, besides its own.
    settings: BTreeMap<String, String>,
}

// === impl Aio ===

impl Aio {
    /// The system that runs.
    pub(super) fn of(running: Running) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("aio-e2e-").tempdir()?;
        let mut house = House::new(Program {
            path: binary()?,
            home: home.path().to_owned(),
            env: [].into(),
        });
        house.settle(running.instances()?, [].into());
        Ok(Self {
            shape: Shape::of_this_run()?,
            house,
            engines: None,
            operator: running.operator,
            http: api::client()?,
            told: Arc::default(),
            first: None,
            verdict: Verdict::Open,
            ours: false,
            home,
        })
    }

    /// That this test may do more than ask.
    pub(super) fn is_ours(&self) -> Result<()> {
        ensure!(
            self.ours,
            "this test stops processes or reads what they print, and the system that runs is not its own"
        );
        Ok(())
    }
}

// === impl Running ===

impl Running {
    /// The system that the environment names; nothing where tests start their own.
    ///
    /// # Errors
    /// When what tests need to know of it is missing.
    pub(super) fn of_this_run() -> Result<Option<Self>> {
        if variable_value("AIO_TEST_SHAPE").as_deref() != Some(NAME) {
            return Ok(None);
        }
        let key = named("AIO_TEST_OPERATOR_KEY_FILE")?;
        let operator = fs::read_to_string(&key).context(key)?;
        let settings = match variable_value("AIO_TEST_SETTINGS") {
            None => BTreeMap::new(),
            Some(file) => settings(Path::new(&file))?,
        };
        Ok(Some(Self {
            edge: named("AIO_TEST_EDGE")?,
            pages: named("AIO_TEST_PAGES")?,
            operator: operator.trim().to_owned(),
            settings,
        }))
    }

    /// That it was told all of this.
    pub(super) fn was_told(&self, env: &[(&str, &str)]) -> Result<()> {
        for (name, value) in env {
            let told = self.settings.get(*name);
            ensure!(
                told.is_some_and(|told| told == value),
                "this test needs {name}={value}, and the system that runs was not told so"
            );
        }
        Ok(())
    }

    /// Its processes that tests speak to. They are never started, and nobody stops them.
    pub(super) fn instances(&self) -> Result<Vec<Instance>> {
        let all = [(Role::Edge, &self.edge), (Role::Dashboard, &self.pages)];
        let all = all.into_iter().map(|(role, base)| {
            let place = base.strip_prefix("http://");
            let place = place.with_context(|| format!("{base} is not http://host:port"))?;
            Ok(Instance::at(role, place.trim_end_matches('/')))
        });
        all.collect()
    }
}

fn named(name: &str) -> Result<String> {
    variable_value(name).with_context(|| format!("{name} is not set: `cargo xtask test --against`"))
}

/// Lines of `NAME=value`, as compose reads them.
fn settings(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("{} has a line that is no setting: {line}", file.display());
        };
        found.insert(name.to_owned(), value.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_asked_what_it_was_told_for() -> Result<()> {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/compose/suite.env"
        );
        let running = Running {
            edge: "http://localhost:8080".to_owned(),
            pages: "http://localhost:8081/".to_owned(),
            operator: String::new(),
            settings: settings(Path::new(file))?,
        };
        running.was_told(&[])?;
        running.was_told(&[("AIO_LIMITS__DEADLINES__BILLING", "60s")])?;
        let other = running.was_told(&[("AIO_LIMITS__DEADLINES__BILLING", "61s")]);
        assert!(other.is_err());
        let places = running.instances()?;
        let places: Vec<String> = places.iter().map(Instance::base).collect();
        assert_eq!(places, ["http://localhost:8080", "http://localhost:8081"]);
        Ok(())
    }
}
