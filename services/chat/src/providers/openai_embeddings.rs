//! OpenAI's protocol of embeddings, as OpenAI and Google's compatible endpoint speak it. An answer comes whole.

use async_trait::async_trait;
use bytes::Bytes;
use chassis::config::Access;
use serde::Deserialize;
use serde::de::IgnoredAny;
use upstream::{Call, Failure, ProviderClient};

use super::{Adapter, Answer, Chunk, Endpoint, Order, Unusable, openai::endpoint, refusal};
use crate::edit::embeddings_body;

/// The adapter.
pub(crate) struct OpenAiEmbeddings {
    client: ProviderClient,
}

/// What makes an answer one.
#[derive(Deserialize)]
struct Whole {
    data: Option<Vec<IgnoredAny>>,
}

// === impl OpenAiEmbeddings ===

impl OpenAiEmbeddings {
    pub(crate) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Adapter for OpenAiEmbeddings {
    fn endpoint(&self, access: &Access, model: &str) -> Result<Endpoint, Unusable> {
        endpoint(access, "embeddings", model)
    }

    async fn ask(&self, to: &Endpoint, order: Order<'_>) -> Result<Answer, Failure> {
        let body = embeddings_body(order.body, order.request, &to.model);
        let call = Call::post(to.url.clone(), to.headers.clone(), body);
        let reply = self.client.send(call, refusal::classify).await?;
        whole(reply.bytes().await?).map(Answer::Whole)
    }
}

/// A JSON object with vectors, and no error.
fn whole(body: Bytes) -> Result<Chunk, Failure> {
    let chunk = Chunk::of(body);
    let (signs, body) = (chunk.signs, &chunk.data);
    if let Some(failure) = signs.error.then(|| refusal::reported(body)).flatten() {
        return Err(failure);
    }
    match serde_json::from_slice::<Whole>(body) {
        Ok(Whole { data: Some(data) }) if !data.is_empty() => Ok(chunk),
        Ok(_) => Err(Failure::malformed("the answer has no embeddings")),
        Err(_) => Err(Failure::malformed("the answer is not JSON")),
    }
}
