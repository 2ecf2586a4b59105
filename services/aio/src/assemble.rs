//! Everything in one process: each service with its own database, called without a socket.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use billing::Billing;
use chassis::{
    LinkSigner, Tasks,
    config::Settings,
    rpc::{self, Channel},
    secrets::Secrets,
};
use db::{Db, Migration};
use domain::Catalogue;
use edge::{Edge, Ready};
use live::SharedLive;
use prometheus_client::registry::Registry;
use queue::SharedQueue;
use upstream::GuardedClient;

use crate::say;

/// What every service is made from.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) data_dir: PathBuf,
    pub(crate) secrets: Secrets,
    pub(crate) catalogue: Arc<Catalogue>,
    /// Those who work with customers and providers: stopped first.
    pub(crate) front: Tasks,
    /// Billing: stopped last, since the others still settle with it.
    pub(crate) core: Tasks,
}

/// Where the outside is.
pub(crate) struct Places {
    /// How customers reach us, without a slash at the end.
    pub(crate) public_url: String,
    /// Where the sandbox listens.
    pub(crate) sandbox_url: String,
}

/// The running services.
pub(crate) struct House {
    pub(crate) billing: Billing,
    pub(crate) edge: Edge,
}

// === impl Parts ===

impl Parts {
    /// Reads what is on disk and in the configuration.
    pub(crate) fn read(settings: &Settings, data_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            secrets: Secrets::load_or_create(data_dir, &settings.section("secrets")?)
                .with_context(|| format!("cannot read the secrets in {}", data_dir.display()))?,
            catalogue: Arc::new(Catalogue::built_in()?),
            settings: settings.clone(),
            data_dir: data_dir.to_owned(),
            front: Tasks::default(),
            core: Tasks::default(),
        })
    }

    /// Starts every service but the sandbox, in the order in which they need each other.
    pub(crate) async fn start(
        &self,
        places: &Places,
        ready: Ready,
        registry: &mut Registry,
    ) -> anyhow::Result<House> {
        let billing = self.billing(registry).await?;
        say::line("  billing   ready");
        let ledger = rpc::in_process(billing.rpc_server());
        let webhooks = rpc::in_process(self.webhooks(registry).await?.rpc_server());
        say::line("  webhooks  ready");
        let shared = self.shared()?;
        let chat = self.chat(places, ledger.clone(), registry)?;
        say::line("  chat      ready");
        let peers = Peers {
            ledger: ledger.clone(),
            webhooks: webhooks.clone(),
        };
        let media = self.media(places, peers, &shared, registry).await?;
        say::line("  media     ready");
        let edge = Edge::new(edge::Deps {
            billing: ledger,
            chat: rpc::in_process(chat.rpc_server()),
            media: rpc::in_process(media.rpc_server()),
            webhooks,
            live: shared.live,
            catalogue: Arc::clone(&self.catalogue),
            links: self.links(),
            config: edge::Config::read(&self.settings)?,
            metrics: edge::Metrics::register(registry),
            ready,
            tasks: self.front.clone(),
        })?;
        Ok(House { billing, edge })
    }

    /// Billing alone, for operator commands when nothing runs: the edge in front of it reaches nobody else.
    pub(crate) async fn start_billing(&self, ready: Ready) -> anyhow::Result<House> {
        let registry = &mut Registry::default();
        let billing = self.billing(registry).await?;
        let edge = Edge::new(edge::Deps {
            billing: rpc::in_process(billing.rpc_server()),
            chat: rpc::nobody(),
            media: rpc::nobody(),
            webhooks: rpc::nobody(),
            live: self.shared()?.live,
            catalogue: Arc::clone(&self.catalogue),
            links: self.links(),
            config: edge::Config::read(&self.settings)?,
            metrics: edge::Metrics::register(registry),
            ready,
            tasks: self.front.clone(),
        })?;
        Ok(House { billing, edge })
    }

    async fn billing(&self, registry: &mut Registry) -> anyhow::Result<Billing> {
        let deps = billing::Deps {
            db: self
                .database("billing", billing::MIGRATIONS, &self.core)
                .await?,
            key_mac: self.secrets.key_mac().clone(),
            config: billing::Config::read(&self.settings)?,
            metrics: billing::Metrics::register(registry),
            tasks: self.core.clone(),
        };
        Billing::open(deps).await.context("cannot start billing")
    }

    async fn webhooks(&self, registry: &mut Registry) -> anyhow::Result<webhooks::Webhooks> {
        let deps = webhooks::Deps {
            db: self
                .database("webhooks", webhooks::MIGRATIONS, &self.front)
                .await?,
            client: GuardedClient::new(&self.settings.section("egress")?)?,
            secrets: self.secrets.clone(),
            config: self.settings.section("webhooks")?,
            tasks: self.front.clone(),
            registry,
        };
        webhooks::Webhooks::start(deps)
            .await
            .context("cannot start webhooks")
    }

    fn chat(
        &self,
        places: &Places,
        billing: Channel,
        registry: &mut Registry,
    ) -> anyhow::Result<chat::Chat> {
        let deps = chat::Deps {
            catalogue: Arc::clone(&self.catalogue),
            billing,
            settings: &self.settings,
            sandbox_origin: Some(places.sandbox_url.clone()),
            tasks: self.front.clone(),
            registry,
        };
        chat::Chat::start(deps).context("cannot start chat")
    }

    async fn media(
        &self,
        places: &Places,
        peers: Peers,
        shared: &Shared,
        registry: &mut Registry,
    ) -> anyhow::Result<media::Media> {
        let deps = media::Deps {
            db: self
                .database("media", media::MIGRATIONS, &self.front)
                .await?,
            outputs: self.data_dir.join("outputs"),
            settings: self.settings.clone(),
            catalogue: Arc::clone(&self.catalogue),
            secrets: self.secrets.clone(),
            public_url: places.public_url.clone(),
            sandbox_url: places.sandbox_url.clone(),
            billing: peers.ledger,
            webhooks: peers.webhooks,
            queue: Arc::clone(&shared.queue),
            live: Arc::clone(&shared.live),
            tasks: self.front.clone(),
        };
        media::Media::start(deps, registry)
            .await
            .context("cannot start media")
    }

    fn shared(&self) -> anyhow::Result<Shared> {
        let queue: queue::memory::Limits = self.settings.section("queue")?;
        let live: live::memory::Limits = self.settings.section("live")?;
        Ok(Shared {
            queue: Arc::new(queue::memory::MemoryQueue::new(queue.capacity)),
            live: Arc::new(live::memory::MemoryLive::new(&live)),
        })
    }

    async fn database(
        &self,
        name: &str,
        migrations: &[Migration],
        tasks: &Tasks,
    ) -> anyhow::Result<Db> {
        let path = self.data_dir.join(format!("{name}.db"));
        let limits = self.settings.section("database")?;
        let opened = Db::open(&path, migrations, &limits, tasks).await;
        opened.with_context(|| format!("cannot open {}", path.display()))
    }

    fn links(&self) -> LinkSigner {
        self.secrets.links().clone()
    }
}

/// Whom media calls.
struct Peers {
    ledger: Channel,
    webhooks: Channel,
}

/// What services share that is no truth.
struct Shared {
    queue: SharedQueue,
    live: SharedLive,
}
