//! `POST /chat/completions`, `POST /embeddings`, `POST /messages` and `POST /responses`. The body goes to chat as it came, and what comes
//! back leaves as it came; only messages and responses are in other words, and are translated both ways.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use chassis::{
    failpoint::{Point, reach},
    rpc,
};
use domain::{
    Micros, OperationId,
    catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE},
    ids::Operation,
};
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use proto::{
    Fault,
    chat::v1::{CompleteEvent, CompleteRequest, Head, Tail, complete_event::Event},
    code,
    common::v1::Context,
    direct::Messages,
    id_from_wire,
};
use tokio::time::timeout;

use crate::{
    App,
    anthropic::{self, events::Events},
    auth::{Inference, Scoped},
    body,
    error::ApiError,
    http::{cache, idempotency_key, json, max_cost, put, put_replayed, responses},
    responses::{answer, events::Events as Responses, renamed, turn::Turn},
    sse::{self, Form, Opened, Opening, Responding, Stage},
};

/// A route, and in whose words it is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Chat,
    Embeddings,
    Messages,
    Responses,
}

/// How an answer is written.
enum Told {
    /// As chat says it.
    AsItIs,
    Message,
    Response(Box<Turn>),
}

/// `POST /chat/completions`.
pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    run(&app, caller, request, Spoken::Chat).await
}

/// `POST /embeddings`.
pub(crate) async fn embed(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    run(&app, caller, request, Spoken::Embeddings).await
}

/// `POST /messages`.
pub(crate) async fn messages(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    run(&app, caller, request, Spoken::Messages).await
}

/// `POST /responses`.
pub(crate) async fn respond(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    run(&app, caller, request, Spoken::Responses).await
}

async fn run(
    app: &Arc<App>,
    caller: Scoped<Inference>,
    request: Request,
    spoken: Spoken,
) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let idempotency_key = idempotency_key(request.headers())?;
    let max_cost = max_cost(request.headers())?;
    let cache_max_age = cache::max_age(request.headers())?;
    let body = body::read(request, limits.bodies.chat, &limits.bodies).await?;
    let context = caller.context();
    let (body, told) = spoken.read(app, &context, body).await?;
    if cache_max_age.is_some() && told.is_kept() {
        return Err(cache::not_of_kept_responses());
    }
    let operation = chassis::mint::<Operation>();
    let mut opening = open(
        app,
        CompleteRequest {
            context: Some(context.clone()),
            operation_id: operation.to_vec().into(),
            body: body.clone(),
            models: caller.identity.models.clone(),
            idempotency_key,
            max_cost,
            cache_max_age,
            route: spoken.route().to_owned(),
        },
    );
    let opened = match timeout(limits.streams.first_event_wait, &mut opening).await {
        Ok(opened) => opened,
        Err(_elapsed) if spoken != Spoken::Embeddings && sse::wants_stream(&body) => {
            // A kept answer, which has another operation, does not take that long to be found.
            let stage = Stage::Opening(opening);
            let form = told.form((context, operation));
            let mut response = sse::respond(app, caller.request_id, form, stage);
            let headers = response.headers_mut();
            put(headers, "x-aio-operation-id", &operation.to_string());
            if cache_max_age.is_some() {
                cache::put_miss(headers);
            }
            return Ok(response);
        }
        Err(_elapsed) => opening.await,
    };
    // A whole answer may take minutes: what it was asked is no longer needed here.
    drop(body);
    let Opened { head, events } = opened.map_err(|error| told.complaint(error))?;
    let paid = paid_by(&head, operation)?;
    let mut response = if head.stream {
        let stage = Stage::Events(events);
        sse::respond(app, caller.request_id, told.form((context, paid)), stage)
    } else {
        let whole = whole(app, events).await;
        let (body, charged) = whole.map_err(|error| told.complaint(error))?;
        let mut response = json(
            StatusCode::OK,
            told.write(app, (context, paid), body).await?,
        );
        let cost = Micros::new(charged).to_string();
        put(response.headers_mut(), "x-aio-cost-credits", &cost);
        response
    };
    write_head(response.headers_mut(), &head, paid);
    Ok(response)
}

// === impl Spoken ===

impl Spoken {
    /// Its route, below `/api/v1/`.
    const fn route(self) -> &'static str {
        match self {
            Self::Chat => CHAT_ROUTE,
            Self::Embeddings => EMBEDDINGS_ROUTE,
            Self::Messages => MESSAGES_ROUTE,
            Self::Responses => RESPONSES_ROUTE,
        }
    }

    /// A request, as chat takes it, and how its answer is written.
    async fn read(
        self,
        app: &App,
        context: &Context,
        body: Bytes,
    ) -> Result<(Bytes, Told), ApiError> {
        match self {
            Self::Chat | Self::Embeddings => Ok((body, Told::AsItIs)),
            Self::Messages => Ok((anthropic::request::translated(&body)?, Told::Message)),
            Self::Responses => {
                let (turn, body) = responses::open(app, context.clone(), &body).await?;
                Ok((body, Told::Response(Box::new(turn))))
            }
        }
    }
}

// === impl Told ===

impl Told {
    /// A whole answer, as the customer reads it. One that is to be kept is kept before it leaves.
    async fn write(
        self,
        app: &Arc<App>,
        (context, operation): (Context, OperationId),
        body: Bytes,
    ) -> Result<Bytes, ApiError> {
        match self {
            Self::AsItIs => Ok(body),
            Self::Message => anthropic::answer::translated(&body, &message_id(operation))
                .ok_or_else(ApiError::internal),
            Self::Response(turn) => {
                let closed = answer::read(&turn, &body, operation);
                let mut closed = closed.ok_or_else(ApiError::internal)?;
                let keep = closed.keep.take();
                let kept = responses::keep(Arc::clone(app), (context, operation), keep).await;
                Ok(closed.told(kept).to_string().into())
            }
        }
    }

    /// Whether the answer is one that is kept under an id of its own.
    const fn is_kept(&self) -> bool {
        match self {
            Self::AsItIs | Self::Message => false,
            Self::Response(turn) => turn.keeps(),
        }
    }

    fn form(self, (context, operation): (Context, OperationId)) -> Form {
        match self {
            Self::AsItIs => Form::OpenAi,
            Self::Message => Form::Anthropic(Box::new(Events::new(message_id(operation)))),
            Self::Response(turn) => Form::Responses(Box::new(Responding {
                events: Responses::new(*turn, operation),
                place: (context, operation),
            })),
        }
    }

    /// What chat complains of, by the names that the customer knows.
    fn complaint(&self, error: ApiError) -> ApiError {
        match self {
            Self::AsItIs => error,
            Self::Message => anthropic::renamed(error.fault().clone()).into(),
            Self::Response(_) => renamed(error.fault().clone()).into(),
        }
    }
}

/// A message's id as Anthropic's look: that of the operation under another name.
fn message_id(operation: OperationId) -> String {
    operation.to_string().replacen("op_", "msg_", 1)
}

/// The operation that pays for an answer. A kept answer is that of an earlier one.
fn paid_by(head: &Head, own: OperationId) -> Result<OperationId, ApiError> {
    if head.operation_id.is_empty() {
        return Ok(own);
    }
    Ok(id_from_wire(&head.operation_id)?)
}

/// Who answers, for which operation.
fn write_head(headers: &mut HeaderMap, head: &Head, operation: OperationId) {
    put(headers, "x-aio-operation-id", &operation.to_string());
    put(headers, "x-aio-provider", &head.provider);
    // An answer that an older version kept does not say.
    if !head.model.is_empty() {
        put(headers, "x-aio-model", &head.model);
    }
    if head.replayed {
        put_replayed(headers);
    }
    cache::put_cached(headers, head);
}

/// Asks chat, and waits until it says who answers.
fn open(app: &Arc<App>, request: CompleteRequest) -> Opening {
    let app = Arc::clone(app);
    Box::pin(async move {
        let limits = &app.config.limits;
        let request = rpc::request(request, limits.deadlines.chat);
        reach(Point::EdgeBeforeForward);
        let mut events = app
            .clients
            .chat
            .clone()
            .complete(request)
            .await?
            .into_inner();
        let first = next(&app, &mut events).await?;
        match first {
            Event::Head(head) => Ok(Opened { head, events }),
            Event::Failed(fault) => Err(Fault::from_wire(fault, code::INTERNAL).into()),
            Event::Data(_) | Event::Tail(_) => Err(ApiError::internal()),
        }
    })
}

/// Waits for the whole answer, and what it was charged.
async fn whole(app: &App, mut events: Messages<CompleteEvent>) -> Result<(Bytes, i64), ApiError> {
    loop {
        match next(app, &mut events).await? {
            Event::Tail(Tail { data, charged }) => {
                // The end of the call has mostly come with it. A call that is left before is reset, which costs both sides.
                let _ = events.next().now_or_never();
                let body = data.into_iter().next().ok_or_else(ApiError::internal)?;
                return Ok((body, charged));
            }
            Event::Failed(fault) => return Err(Fault::from_wire(fault, code::INTERNAL).into()),
            Event::Head(_) | Event::Data(_) => {}
        }
    }
}

/// The next event; a stream that ends without its tail is a failure of ours.
async fn next(app: &App, events: &mut Messages<CompleteEvent>) -> Result<Event, ApiError> {
    loop {
        match timeout(app.config.limits.streams.chat_silence, events.next()).await {
            Ok(Some(Ok(CompleteEvent { event: Some(event) }))) => return Ok(event),
            // An event of a later version.
            Ok(Some(Ok(CompleteEvent { event: None }))) => {}
            Ok(Some(Err(status))) => return Err(status.into()),
            Ok(None) => return Err(ApiError::internal()),
            Err(_elapsed) => {
                let message = "the model said nothing for too long";
                return Err(ApiError::new(code::TIMEOUT, message));
            }
        }
    }
}
