//! The listener for calls of other services: lets in who shows a token, counts what is open, answers health and reflection.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tonic::{Status, body::Body, service::Routes};
use tonic_health::{ServingStatus, server::health_reporter};
use tower::{Service, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tracing::{Span, debug, warn};

use super::{
    Answer, Callers, Error, ServerLimits,
    callers::Verdict,
    direct::Wire,
    incoming,
    line::{Line, Watched},
    open,
};
use crate::Tasks;

/// What anybody may ask: whether we are well. Orchestrators hold no token.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What a server needs beside its services.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Who may call.
    pub callers: Callers,
    /// Limits of being called.
    pub limits: ServerLimits,
    /// An encoded `FileDescriptorSet` of the services, for reflection: `proto::DESCRIPTORS`.
    pub descriptors: &'static [u8],
}

/// Serves `routes` until told to stop, then takes no new connection or call, says so on open connections, and lets open calls
/// go on; each connection is one of the `tasks`, so that stopping waits for them as long as it has patience. Beside the
/// routes there are health (`grpc.health.v1`, open to all) and reflection (with a token).
///
/// # Errors
/// When the descriptors are not a `FileDescriptorSet`.
pub fn serve(
    listener: TcpListener,
    routes: Routes,
    serving: Serving,
    tasks: Tasks,
) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
    let (mut reporter, health) = health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(serving.descriptors)
        .build_v1()
        .map_err(Error::Descriptors)?;
    let router = routes
        .add_service(health)
        .add_service(reflection)
        .prepare()
        .into_axum_router();
    let answers = service_fn(move |request: Request<Body>| {
        let answer = router.clone().oneshot(request);
        async move { answer.await.map(|answer| answer.map(Body::new)) }
    });
    let door = Door {
        callers: serving.callers,
        calls: Arc::new(Semaphore::new(serving.limits.max_calls)),
        inner: BoxCloneSyncService::new(incoming(answers)),
        line: Line::new(serving.limits.keepalive_timeout / 2),
    };
    Ok(async move {
        accept(&listener, &door, &serving.limits, &tasks).await;
        drop(listener);
        // Those who watch are told, and their streams end.
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
        reporter.clear_service_status("").await;
    })
}

async fn accept(listener: &TcpListener, door: &Door, limits: &ServerLimits, tasks: &Tasks) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let builder = builder(limits);
    loop {
        let accepted = tokio::select! {
            accepted = next(listener, &slots) => accepted,
            () = tasks.stopping() => return,
        };
        let Some((stream, slot)) = accepted else {
            continue;
        };
        let connection = Connection {
            door: Door {
                // Half of what a ping is waited for: who leaves is heard at that moment, and who is lost was not for all of it.
                line: Line::new(limits.keepalive_timeout / 2),
                ..door.clone()
            },
            builder: builder.clone(),
            limits: limits.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(Span::none(), async move {
            connection.run(stream).await;
            drop(slot);
        });
    }
}

async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _address)) => Some((stream, slot)),
        Err(error) => {
            // Out of file descriptors, mostly: a pause lets some connections end.
            warn!(%error, "cannot accept a connection");
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn builder(limits: &ServerLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_header_list_size(limits.max_header_bytes)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

struct Connection {
    door: Door,
    builder: http2::Builder<TokioExecutor>,
    limits: ServerLimits,
    tasks: Tasks,
}

// === impl Connection ===

impl Connection {
    async fn run(self, stream: TcpStream) {
        if self.prepare(&stream).is_err() || !self.speaks(&stream).await {
            return;
        }
        let line = self.door.line.clone();
        let service = TowerToHyperService::new(self.door.clone());
        let socket = TokioIo::new(Watched::new(stream, line.clone()));
        let mut connection = pin!(self.builder.serve_connection(socket, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.tasks.stopping() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = sleep(self.age()) => {
                connection.as_mut().graceful_shutdown();
                let Ok(ended) = timeout(self.limits.age.grace, connection.as_mut()).await else {
                    line.cut();
                    return;
                };
                ended
            }
        };
        if let Err(error) = ended {
            debug!(%error, "connection ended early");
        }
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        SockRef::from(stream).set_tcp_user_timeout(Some(self.limits.write_timeout))
    }

    /// Waits for the first byte: the handshake has no timeout of its own.
    async fn speaks(&self, stream: &TcpStream) -> bool {
        let mut first_byte = [0];
        tokio::select! {
            first = timeout(self.limits.first_byte_timeout, stream.peek(&mut first_byte)) => matches!(first, Ok(Ok(1))),
            () = self.tasks.stopping() => false,
        }
    }

    fn age(&self) -> Duration {
        let age = &self.limits.age;
        let taken_off = rand::random_range(Duration::ZERO..=age.spread);
        age.longest.saturating_sub(taken_off)
    }
}

/// Stands before the services: looks at the token, and counts what is open.
#[derive(Clone)]
struct Door {
    callers: Callers,
    calls: Arc<Semaphore>,
    inner: Wire,
    /// What its calls come by.
    line: Line,
}

// === impl Door ===

impl Door {
    fn refusal(&self, request: &Request<Incoming>) -> Option<Status> {
        match self.callers.judge(request.headers()) {
            Verdict::Welcome => None,
            Verdict::NotHere => Some(Status::permission_denied("this role may not call here")),
            Verdict::Stranger => Some(Status::unauthenticated("a service's token is needed")),
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let mut request = request;
        request.extensions_mut().insert(self.line.clone());
        let request_body = |body: Incoming| Body::new(body);
        if request.uri().path().starts_with(HEALTH) {
            let Ok(answer) = self.inner.oneshot(request.map(request_body)).await;
            return answer;
        }
        if let Some(refusal) = self.refusal(&request) {
            return refusal.into_http();
        }
        // Not waiting for a place: what waits here would be late, and the caller knows better what to do.
        let Ok(place) = Arc::clone(&self.calls).try_acquire_owned() else {
            return Status::resource_exhausted("too many open calls").into_http();
        };
        let Ok(answer) = self.inner.oneshot(request.map(request_body)).await;
        open::hold(answer, place)
    }
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answer {
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request).await) })
    }
}
