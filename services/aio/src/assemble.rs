//! Puts services together: from their engines (files in the data directory, or PostgreSQL, RabbitMQ and Redis), from the channels to
//! their peers, and from what is configured. The same for `aio up` and for the roles; who calls whom how, they decide.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use billing::Billing;
use chassis::{
    LinkSigner, Tasks,
    config::Settings,
    rpc::{self, Channel},
    secrets::Secrets,
};
use chat::Chat;
use dashboard::Dashboard;
use db::{Db, Migration, Postgres};
use edge::{Edge, Ready};
use live::SharedLive;
use media::Media;
use prometheus_client::registry::Registry;
use queue::{SharedQueue, rabbit::RabbitQueue};
use sandbox::Sandbox;
use webhooks::Webhooks;

use crate::{config, models, say};

/// What every service is made from.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) data_dir: PathBuf,
    pub(crate) engines: Engines,
    pub(crate) secrets: Secrets,
    pub(crate) models: media::Models,
    /// Those who work with customers and providers: stopped first.
    pub(crate) front: Tasks,
    /// Billing: stopped last, since the others still settle with it.
    pub(crate) core: Tasks,
}

/// What truth, doorbell and shared state are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engines {
    /// A SQLite file per service in the data directory; the rest in memory.
    Embedded,
    /// PostgreSQL, RabbitMQ and Redis, shared by many processes.
    Shared,
}

/// Where the outside is.
pub(crate) struct Places {
    /// How customers reach us, without a slash at the end.
    pub(crate) public_url: String,
    /// Where the sandbox listens, if it runs.
    pub(crate) sandbox_url: Option<String>,
}

/// The ways to the other services.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) billing: Channel,
    pub(crate) chat: Channel,
    pub(crate) media: Channel,
    pub(crate) webhooks: Channel,
    /// Where edges are, for who relays the API to them.
    pub(crate) edge: Option<String>,
}

/// The services of `aio up` that others talk to.
pub(crate) struct House {
    pub(crate) billing: Billing,
    pub(crate) edge: Edge,
    /// `None`: only billing runs.
    pub(crate) pages: Option<Dashboard>,
}

// === impl Parts ===

impl Parts {
    /// Everything in the data directory, the secrets as well: they are made at the first start.
    pub(crate) fn embedded(settings: &Settings, data_dir: &Path) -> anyhow::Result<Self> {
        let secrets = Secrets::load_or_create(data_dir, &settings.section("secrets")?)
            .with_context(|| format!("cannot read the secrets in {}", data_dir.display()))?;
        Self::with(settings, data_dir, Engines::Embedded, secrets)
    }

    /// The engines that many processes share; their secrets are configured, since all need the same.
    pub(crate) fn shared(settings: &Settings, data_dir: &Path) -> anyhow::Result<Self> {
        let secrets = Secrets::configured(&settings.section("secrets")?)?;
        Self::with(settings, data_dir, Engines::Shared, secrets)
    }

    fn with(
        settings: &Settings,
        data_dir: &Path,
        engines: Engines,
        secrets: Secrets,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            settings: config::with_own_host(settings)?,
            data_dir: data_dir.to_owned(),
            engines,
            secrets,
            models: models::read(settings)?,
            front: Tasks::default(),
            core: Tasks::default(),
        })
    }

    /// Starts every service but the sandbox in this process, in the order in which they need each other.
    pub(crate) async fn start(
        &self,
        places: &Places,
        ready: Ready,
        registry: &mut Registry,
    ) -> anyhow::Result<House> {
        let webhooks = self.webhooks(registry).await?;
        let mut peers = Peers {
            webhooks: webhooks.channel(),
            ..Peers::nobody()
        };
        say::line("  webhooks  ready");
        let billing = self.billing(&peers, registry).await?;
        peers.billing = billing.channel();
        say::line("  billing   ready");
        let live = self.live(registry).await?;
        let media = self.media(places, &peers, &live, registry).await?;
        peers.media = media.channel();
        say::line("  media     ready");
        let chat = self
            .chat(&peers, places.sandbox_url.clone(), registry)
            .await?;
        peers.chat = chat.channel();
        say::line("  chat      ready");
        let edge = self.edge(peers.clone(), Arc::clone(&live), ready, registry)?;
        let pages = self
            .dashboard(&places.public_url, peers, live, registry)
            .await?;
        Ok(House {
            billing,
            edge,
            pages: Some(pages),
        })
    }

    /// Billing alone, for operator commands when nothing runs: the edge in front of it reaches nobody else.
    pub(crate) async fn start_billing(&self, ready: Ready) -> anyhow::Result<House> {
        let registry = &mut Registry::default();
        let billing = self.billing(&Peers::nobody(), registry).await?;
        let peers = Peers {
            billing: billing.channel(),
            ..Peers::nobody()
        };
        let live = self.live(registry).await?;
        let edge = self.edge(peers, live, ready, registry)?;
        Ok(House {
            billing,
            edge,
            pages: None,
        })
    }

    pub(crate) fn edge(
        &self,
        peers: Peers,
        live: SharedLive,
        ready: Ready,
        registry: &mut Registry,
    ) -> anyhow::Result<Edge> {
        let deps = edge::Deps {
            settings: self.settings.clone(),
            billing: peers.billing,
            chat: peers.chat,
            media: peers.media,
            webhooks: peers.webhooks,
            live,
            catalogue: Arc::clone(&self.models.catalogue),
            links: self.links(),
            ready,
            tasks: self.front.clone(),
        };
        Edge::start(deps, registry).context("cannot start the edge")
    }

    /// The web pages. `public_url`: how customers reach the edge.
    pub(crate) async fn dashboard(
        &self,
        public_url: &str,
        peers: Peers,
        live: SharedLive,
        registry: &mut Registry,
    ) -> anyhow::Result<Dashboard> {
        let catalogue = Arc::clone(&self.models.catalogue);
        let deps = dashboard::Deps {
            settings: self.settings.clone(),
            openapi: edge::openapi(&catalogue, public_url)?,
            catalogue,
            public_url: public_url.to_owned(),
            db: self
                .database(dashboard::SCHEMA, dashboard::MIGRATIONS, &self.front)
                .await?,
            secrets: self.secrets.clone(),
            live,
            channels: dashboard::Channels {
                billing: peers.billing,
                chat: peers.chat,
                media: peers.media,
                webhooks: peers.webhooks,
                edge: peers.edge,
            },
            tasks: self.front.clone(),
        };
        Dashboard::start(deps, registry).context("cannot start the dashboard")
    }

    pub(crate) async fn billing(
        &self,
        peers: &Peers,
        registry: &mut Registry,
    ) -> anyhow::Result<Billing> {
        let deps = billing::Deps {
            settings: self.settings.clone(),
            db: self
                .database("billing", billing::MIGRATIONS, &self.core)
                .await?,
            key_mac: self.secrets.key_mac().clone(),
            webhooks: peers.webhooks.clone(),
            tasks: self.core.clone(),
        };
        Billing::start(deps, registry)
            .await
            .context("cannot start billing")
    }

    pub(crate) async fn webhooks(&self, registry: &mut Registry) -> anyhow::Result<Webhooks> {
        let deps = webhooks::Deps {
            db: self
                .database("webhooks", webhooks::MIGRATIONS, &self.front)
                .await?,
            settings: self.settings.clone(),
            secrets: self.secrets.clone(),
            tasks: self.front.clone(),
        };
        Webhooks::start(deps, registry)
            .await
            .context("cannot start webhooks")
    }

    pub(crate) async fn chat(
        &self,
        peers: &Peers,
        sandbox_url: Option<String>,
        registry: &mut Registry,
    ) -> anyhow::Result<Chat> {
        let deps = chat::Deps {
            db: self.database("chat", chat::MIGRATIONS, &self.front).await?,
            settings: self.settings.clone(),
            secrets: self.secrets.clone(),
            catalogue: Arc::clone(&self.models.catalogue),
            billing: peers.billing.clone(),
            media: peers.media.clone(),
            sandbox_url,
            tasks: self.front.clone(),
        };
        Chat::start(deps, registry)
            .await
            .context("cannot start chat")
    }

    pub(crate) async fn media(
        &self,
        places: &Places,
        peers: &Peers,
        live: &SharedLive,
        registry: &mut Registry,
    ) -> anyhow::Result<Media> {
        let deps = media::Deps {
            db: self
                .database("media", media::MIGRATIONS, &self.front)
                .await?,
            outputs: self.data_dir.join("outputs"),
            settings: self.settings.clone(),
            models: self.models.clone(),
            secrets: self.secrets.clone(),
            public_url: places.public_url.clone(),
            sandbox_url: places.sandbox_url.clone(),
            billing: peers.billing.clone(),
            webhooks: peers.webhooks.clone(),
            queue: self.queue().await?,
            live: Arc::clone(live),
            tasks: self.front.clone(),
        };
        Media::start(deps, registry)
            .await
            .context("cannot start media")
    }

    /// `public_url`: how customers reach us, if that is known.
    pub(crate) async fn sandbox(&self, public_url: Option<String>) -> anyhow::Result<Sandbox> {
        let config: sandbox::Config = self.settings.section("sandbox")?;
        let deps = sandbox::Deps {
            config: sandbox::Config {
                public_url: config.public_url.or(public_url),
                ..config
            },
            path: self.data_dir.join("sandbox.db"),
            database: self.settings.section("database")?,
            tasks: self.core.clone(),
        };
        sandbox::open(deps)
            .await
            .context("cannot start the sandbox")
    }

    /// Snapshots of tasks, limits, notices.
    pub(crate) async fn live(&self, registry: &mut Registry) -> anyhow::Result<SharedLive> {
        let config = live::Config::read(&self.settings)?;
        ensure!(
            config.redis.url.is_some() || self.engines == Engines::Embedded,
            "redis.url is not set: redis://user:password@host:6379"
        );
        let sealer = self.secrets.content();
        Ok(live::open(&config, sealer, registry, &self.core).await?)
    }

    async fn queue(&self) -> anyhow::Result<SharedQueue> {
        if self.engines == Engines::Embedded {
            let limits: queue::memory::Limits = self.settings.section("queue")?;
            return Ok(Arc::new(queue::memory::MemoryQueue::new(limits.capacity)));
        }
        let config = self.settings.section("rabbitmq")?;
        let queue = RabbitQueue::connect(config, media::QUEUE_TOPICS, self.front.clone()).await?;
        Ok(Arc::new(queue))
    }

    async fn database(
        &self,
        name: &'static str,
        migrations: &[Migration],
        tasks: &Tasks,
    ) -> anyhow::Result<Db> {
        let config: db::Config = self.settings.section("database")?;
        if self.engines == Engines::Embedded {
            let path = self.data_dir.join(format!("{name}.db"));
            let opened = Db::open(&path, migrations, &config.limits, tasks).await;
            return opened.with_context(|| format!("cannot open {}", path.display()));
        }
        let url = config.url.with_context(|| {
            format!("database.url is not set: postgres://aio_{name}:password@host/name")
        })?;
        let server = Postgres { url, schema: name };
        let connected = Db::connect(&server, migrations, &config.limits, tasks).await;
        connected.with_context(|| format!("cannot use the schema {name} of database.url"))
    }

    fn links(&self) -> LinkSigner {
        self.secrets.links().clone()
    }
}

// === impl Peers ===

impl Peers {
    /// Nobody is there.
    pub(crate) fn nobody() -> Self {
        Self {
            billing: rpc::nobody(),
            chat: rpc::nobody(),
            media: rpc::nobody(),
            webhooks: rpc::nobody(),
            edge: None,
        }
    }
}
