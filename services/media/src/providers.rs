//! The providers of media: one adapter a file. An adapter speaks one wire protocol and nothing else: it does not retry,
//! keep state, know prices or decide whether a task fails.

mod bfl;
mod fal;
mod fastapi;
mod kie;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use chassis::config::Access;
use serde_json::{Map, Value};
use upstream::{Class, Failure, ProviderClient, Verdict};

/// A provider's wire protocol.
#[async_trait]
pub(crate) trait MediaProvider: Send + Sync {
    /// Submits a job, once. A failure says whether the provider may have taken it.
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure>;

    /// Asks how a job stands.
    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure>;
}

/// What a provider is asked to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    /// What the provider calls the model.
    pub model: &'a str,
    /// What it is sent: resolved parameters, in its own names where the catalogue has some for it.
    pub parameters: &'a Map<String, Value>,
}

/// The provider took the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// What [`MediaProvider::check`] needs to find it again, after a restart and at another address of ours too.
    pub job: String,
}

/// How a job stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Not done.
    Running {
        /// 0 to 100, where the provider tells.
        percent: Option<i64>,
    },
    /// Done: where the files are, for a short while.
    Done {
        /// The provider's URLs. They never leave the house.
        files: Vec<String>,
    },
    /// Over, without a result.
    Failed(Failure),
    /// The provider does not know the job (yet).
    Missing,
}

/// The provider's content policy refused a request, or what it made of one.
fn moderated(words: &str) -> Failure {
    Failure::reported(Verdict::with_detail(Class::Moderated, words))
}

/// The adapters, by the name the catalogue uses.
pub(crate) type Providers = HashMap<&'static str, Arc<dyn MediaProvider>>;

/// Every adapter.
pub(crate) fn all(client: &ProviderClient) -> Providers {
    let bfl: Arc<dyn MediaProvider> = Arc::new(bfl::Bfl::new(client.clone()));
    let fal: Arc<dyn MediaProvider> = Arc::new(fal::Fal::new(client.clone()));
    let kie: Arc<dyn MediaProvider> = Arc::new(kie::Kie::new(client.clone()));
    HashMap::from([("bfl", bfl), ("fal", fal), ("kie", kie)])
}
