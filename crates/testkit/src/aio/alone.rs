//! One role alone: `aio sandbox`, for tests that must know where it is before anything else starts.

use std::collections::BTreeMap;

use anyhow::Result;
use tempfile::TempDir;

use super::{
    engines::secret,
    instance::{Instance, Program},
    shape::Role,
};
use crate::{binary, servers::free_port};

/// The simulated providers in a process of their own; it is killed when dropped.
pub struct Sandbox(Alone);

/// A role in a process of its own.
struct Alone {
    instance: Instance,
    /// Declared last, so that it is deleted when nobody writes to it any more.
    _home: TempDir,
}

// === impl Sandbox ===

impl Sandbox {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn start() -> Result<Self> {
        Alone::start(Role::Sandbox, &[]).await.map(Self)
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> String {
        self.0.instance.base()
    }
}

// === impl Alone ===

impl Alone {
    async fn start(role: Role, more: &[(&str, String)]) -> Result<Self> {
        let name = format!("aio-{}-", role.as_str());
        let home = tempfile::Builder::new().prefix(&name).tempdir()?;
        let env = [
            ("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("AIO_SECRETS__KEY_MAC", secret()),
            ("AIO_SECRETS__CONTENT_KEY", secret()),
            ("AIO_SECRETS__LINK_KEY", secret()),
        ];
        let env: BTreeMap<String, String> = env
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let program = Program {
            path: binary()?,
            home: home.path().to_owned(),
            env,
        };
        let mut instance = Instance::new(Some(role), 1, free_port()?);
        instance.launch(&program)?;
        instance.ready(&program).await?;
        Ok(Self {
            instance,
            _home: home,
        })
    }
}
