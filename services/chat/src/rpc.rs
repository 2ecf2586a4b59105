//! `aio.chat.v1.Chat`: wire to domain, call, domain to wire. No decisions.

use std::sync::Arc;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use proto::{
    chat::v1::{CompleteRequest, chat_server},
    context_from_wire, id_from_wire,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{Service, complete::complete, fault::internal, listener::Item, plan::Submission};

/// The server side of the service.
pub struct Rpc {
    service: Arc<Service>,
}

// === impl Rpc ===

impl Rpc {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl chat_server::Chat for Rpc {
    type CompleteStream = BoxStream<'static, Item>;

    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<Self::CompleteStream>, Status> {
        let request = request.into_inner();
        let submission = Submission {
            caller: context_from_wire(request.context)?,
            operation: id_from_wire(&request.operation_id)?,
            body: request.body,
            models: request.models,
            idempotency_key: Some(request.idempotency_key).filter(|key| !key.is_empty()),
        };
        let mut events = complete(&self.service, submission)?;
        // The first event, or the status that stands for all of them.
        let first = events
            .recv()
            .await
            .unwrap_or_else(|| Err(internal().into()))?;
        let rest = ReceiverStream::new(events);
        Ok(Response::new(stream::iter([Ok(first)]).chain(rest).boxed()))
    }
}
