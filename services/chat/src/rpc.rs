//! `aio.chat.v1.Chat`: wire to domain, call, domain to wire. No decisions.

use std::sync::Arc;

use chassis::{clock::now_micros, mint, rpc::Line};
use domain::{Micros, Moment};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use proto::{
    chat::v1::{CompleteRequest, QuoteRequest, chat_server},
    common::v1::Quote,
    context_from_wire, id_from_wire,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    Service, complete::complete, fault::internal, listener::Item, plan::Submission, quote::quote,
    surface::Surface,
};

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
        let line = request.extensions().get::<Line>().cloned();
        let request = request.into_inner();
        let submission = Submission {
            surface: surface(&request.route)?,
            caller: context_from_wire(request.context)?,
            operation: id_from_wire(&request.operation_id)?,
            body: request.body,
            models: request.models,
            idempotency_key: Some(request.idempotency_key).filter(|key| !key.is_empty()),
            max_cost: limit(request.max_cost),
            at: now(),
        };
        let mut events = complete(&self.service, submission, line)?;
        // The first event, or the status that stands for all of them.
        let first = events
            .recv()
            .await
            .unwrap_or_else(|| Err(internal().into()))?;
        let rest = ReceiverStream::new(events);
        Ok(Response::new(stream::iter([Ok(first)]).chain(rest).boxed()))
    }

    async fn quote(&self, request: Request<QuoteRequest>) -> Result<Response<Quote>, Status> {
        let request = request.into_inner();
        let submission = Submission {
            surface: surface(&request.route)?,
            caller: context_from_wire(request.context)?,
            operation: mint(),
            body: request.body,
            models: request.models,
            idempotency_key: None,
            max_cost: limit(request.max_cost),
            at: now(),
        };
        Ok(Response::new(quote(&self.service, submission).await?))
    }
}

fn surface(route: &str) -> Result<Surface, Status> {
    Ok(Surface::parse(route).ok_or_else(internal)?)
}

/// The customer's own limit of the cost, if there is one.
fn limit(micros: i64) -> Option<Micros> {
    (micros > 0).then(|| Micros::new(micros))
}

fn now() -> Moment {
    Moment::from_micros(now_micros())
}
