//! The shapes the program can take, and the roles of the split ones.

use anyhow::{Result, bail};

use super::{Aio, engines::Access, running, straight};

/// How the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `aio up`: one process that needs nothing else.
    Embedded,
    /// One process for each role, with PostgreSQL, RabbitMQ and Redis.
    Split,
    /// Three processes for each role but the sandbox.
    Split3,
}

/// A service that is a process of its own in the split shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// HTTP in, HTTP out.
    Edge,
    /// Chat requests.
    Chat,
    /// Media tasks.
    Media,
    /// Simulated providers.
    Sandbox,
    /// Telling customers.
    Webhooks,
    /// Accounts, keys, the ledger.
    Billing,
    /// The web pages. Nobody calls them, so that they are started where a test looks at them ([`Aio::pages`](super::Aio::pages)).
    Dashboard,
}

/// The order in which roles stop: whoever calls others, before those. They start the other way round.
pub(super) const STAGES: [&[Role]; 6] = [
    &[Role::Dashboard],
    &[Role::Edge],
    &[Role::Chat],
    &[Role::Media],
    &[Role::Sandbox, Role::Webhooks],
    &[Role::Billing],
];

// === impl Shape ===

impl Aio {
    /// Starts it in this shape on servers of its own, with more environment variables.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn private_with(shape: Shape, env: &[(&str, &str)]) -> Result<Self> {
        Self::open(shape, Access::Private, env, &mut straight).await
    }

    /// Starts it in this shape, on the servers of the run, with more environment variables.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn in_shape(shape: Shape, env: &[(&str, &str)]) -> Result<Self> {
        Self::open(shape, Access::Shared, env, &mut straight).await
    }

    /// Starts it in this shape on servers of its own, where whoever calls a process of a role calls the address that `via` gives for its own: a way on which calls get lost.
    ///
    /// # Errors
    /// When it does not get ready; says what it printed.
    pub async fn private_via(
        shape: Shape,
        env: &[(&str, &str)],
        mut via: impl FnMut(Role, String) -> Result<String>,
    ) -> Result<Self> {
        Self::open(shape, Access::Private, env, &mut via).await
    }
}

impl Shape {
    /// The shape that `AIO_TEST_SHAPE` names; embedded when it is absent. A system that runs already has a process for each role.
    ///
    /// # Errors
    /// When it names no shape.
    pub fn of_this_run() -> Result<Self> {
        let name = chassis::config::variable_value("AIO_TEST_SHAPE");
        Ok(match name.as_deref() {
            None | Some("embedded") => Self::Embedded,
            Some("split" | running::NAME) => Self::Split,
            Some("split3") => Self::Split3,
            Some(other) => bail!("AIO_TEST_SHAPE is {other}: embedded, split, split3 or running"),
        })
    }

    /// How many processes do what this role does.
    pub(super) const fn replicas(self, role: Role) -> usize {
        match (self, role) {
            (Self::Embedded | Self::Split, _) | (Self::Split3, Role::Sandbox | Role::Dashboard) => {
                1
            }
            (Self::Split3, _) => 3,
        }
    }
}

// === impl Role ===

impl Role {
    /// The word of the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Chat => "chat",
            Self::Media => "media",
            Self::Sandbox => "sandbox",
            Self::Webhooks => "webhooks",
            Self::Billing => "billing",
            Self::Dashboard => "dashboard",
        }
    }
}
