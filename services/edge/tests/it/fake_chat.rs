//! A scripted chat: it says what a test told it, and keeps responses.

use bytes::Bytes;
use proto::{Fault, chat::v1 as chat, code, common::v1 as common};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::fakes::{ANSWER, FakeChat, quote, whole};

#[tonic::async_trait]
impl chat::chat_server::Chat for FakeChat {
    type CompleteStream = ReceiverStream<Result<chat::CompleteEvent, Status>>;

    async fn complete(
        &self,
        request: Request<chat::CompleteRequest>,
    ) -> Result<Response<Self::CompleteStream>, Status> {
        self.0
            .completions
            .lock()
            .unwrap()
            .push(request.into_inner());
        let plan = self.0.plans.lock().unwrap().pop_front();
        let Some(plan) = plan else {
            return Ok(Response::new(ReceiverStream::new(whole(ANSWER))));
        };
        if let Some(gate) = plan.gate {
            gate.notified().await;
        }
        let events = plan.answer.map_err(Status::from)?;
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn quote(
        &self,
        request: Request<chat::QuoteRequest>,
    ) -> Result<Response<common::Quote>, Status> {
        self.0
            .chat_quotes
            .lock()
            .unwrap()
            .push(request.into_inner());
        Ok(Response::new(quote()))
    }

    async fn keep_response(
        &self,
        request: Request<chat::KeepResponseRequest>,
    ) -> Result<Response<chat::KeepResponseReply>, Status> {
        let request = request.into_inner();
        let how = self.0.keeping.lock().unwrap().clone();
        let kept = how.unwrap_or(Ok(true)).map_err(Status::from)?;
        if kept {
            let response = request.response.unwrap();
            let place = place(request.context, request.operation_id);
            self.0.responses.lock().unwrap().insert(place, response);
        }
        Ok(Response::new(chat::KeepResponseReply { kept }))
    }

    async fn get_response(
        &self,
        request: Request<chat::GetResponseRequest>,
    ) -> Result<Response<chat::KeptResponse>, Status> {
        let request = request.into_inner();
        let place = place(request.context, request.operation_id);
        let found = self.0.responses.lock().unwrap().get(&place).cloned();
        let mut found = found.ok_or_else(gone)?;
        if request.conversation {
            found.object = Bytes::new();
        } else {
            found.conversation = Bytes::new();
        }
        Ok(Response::new(found))
    }

    async fn delete_response(
        &self,
        request: Request<chat::DeleteResponseRequest>,
    ) -> Result<Response<chat::DeleteResponseReply>, Status> {
        let request = request.into_inner();
        let place = place(request.context, request.operation_id);
        let found = self.0.responses.lock().unwrap().remove(&place);
        found.ok_or_else(gone)?;
        Ok(Response::new(chat::DeleteResponseReply {}))
    }
}

/// Whose response, and which.
fn place(context: Option<common::Context>, operation: Bytes) -> (Bytes, Bytes) {
    (context.unwrap().account_id, operation)
}

fn gone() -> Status {
    Fault::of(code::NOT_FOUND).into()
}
