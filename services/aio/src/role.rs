//! One service in a process of its own: `aio edge`, `aio chat`, and so on. Its peers are reached over the network, with a token of its
//! own; its engines are PostgreSQL, RabbitMQ and Redis.

use std::{path::Path, process::ExitCode};

use anyhow::ensure;
use chassis::{
    config::Settings,
    http,
    rpc::{
        self, Channel, PeersConfig,
        Role::{Billing, Chat, Dashboard, Edge, Media, Webhooks},
        Serving,
    },
};
use edge::Ready;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tracing::info_span;

use crate::{
    args::Role,
    assemble::{Parts, Peers, Places},
    config::{self, Config},
    first_start,
    process::{self, State, Word},
    say, up,
};

/// Runs until told to stop.
pub(crate) async fn role(
    role: Role,
    settings: &Settings,
    data_dir: &Path,
) -> anyhow::Result<ExitCode> {
    let config: Config = settings.section("server")?;
    config::check_agreement(settings)?;
    say::line(format!(
        "aio {} {} starts",
        env!("CARGO_PKG_VERSION"),
        role.rpc()
    ));
    let mut word = Word::listen()?;
    let mut registry = Registry::default();
    let process = Process {
        role,
        peers: settings.section("peers")?,
        parts: Parts::shared(settings, data_dir)?,
        config,
        state: State::default(),
        metrics: rpc::Metrics::register(&mut registry),
    };
    let (parts, config, state) = (&process.parts, &process.config, &process.state);
    // What can be wrong is found out before work begins: a paid submit must not end because a port is taken.
    process.peers.callers(callers(role.rpc()))?;
    let admin = process::bind(config.admin_listen, "server.admin_listen").await?;
    let listener = process::bind(config.listen(role.port()), "server.listen").await?;
    let address = listener.local_addr()?;
    let starting = Box::pin(process.start(listener, &mut registry));
    let Some(_lock) = word.or(parts, starting).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    process::serve_admin(parts, config, state, (admin, registry))?;
    let ready = format!("ready  {} on {address}", role.rpc());
    process::run(parts, config, state, (&mut word, &ready)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Who may call a role.
const fn callers(role: rpc::Role) -> &'static [rpc::Role] {
    match role {
        Chat => &[Edge, Dashboard],
        Media => &[Edge, Chat, Dashboard],
        Billing => &[Edge, Chat, Media, Dashboard],
        Webhooks => &[Edge, Media, Billing, Dashboard],
        Edge | Dashboard | rpc::Role::Sandbox => &[],
    }
}

/// One role on its way.
struct Process {
    role: Role,
    peers: PeersConfig,
    parts: Parts,
    config: Config,
    state: State,
    metrics: rpc::Metrics,
}

// === impl Process ===

impl Process {
    /// Starts the role's service and serves it. Of the sandbox, hands out the lock on its data directory.
    async fn start(
        &self,
        listener: TcpListener,
        registry: &mut Registry,
    ) -> anyhow::Result<Option<std::fs::File>> {
        let parts = &self.parts;
        match self.role {
            Role::Edge => self.edge(listener, registry).await?,
            Role::Chat => {
                let chat = parts
                    .chat(&self.reach()?, self.sandbox_url(), registry)
                    .await?;
                self.serve(listener, Routes::new(chat.rpc_server()))?;
            }
            Role::Media => {
                let places = Places {
                    public_url: self.public_url()?,
                    sandbox_url: self.sandbox_url(),
                };
                let live = parts.live(registry).await?;
                let media = parts
                    .media(&places, &self.reach()?, &live, registry)
                    .await?;
                self.serve(listener, media.routes())?;
            }
            Role::Billing => {
                let billing = parts.billing(&self.reach()?, registry).await?;
                first_start::bootstrap(&billing).await?;
                self.serve(listener, billing.routes())?;
            }
            Role::Webhooks => {
                let webhooks = parts.webhooks(registry).await?;
                self.serve(listener, webhooks.routes())?;
            }
            Role::Dashboard => {
                let live = parts.live(registry).await?;
                let dashboard = parts
                    .dashboard(&self.public_url()?, self.reach()?, live, registry)
                    .await?;
                first_start::invite_operator(&dashboard).await?;
                self.serve_http(listener, dashboard.router());
            }
            Role::Sandbox => {
                let lock = up::own(&parts.data_dir)?;
                let public_url = self.config.public_url.clone();
                let router = parts.sandbox(public_url).await?.router();
                self.serve_http(listener, router);
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    async fn edge(&self, listener: TcpListener, registry: &mut Registry) -> anyhow::Result<()> {
        self.public_url()?;
        let ready: Ready = self.state.ready();
        let live = self.parts.live(registry).await?;
        let edge = self.parts.edge(self.reach()?, live, ready, registry)?;
        self.serve_http(listener, edge.router());
        Ok(())
    }

    /// The ways to the roles that let this one in; nobody else is reached.
    fn reach(&self) -> anyhow::Result<Peers> {
        Ok(Peers {
            billing: self.way_to(Billing)?,
            chat: self.way_to(Chat)?,
            media: self.way_to(Media)?,
            webhooks: self.way_to(Webhooks)?,
        })
    }

    fn way_to(&self, peer: rpc::Role) -> anyhow::Result<Channel> {
        let own = self.role.rpc();
        if !callers(peer).contains(&own) {
            return Ok(rpc::nobody());
        }
        Ok(self
            .peers
            .channel(own, peer, &self.metrics, &self.parts.front)?)
    }

    fn serve(&self, listener: TcpListener, routes: Routes) -> anyhow::Result<()> {
        let serving = Serving {
            callers: self.peers.callers(callers(self.role.rpc()))?,
            limits: self.peers.server.clone(),
            descriptors: proto::DESCRIPTORS,
        };
        let tasks = &self.parts.front;
        let served = rpc::serve(listener, routes, serving, tasks.clone())?;
        tasks.spawn(info_span!("grpc"), served);
        Ok(())
    }

    fn serve_http(&self, listener: TcpListener, router: axum::Router) {
        let (limits, tasks) = (self.config.connections.clone(), &self.parts.front);
        let served = http::serve(listener, router, limits, tasks.clone());
        tasks.spawn(info_span!("public"), served);
    }

    /// How customers reach us: links are made of it, so a process that only sees its own address cannot guess.
    fn public_url(&self) -> anyhow::Result<String> {
        let url = self.config.public_url.as_deref().unwrap_or_default();
        ensure!(
            !url.is_empty(),
            "server.public_url is not set: how customers reach the edge, such as https://api.example.com"
        );
        Ok(url.trim_end_matches('/').to_owned())
    }

    fn sandbox_url(&self) -> Option<String> {
        let url = self.peers.sandbox.trim();
        (!url.is_empty()).then(|| url.to_owned())
    }
}
