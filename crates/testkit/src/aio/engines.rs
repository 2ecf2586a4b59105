//! What a house of roles stands on: its database, its names on the broker, its Redis, and the secrets its processes share.

use std::{collections::BTreeMap, process::Output};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    instance::{Instance, Program},
    shape::{Role, STAGES, Shape},
};
use crate::servers::{Postgres, Rabbit, Redis, free_port};

/// The password of every service's role on the server. Roles belong to the server, which other houses share.
const PASSWORD: &str = "canary-of-the-database";
/// The roles with a schema.
const KEEPERS: [Role; 5] = [
    Role::Billing,
    Role::Chat,
    Role::Media,
    Role::Webhooks,
    Role::Dashboard,
];

/// The servers of a house.
pub struct Servers {
    /// Where the truth is.
    pub postgres: Postgres,
    /// Where the doorbell is.
    pub rabbit: Rabbit,
    /// Where the volatile state is.
    pub redis: Redis,
}

/// The servers, and what the house has on them.
pub(super) struct Engines {
    pub(super) servers: Servers,
    pub(super) access: Access,
    /// The owner's URL of the house's database.
    pub(super) database: String,
    /// The house's secrets: what is in the database was written with them, also by a first try to start.
    secrets: BTreeMap<String, String>,
}

/// Who may kill the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nobody: other houses use them too.
    Shared,
    /// The test.
    Private,
}

/// By which address whoever calls a process of a role calls it, for its own.
pub(super) type Via<'v> = dyn FnMut(Role, String) -> Result<String> + 'v;

// === impl Engines ===

impl Engines {
    /// Finds or starts the servers, and makes the database.
    pub(super) async fn open(access: Access) -> Result<Self> {
        let servers = match access {
            Access::Shared => Servers {
                postgres: Postgres::shared().await?,
                rabbit: Rabbit::shared().await?,
                redis: Redis::start().await?,
            },
            Access::Private => {
                let (postgres, rabbit) = tokio::try_join!(Postgres::start(), Rabbit::start())?;
                let redis = Redis::start().await?;
                Servers {
                    postgres,
                    rabbit,
                    redis,
                }
            }
        };
        Ok(Self {
            database: servers.postgres.database().await?,
            secrets: secrets(),
            servers,
            access,
        })
    }

    /// `aio migrate`, as the database's owner.
    pub(super) async fn migrate(&self, program: &Program) -> Result<()> {
        let mut command = program.run(&["migrate"], "migrate");
        command.env("AIO_DATABASE__URL", &self.database);
        for role in KEEPERS {
            let name = role.as_str().to_uppercase();
            command.env(format!("AIO_DATABASE__PASSWORDS__{name}"), PASSWORD);
        }
        let Output {
            status,
            stdout,
            stderr,
        } = tokio::process::Command::from(command).output().await?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (said(&stdout), said(&stderr));
        ensure!(
            status.success(),
            "aio migrate ends with {status}\n{stdout}{stderr}"
        );
        Ok(())
    }

    /// The processes of the house, in the order in which they stop, and what all of them are told.
    pub(super) fn plan(
        &self,
        shape: Shape,
        via: &mut Via<'_>,
    ) -> Result<(Vec<Instance>, BTreeMap<String, String>)> {
        let mut env = self.environment(shape);
        let mut instances: Vec<Instance> = Vec::new();
        let roles = STAGES.into_iter().flatten().copied();
        for role in roles.filter(|role| *role != Role::Dashboard) {
            let mut addresses = Vec::new();
            for number in 1..=shape.replicas(role) {
                let instance = self.instance(role, number)?;
                addresses.push(via(role, instance.base())?);
                instances.push(instance);
            }
            let name = role.as_str().to_uppercase();
            let (name, addresses) = if role == Role::Edge {
                // The pages relay the API to all of them.
                env.insert("AIO_PEERS__EDGE".to_owned(), addresses.join(","));
                // Links are made of one address, whichever edge answers.
                let first = addresses.swap_remove(0);
                ("AIO_SERVER__PUBLIC_URL".to_owned(), first)
            } else {
                (format!("AIO_PEERS__{name}"), addresses.join(","))
            };
            env.insert(name, addresses);
        }
        Ok((instances, env))
    }

    pub(super) fn instance(&self, role: Role, number: usize) -> Result<Instance> {
        let instance = Instance::new(Some(role), number, free_port()?);
        if !KEEPERS.contains(&role) {
            return Ok(instance);
        }
        let (_, place) = self.database.split_once('@').context("no user")?;
        let url = format!("postgres://aio_{}:{PASSWORD}@{place}", role.as_str());
        Ok(instance.with("AIO_DATABASE__URL", &url))
    }

    fn environment(&self, shape: Shape) -> BTreeMap<String, String> {
        let Servers { rabbit, redis, .. } = &self.servers;
        let replicas = shape.replicas(Role::Edge).to_string();
        let mut env: BTreeMap<String, String> = [
            ("AIO_REDIS__URL", redis.url()),
            ("AIO_REDIS__REPLICAS", replicas),
            ("AIO_RABBITMQ__URL", rabbit.url().to_owned()),
            ("AIO_RABBITMQ__PREFIX", rabbit.prefix().to_owned()),
            ("AIO_STORAGE__DIRECTORY", "outputs".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        env.extend(self.secrets.clone());
        env
    }
}

/// What every process of a house is given.
fn secrets() -> BTreeMap<String, String> {
    let names = [
        "AIO_SECRETS__KEY_MAC",
        "AIO_SECRETS__CONTENT_KEY",
        "AIO_SECRETS__LINK_KEY",
    ];
    let names = names.map(str::to_owned).into_iter();
    let tokens = STAGES.into_iter().flatten().map(|role| {
        let name = role.as_str().to_uppercase();
        format!("AIO_PEERS__TOKENS__{name}")
    });
    names.chain(tokens).map(|name| (name, secret())).collect()
}

/// Whether a variable holds what no log may hold.
pub(super) fn is_secret(name: &str) -> bool {
    name.starts_with("AIO_SECRETS__") || name.starts_with("AIO_PEERS__TOKENS__")
}

/// Words of the house's own that no log may hold.
pub(super) const CANARIES: [&str; 1] = [PASSWORD];

/// 32 random bytes in base64.
pub(super) fn secret() -> String {
    BASE64.encode(rand::random::<[u8; 32]>())
}
