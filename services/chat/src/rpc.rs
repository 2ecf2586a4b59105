//! `aio.chat.v1.Chat`: wire to domain, call, domain to wire. No decisions.

mod operator;

use std::sync::Arc;

use chassis::{clock::now_micros, mint, rpc::Line};
use domain::{Micros, Moment};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use proto::{
    Fault,
    chat::v1::{
        CompleteRequest, DeleteResponseReply, DeleteResponseRequest, GetResponseRequest,
        KeepResponseReply, KeepResponseRequest, KeptResponse, QuoteRequest, chat_server,
    },
    common::v1::{Context, Quote},
    context_from_wire, id_from_wire,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    Service,
    complete::complete,
    fault::internal,
    listener::Item,
    plan::Submission,
    quote::quote,
    responses::{Part, Place},
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
            cache_max_age: request.cache_max_age,
            at: now(),
        };
        let mut events = complete(&self.service, submission, line).await?;
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
            cache_max_age: None,
            at: now(),
        };
        Ok(Response::new(quote(&self.service, submission).await?))
    }

    async fn keep_response(
        &self,
        request: Request<KeepResponseRequest>,
    ) -> Result<Response<KeepResponseReply>, Status> {
        let request = request.into_inner();
        let place = place(request.context, &request.operation_id)?;
        let response = request.response.ok_or_else(internal)?;
        let kept = self.service.responses.keep(place, &response).await;
        let kept = kept.map_err(Fault::from)?;
        Ok(Response::new(KeepResponseReply { kept }))
    }

    async fn get_response(
        &self,
        request: Request<GetResponseRequest>,
    ) -> Result<Response<KeptResponse>, Status> {
        let request = request.into_inner();
        let place = place(request.context, &request.operation_id)?;
        let part = if request.conversation {
            Part::Conversation
        } else {
            Part::Object
        };
        let response = self.service.responses.get(place, part).await?;
        Ok(Response::new(response))
    }

    async fn delete_response(
        &self,
        request: Request<DeleteResponseRequest>,
    ) -> Result<Response<DeleteResponseReply>, Status> {
        let request = request.into_inner();
        let place = place(request.context, &request.operation_id)?;
        self.service.responses.delete(place).await?;
        Ok(Response::new(DeleteResponseReply {}))
    }
}

fn place(context: Option<Context>, operation: &[u8]) -> Result<Place, Status> {
    let caller = context_from_wire(context)?;
    Ok(Place {
        account: caller.account,
        mode: caller.mode,
        operation: id_from_wire(operation)?,
    })
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
