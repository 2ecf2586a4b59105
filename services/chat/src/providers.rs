//! The seam to providers: ask once, and get OpenAI's objects back, whatever the provider speaks. One file per wire protocol.

mod anthropic;
mod completion;
mod gemini;
mod inputs;
mod members;
mod openai;
mod openai_embeddings;
mod refusal;
mod said;
mod told;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chassis::config::Access;
use domain::{Dialect, Secret};
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use upstream::{Failure, GuardedClient, ProviderClient};
use url::Url;

pub(crate) use self::inputs::Fetched;
use self::inputs::Inputs;
use crate::{
    Config,
    request::Request,
    scan::{Signs, scan},
};

/// Where one model is at one provider, and what opens the door. Its headers hold the credential.
pub(crate) struct Endpoint {
    /// The whole address.
    pub(crate) url: Url,
    /// Every header of a call.
    pub(crate) headers: HeaderMap,
    /// What the provider calls the model.
    pub(crate) model: String,
    /// What the provider spells its own way.
    pub(crate) dialect: Dialect,
}

// === impl Endpoint ===

impl Endpoint {
    /// A path below the base URL, for JSON, with the operator's own headers.
    pub(crate) fn new(access: &Access, path: &str, model: &str) -> Result<Self, Unusable> {
        let url = access.base_url.join(path);
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        for (name, value) in &access.headers {
            headers.insert(name.clone(), value.clone());
        }
        Ok(Self {
            url: url.map_err(|_| Unusable::BaseUrl)?,
            headers,
            model: model.to_owned(),
            dialect: access.dialect,
        })
    }

    /// With the credential in a header, unless the server asks for none or the operator has put another there.
    pub(crate) fn with_credential(
        self,
        name: HeaderName,
        credential: Option<&Secret>,
    ) -> Result<Self, Unusable> {
        let Some(credential) = credential else {
            return Ok(self);
        };
        let value = HeaderValue::from_str(credential.expose());
        let mut value = value.map_err(|_| Unusable::Credential)?;
        value.set_sensitive(true);
        Ok(self.with(name, value))
    }

    /// With one more header, unless the operator has put another there.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.entry(name).or_insert(value);
        self
    }
}

/// Why a provider cannot be asked as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its base URL takes no path.
    BaseUrl,
    /// Its credential cannot stand in a header.
    Credential,
}

/// One request, as every candidate is asked it.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    /// The customer's JSON.
    pub(crate) body: &'a Bytes,
    /// What was read out of it.
    pub(crate) request: &'a Request,
    /// The most output of one choice, in tokens: what the hold pays for.
    pub(crate) max_output: u64,
    /// What is done with the URLs of its media, where the provider does not fetch them itself.
    pub(crate) urls: Urls<'a>,
}

/// URLs of media.
#[derive(Clone, Copy)]
pub(crate) enum Urls<'a> {
    /// Nothing is fetched for a test key: the sandbox is shown the URL.
    Shown,
    /// Nothing is fetched yet.
    Unfetched,
    /// These were fetched: all there are.
    Fetched(&'a Fetched),
}

/// A provider's answer.
pub(crate) enum Answer {
    /// One JSON object, with what it holds.
    Whole(Chunk),
    /// A stream that has begun well: its first event, and the others.
    Stream(Chunk, Pieces),
}

/// The rest of a stream. It ends after [`Piece::Done`] or a failure; one that ends without either was cut.
pub(crate) type Pieces = BoxStream<'static, Result<Piece, Failure>>;

/// What a stream consists of.
pub(crate) enum Piece {
    /// The data of one event.
    Chunk(Chunk),
    /// The provider said that nothing follows.
    Done,
}

/// One JSON object of a provider, and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) data: Bytes,
    pub(crate) signs: Signs,
    /// The generated text in it, as it is written there: JSON's escapes included.
    pub(crate) text: Bytes,
}

// === impl Chunk ===

impl Chunk {
    /// Looks at what came, once. One text is not copied; several are joined.
    pub(crate) fn of(data: Bytes) -> Self {
        let (mut first, mut joined) = (&[][..], Vec::new());
        let signs = scan(&data, |text| {
            if first.is_empty() {
                first = text;
            } else {
                if joined.is_empty() {
                    joined.extend_from_slice(first);
                }
                joined.extend_from_slice(text);
            }
        });
        let text = if joined.is_empty() {
            data.slice_ref(first)
        } else {
            Bytes::from(joined)
        };
        Self { data, signs, text }
    }
}

/// A wire protocol.
#[async_trait]
pub(crate) trait Adapter: Send + Sync {
    /// Where a model is, and how the credential is shown there.
    ///
    /// # Errors
    /// When the base URL or the credential cannot be used.
    fn endpoint(&self, access: &Access, model: &str) -> Result<Endpoint, Unusable>;

    /// Whether the provider has words for all that is asked. [`Adapter::ask`] finds out by itself; this is for who only wants to know.
    ///
    /// # Errors
    /// The failure that asking would end in.
    fn check(&self, _order: Order<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether the provider fetches no URLs, so that [`Adapter::fetch`] must come before [`Adapter::ask`].
    fn inlines(&self) -> bool {
        false
    }

    /// Fetches what the request's URLs lead to.
    ///
    /// # Errors
    /// When one of them cannot be fetched.
    async fn fetch(&self, _order: Order<'_>) -> Result<Fetched, Failure> {
        Ok(Fetched::default())
    }

    /// Asks once. Dropping the future or the answer's stream stops the provider.
    ///
    /// # Errors
    /// When the provider fails before anything of its answer is good: see [`Failure::another_may_serve`].
    async fn ask(&self, endpoint: &Endpoint, order: Order<'_>) -> Result<Answer, Failure>;
}

/// Adapters by the name that model files use.
pub(crate) type Adapters = HashMap<&'static str, Arc<dyn Adapter>>;

/// Every adapter there is.
pub(crate) fn adapters(
    client: &ProviderClient,
    guard: &GuardedClient,
    config: &Config,
) -> Adapters {
    let timeout = config.whole_answer_timeout;
    let anthropic = anthropic::Anthropic::new(client.clone(), timeout);
    let anthropic: Arc<dyn Adapter> = Arc::new(anthropic);
    let inputs = Inputs::new(guard.clone(), config.calls.inputs.clone());
    let gemini = gemini::Gemini::new(client.clone(), inputs, timeout);
    let gemini: Arc<dyn Adapter> = Arc::new(gemini);
    let openai = openai::OpenAi::new(client.clone(), timeout);
    let openai: Arc<dyn Adapter> = Arc::new(openai);
    let embeddings = openai_embeddings::OpenAiEmbeddings::new(client.clone());
    let embeddings: Arc<dyn Adapter> = Arc::new(embeddings);
    Adapters::from([
        ("anthropic", anthropic),
        ("gemini", gemini),
        ("openai", openai),
        ("openai-embeddings", embeddings),
    ])
}
