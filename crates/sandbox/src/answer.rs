//! Answers that all simulated providers need, the broken ones above all: silence, dropped connections, cut bodies.

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use chassis::Tasks;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::Value;

use crate::directive::{Directive, Outcome};

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response {
    text(status, "application/json", body.to_string().into())
}

/// `object` with one more field.
pub(crate) fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    object
}

/// An answer that says it is JSON and breaks off after a few bytes of it.
pub(crate) fn malformed() -> Response {
    text(
        StatusCode::OK,
        "application/json",
        Bytes::from_static(b"{\"id\": \"sandbox\", \"status\": \"Rea"),
    )
}

/// An answer with any body.
pub(crate) fn text(status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Server-sent events.
pub(crate) fn event_stream<S>(events: S) -> Response
where
    S: Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
{
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A connection dropped before any byte of an answer: the HTTP/1 server writes head and first piece together, and a body
/// that fails at once closes the connection before that.
pub(crate) fn vanish() -> Response {
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, _>(broken())])))
}

/// Silence until the caller gives up or the process stops.
pub(crate) async fn hang(tasks: &Tasks) -> Response {
    tasks.stopping().await;
    vanish()
}

/// The first half of `whole`, under a head that promises all of it; then the connection drops.
pub(crate) fn cut(mut whole: Response, body: &Bytes) -> Response {
    let half = body.slice(..body.len() / 2);
    let length = HeaderValue::from(body.len());
    whole.headers_mut().insert(header::CONTENT_LENGTH, length);
    *whole.body_mut() = Body::from_stream(then_broken(stream::iter([half])));
    whole
}

/// The pieces, all of them sent, and then a dropped connection.
pub(crate) fn then_broken<S>(pieces: S) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send
where
    S: Stream<Item = Bytes> + Send,
{
    let end = stream::once(async {
        // The server flushes when the body has nothing to give, and only then.
        tokio::task::yield_now().await;
        Err(broken())
    });
    pieces.map(Ok).chain(end)
}

/// All events of a stream, or as many of them as its directive lets through: then it is cut, or hangs until the process stops.
/// `usual` is how many come before a cut that does not say it.
pub(crate) fn let_through<S>(
    events: S,
    (directive, usual): (&Directive, usize),
    tasks: &Tasks,
) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let after = directive
        .after
        .map(|after| usize::try_from(after).unwrap_or(usize::MAX));
    match (directive.outcome, after) {
        (Outcome::Cut, after) => {
            event_stream(then_broken(events.take(after.unwrap_or(usual))).boxed())
        }
        (Outcome::Hang, Some(after)) => {
            let tasks = tasks.clone();
            let silence = stream::once(async move {
                tasks.stopping().await;
                Err(broken())
            });
            event_stream(events.take(after).map(Ok).chain(silence).boxed())
        }
        _ => event_stream(events.map(Ok)),
    }
}

/// Where the caller found this server: `http://host:port`.
pub(crate) fn origin(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str))?;
    Some(format!("http://{host}"))
}

fn broken() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionReset)
}
