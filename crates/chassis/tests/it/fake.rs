//! A service that does what it is told, and the caller's side of it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chassis::rpc::{self, Channel};
use futures::{Stream, StreamExt as _, stream};
use proto::{
    Fault,
    chat::v1::{
        self as chat, CompleteEvent, CompleteRequest, QuoteRequest, chat_caller::ChatCaller,
        chat_server::Chat, complete_event::Event,
    },
    code,
    common::v1::{Context, Quote},
    direct::Messages,
    webhooks::v1::{
        self as wire, GetSecretRequest, PublishReply, PublishRequest, Secret,
        webhooks_caller::WebhooksCaller, webhooks_server::Webhooks,
    },
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// Longer than any test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Streams of so many events panic at the second.
pub(crate) const CRASHES: usize = 13;

/// The service.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) name: String,
    /// Whom it calls in turn.
    pub(crate) next: Option<Channel>,
    /// Calls that were dropped before they were answered.
    pub(crate) dropped: Arc<AtomicUsize>,
    /// Streams wait for one of these before each event but the first.
    pub(crate) go_on: Arc<Semaphore>,
}

struct Dropped(Arc<AtomicUsize>);

// === impl Fake ===

impl Fake {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            next: None,
            dropped: Arc::default(),
            go_on: Arc::new(Semaphore::new(0)),
        }
    }

    async fn obey(&self, word: &str) -> Result<String, Status> {
        match word {
            "name" => Ok(self.name.clone()),
            "left" => Ok(rpc::time_left().unwrap().as_millis().to_string()),
            "hop" => {
                let next = self.next.clone().unwrap();
                ask_within(&next, "left", Duration::from_secs(60)).await
            }
            "hang" => {
                let _dropped = Dropped(Arc::clone(&self.dropped));
                std::future::pending().await
            }
            "large" => Ok("x".repeat(64 * 1024)),
            "refuse" => Err(Fault::of(code::INSUFFICIENT_CREDITS).into()),
            "crash" => panic!("as told"),
            "stop the world" => {
                // The only worker of this server's runtime: nothing is answered any more, and nothing closed.
                std::thread::park_timeout(Duration::from_secs(20));
                Ok(String::new())
            }
            _ => Err(Status::invalid_argument("no such word")),
        }
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl Webhooks for Fake {
    async fn publish(
        &self,
        _request: Request<PublishRequest>,
    ) -> Result<Response<PublishReply>, Status> {
        Ok(Response::new(PublishReply {}))
    }

    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<Secret>, Status> {
        let word = request.into_inner().context.unwrap().request_id;
        let secret = self.obey(&word).await?;
        Ok(Response::new(Secret { secret }))
    }

    async fn list_deliveries(
        &self,
        _: Request<wire::ListDeliveriesRequest>,
    ) -> Result<Response<wire::ListDeliveriesReply>, Status> {
        Err(Status::unimplemented("nobody asks this one for deliveries"))
    }
}

#[tonic::async_trait]
impl Chat for Fake {
    type CompleteStream = Pin<Box<dyn Stream<Item = Result<CompleteEvent, Status>> + Send>>;

    /// As many events as the body has bytes, each the server's name.
    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<Self::CompleteStream>, Status> {
        let count = request.into_inner().body.len();
        let (name, go_on) = (self.name.clone(), Arc::clone(&self.go_on));
        let events = stream::iter(0..count).then(move |index| {
            let (name, go_on) = (name.clone(), Arc::clone(&go_on));
            async move {
                assert!(count != CRASHES || index == 0, "as told");
                if index > 0 {
                    go_on.acquire().await.unwrap().forget();
                }
                Ok(CompleteEvent {
                    event: Some(Event::Data(name.into())),
                })
            }
        });
        Ok(Response::new(events.boxed()))
    }

    async fn quote(&self, _request: Request<QuoteRequest>) -> Result<Response<Quote>, Status> {
        Err(Status::unimplemented("nobody asks this one for a price"))
    }

    async fn keep_response(
        &self,
        _: Request<chat::KeepResponseRequest>,
    ) -> Result<Response<chat::KeepResponseReply>, Status> {
        Err(Status::unimplemented("this one keeps nothing"))
    }

    async fn get_response(
        &self,
        _: Request<chat::GetResponseRequest>,
    ) -> Result<Response<chat::KeptResponse>, Status> {
        Err(Status::unimplemented("this one keeps nothing"))
    }

    async fn delete_response(
        &self,
        _: Request<chat::DeleteResponseRequest>,
    ) -> Result<Response<chat::DeleteResponseReply>, Status> {
        Err(Status::unimplemented("this one keeps nothing"))
    }
}

/// Asks the service to do `word`.
pub(crate) async fn ask(channel: &Channel, word: &str) -> Result<String, Status> {
    ask_within(channel, word, PATIENCE).await
}

/// Asks the service to do `word` in a given time.
pub(crate) async fn ask_within(
    channel: &Channel,
    word: &str,
    budget: Duration,
) -> Result<String, Status> {
    let message = GetSecretRequest {
        context: Some(Context {
            request_id: word.to_owned(),
            ..Context::default()
        }),
    };
    let mut client = WebhooksCaller::new(channel.clone());
    let answer = client.get_secret(rpc::request(message, budget)).await?;
    Ok(answer.into_inner().secret)
}

/// Opens a stream of `count` events.
pub(crate) async fn open(
    channel: &Channel,
    count: usize,
) -> Result<Messages<CompleteEvent>, Status> {
    let message = CompleteRequest {
        body: vec![0; count].into(),
        ..CompleteRequest::default()
    };
    let mut client = ChatCaller::new(channel.clone());
    let answer = client.complete(rpc::request(message, PATIENCE)).await?;
    Ok(answer.into_inner())
}

/// The text of a stream's next event; `None` at its end.
pub(crate) async fn next(stream: &mut Messages<CompleteEvent>) -> Result<Option<String>, Status> {
    Ok(stream.message().await?.map(|event| match event.event {
        Some(Event::Data(name)) => String::from_utf8(name.to_vec()).unwrap(),
        other => panic!("not data: {other:?}"),
    }))
}

/// Waits until `holds` does.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
