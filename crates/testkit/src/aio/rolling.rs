//! Processes that pause, or make way for their successors while customers go on: what an orchestrator does to them.

use std::sync::Arc;

use anyhow::Result;

use super::{Aio, shape::Role};
use crate::{Api, Balancer, api};

impl Aio {
    /// Tells the process of each of these roles that has this number, counted from 1, to stop in order (SIGTERM), and starts each again
    /// when it has.
    ///
    /// # Errors
    /// When one does not stop with success, or does not get ready again; says what it printed.
    pub async fn roll(&mut self, roles: &[Role], number: usize) -> Result<()> {
        self.house.roll(roles, number).await
    }

    /// What stands before its edges as an orchestrator's proxy does.
    ///
    /// # Errors
    /// When no edge is ready.
    pub async fn balancer(&self) -> Result<Balancer> {
        Balancer::start(&self.house.edges()).await
    }

    /// A client with this key that keeps its connections, as SDKs do. `base`: of a balancer, or of an edge.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn kept_api(&self, base: String, key: &str) -> Result<Api> {
        let http = api::keeping_client()?;
        let told = Arc::clone(&self.told);
        Ok(Api::new(http, vec![base], told, Some(key)))
    }

    /// Lets one process of a role, counted from 1, stand still (SIGSTOP), until [`Aio::go_on`].
    ///
    /// # Errors
    /// When there is none, as in the embedded shape, or it does not run.
    pub fn pause(&self, role: Role, number: usize) -> Result<()> {
        self.is_ours()?;
        self.house.one(role, number)?.pause()
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Aio::pause`].
    pub fn go_on(&self, role: Role, number: usize) -> Result<()> {
        self.is_ours()?;
        self.house.one(role, number)?.go_on()
    }
}
