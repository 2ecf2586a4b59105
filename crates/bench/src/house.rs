//! The program as roles: `aio billing`, `aio chat` and `aio edge`, or `aio webhooks` and `aio media` in the place of chat, each a process
//! of its own, on PostgreSQL and Redis, and RabbitMQ for media. What is not needed is not there.

use crate::{
    admin::{ADMIN_KEY, Admin, LOOK, START},
    engines::{Postgres, Rabbit, Redis},
    load::Watched,
    process::{Build, Core, Process, aio},
    progress,
};
use anyhow::{Context, bail, ensure};
use chassis::config::Settings;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// 32 bytes in base64 that everybody knows.
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The roles that are known to others by a token, whether they run or not.
const ROLES: [&str; 6] = ["edge", "chat", "billing", "media", "webhooks", "dashboard"];

/// Running roles and what they stand on. Dropping it ends them and removes their data.
pub(crate) struct House {
    // In the order in which they end: whoever calls others before those, the folder last.
    roles: Vec<Role>,
    _rabbit: Option<Rabbit>,
    engines: Vec<Watched>,
    _redis: Redis,
    _postgres: Postgres,
    /// A live key that may spend.
    pub(crate) key: String,
    /// Where customers reach it: its first edge, and all of them.
    pub(crate) address: SocketAddr,
    pub(crate) edges: Vec<SocketAddr>,
    _site: Site,
}

/// Which roles there are beside the edge, in the order in which they start, and what all are told.
struct Plan<'p> {
    names: &'p [&'static str],
    /// Processes of each, and of the edge.
    count: usize,
    settings: &'p [(&'static str, String)],
}

/// `aio webhooks` alone, and what it stands on. Dropping it ends them and removes their data.
pub(crate) struct Dispatcher {
    role: Role,
    postgres: Postgres,
    _redis: Redis,
    _site: Site,
}

/// One running role.
struct Role {
    name: &'static str,
    /// Counted from 1 among those of its name.
    number: usize,
    process: Process,
    address: SocketAddr,
}

/// Where the roles keep what they print, and what all of them are told.
struct Site {
    folder: TempDir,
    settings: BTreeMap<String, String>,
}

// === impl House ===

impl House {
    /// Starts what chat needs, with `upstream` as OpenAI, and makes the key.
    pub(crate) async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        Self::start_replicas(upstream, 1).await
    }

    /// The same, with so many processes of each role.
    pub(crate) async fn start_replicas(upstream: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let plan = Plan {
            names: &["billing", "chat"],
            count,
            settings: &[("AIO_REDIS__REPLICAS", count.to_string())],
        };
        Self::start_roles(upstream, None, plan).await
    }

    /// Starts what media needs, with these settings.
    pub(crate) async fn start_media(
        upstream: SocketAddr,
        settings: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        progress("media_split: starting RabbitMQ");
        let rabbit = Rabbit::start().await?;
        let plan = Plan {
            names: &["billing", "webhooks", "media"],
            count: 1,
            settings,
        };
        Self::start_roles(upstream, Some(rabbit), plan).await
    }

    /// Starts these, in their order, and the edge before them.
    async fn start_roles(
        upstream: SocketAddr,
        rabbit: Option<Rabbit>,
        plan: Plan<'_>,
    ) -> anyhow::Result<Self> {
        progress("split: starting PostgreSQL and Redis");
        let postgres = Postgres::start().await?;
        let redis = Redis::start().await?;
        let mut site = Site::new(upstream, &redis)?;
        for (name, value) in plan.settings {
            site.tell(name, value.clone());
        }
        let mut engines = vec![postgres.process.clone(), redis.process.clone()];
        if let Some(rabbit) = &rabbit {
            site.tell("AIO_RABBITMQ__URL", rabbit.url.clone());
            engines.push(rabbit.process.clone());
        }
        site.migrate(&postgres).await?;
        progress(&format!(
            "split: starting {} and edge",
            plan.names.join(", ")
        ));
        let mut roles = Vec::new();
        for name in plan.names {
            let database = ("AIO_DATABASE__URL", postgres.url(&format!("aio_{name}"))?);
            let mut addresses = Vec::new();
            for number in 1..=plan.count {
                let role = site
                    .start(name, number, std::slice::from_ref(&database))
                    .await?;
                addresses.push(format!("http://{}", role.address));
                roles.push(role);
            }
            let peer = format!("AIO_PEERS__{}", name.to_uppercase());
            site.tell(&peer, addresses.join(","));
        }
        let mut edges = Vec::new();
        let mut key = String::new();
        for number in 1..=plan.count {
            let mut edge = site.start("edge", number, &[]).await?;
            let admin = Admin::new(edge.address);
            if number == 1 {
                let made = admin.prepare(&mut edge.process).await;
                key = made.with_context(|| site.said("edge", number))?;
            } else {
                admin.wait_until_ready(&mut edge.process).await?;
            }
            edges.push(edge.address);
            roles.push(edge);
        }
        roles.reverse();
        Ok(Self {
            roles,
            _rabbit: rabbit,
            engines,
            _redis: redis,
            _postgres: postgres,
            key,
            address: *edges.first().context("no edge")?,
            edges,
            _site: site,
        })
    }

    /// Our own processes, each by a name of its own.
    pub(crate) fn roles(&self) -> Vec<Watched> {
        let watched = |role: &Role| {
            let name = match role.number {
                1 => role.name.to_owned(),
                number => format!("{}-{number}", role.name),
            };
            Watched::new(&name, role.process.pid())
        };
        self.roles.iter().map(watched).collect()
    }

    /// The servers they use.
    pub(crate) fn engines(&self) -> Vec<Watched> {
        self.engines.clone()
    }

    /// Kills a role.
    pub(crate) fn kill(&mut self, name: &str) {
        self.roles.retain(|role| role.name != name);
    }
}

// === impl Dispatcher ===

impl Dispatcher {
    /// Starts it. It may tell whoever is at a loopback address.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        progress("webhooks: starting PostgreSQL and aio webhooks");
        let (postgres, redis) = (Postgres::start().await?, Redis::start().await?);
        // Nobody calls a provider.
        let mut site = Site::new(([127, 0, 0, 1], 9).into(), &redis)?;
        site.tell("AIO_EGRESS__ALLOW", "127.0.0.0/8".to_owned());
        site.migrate(&postgres).await?;
        let database = ("AIO_DATABASE__URL", postgres.url("aio_webhooks")?);
        let role = site.start("webhooks", 1, &[database]).await?;
        Ok(Self {
            role,
            postgres,
            _redis: redis,
            _site: site,
        })
    }

    /// How those reach it who tell it events.
    pub(crate) fn peers(&self) -> Settings {
        let text = format!(
            "[peers]\nwebhooks = 'http://{}'\n[peers.tokens]\nmedia = '{}'",
            self.role.address,
            token("media")
        );
        Settings::from_toml(&text)
    }

    pub(crate) fn role(&self) -> Watched {
        Watched::new(self.role.name, self.role.process.pid())
    }

    pub(crate) fn engine(&self) -> &Watched {
        &self.postgres.process
    }
}

// === impl Site ===

impl Site {
    fn new(upstream: SocketAddr, redis: &Redis) -> anyhow::Result<Self> {
        let mut site = Self {
            folder: TempDir::with_prefix("bench-")?,
            settings: BTreeMap::new(),
        };
        for secret in ["KEY_MAC", "CONTENT_KEY", "LINK_KEY"] {
            site.tell(&format!("AIO_SECRETS__{secret}"), SECRET.to_owned());
        }
        for role in ROLES {
            let name = format!("AIO_PEERS__TOKENS__{}", role.to_uppercase());
            site.tell(&name, token(role));
        }
        for (name, value) in [
            ("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
            ("AIO_SERVER__PUBLIC_URL", "http://127.0.0.1"),
            ("AIO_BOOTSTRAP_KEY", ADMIN_KEY),
            ("AIO_REDIS__URL", &redis.url),
            ("AIO_PROVIDERS__OPENAI__API_KEY", "bench"),
        ] {
            site.tell(name, value.to_owned());
        }
        let provider = format!("http://{upstream}/v1");
        site.tell("AIO_PROVIDERS__OPENAI__BASE_URL", provider);
        Ok(site)
    }

    /// Tells something to all who are started from now on.
    fn tell(&mut self, name: &str, value: String) {
        self.settings.insert(name.to_owned(), value);
    }

    /// `aio migrate`, as the database's owner.
    async fn migrate(&self, postgres: &Postgres) -> anyhow::Result<()> {
        let mut command = self.command("migrate", 1)?;
        command.env("AIO_DATABASE__URL", postgres.owner_url());
        let status = tokio::process::Command::from(command).status().await?;
        ensure!(status.success(), self.said("migrate", 1));
        Ok(())
    }

    /// Starts a role, one of several that are numbered, on a free port, with these settings for it alone, and waits until it serves.
    async fn start(
        &self,
        name: &'static str,
        number: usize,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Role> {
        let mut command = self.command(name, number)?;
        command
            .args(["--listen", "127.0.0.1:0"])
            .envs(settings.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start(&mut command)?;
        let deadline = Instant::now() + START;
        while !process.has_ended() && Instant::now() < deadline {
            let printed = fs::read_to_string(self.file(name, number, "stdout"))?;
            if let Some(address) = ready_at(&printed) {
                return Ok(Role {
                    name,
                    number,
                    process,
                    address,
                });
            }
            sleep(LOOK).await;
        }
        bail!(self.said(name, number))
    }

    fn command(&self, name: &str, number: usize) -> anyhow::Result<Command> {
        let mut command = aio(Core::Any, Build::Release)?;
        command
            .arg(name)
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .envs(&self.settings)
            .current_dir(self.folder.path())
            .stdout(File::create(self.file(name, number, "stdout"))?)
            .stderr(File::create(self.file(name, number, "stderr"))?);
        Ok(command)
    }

    fn file(&self, name: &str, number: usize, stream: &str) -> PathBuf {
        self.folder.path().join(format!("{name}-{number}.{stream}"))
    }

    fn said(&self, name: &str, number: usize) -> String {
        let read = |stream| fs::read_to_string(self.file(name, number, stream)).unwrap_or_default();
        format!("aio {name} said:\n{}{}", read("stdout"), read("stderr"))
    }
}

/// What a role shows when it calls.
fn token(role: &str) -> String {
    format!("token-of-{role}-that-everybody-knows")
}

/// The address in the line with which a role says that it serves.
fn ready_at(printed: &str) -> Option<SocketAddr> {
    let whole = printed.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    let mut ready = whole.filter(|line| line.starts_with("ready "));
    let (_, address) = ready.next()?.trim_end().rsplit_once(" on ")?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::ready_at;

    #[test]
    fn a_role_says_where_it_serves() {
        let printed = "aio 0.1.0 edge starts\nready  edge on 127.0.0.1:1234\n";
        assert_eq!(ready_at(printed), Some(([127, 0, 0, 1], 1234).into()));
        assert_eq!(ready_at("aio 0.1.0 edge starts\n"), None);
        // Half a line may have half a port.
        assert_eq!(ready_at("ready  edge on 127.0.0.1:12"), None);
    }
}
