//! The mock upstream: answers OpenAI's chat completions with the same 300 bytes every time, so that what is measured is
//! whoever stands before it. Markers anywhere in the request steer it: `@lat=50@` waits 50 ms before the answer, whatever path is asked;
//! `@n=100@` and `@int=10@` make a stream of 100 chunks, one every 10 ms. What is below `/studio` is another provider: `studio.rs`.

use crate::{
    serve::serve,
    studio::{self, Studio, marker},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    service::service_fn,
};
use memchr::memmem;
use std::{convert::Infallible, sync::Arc, time::Duration};

type Body = UnsyncBoxBody<Bytes, Infallible>;

const ANSWER: &str = r#"{"id":"chatcmpl-mock0001","object":"chat.completion","created":1760000000,"model":"mock","system_fingerprint":"fp_mock","choices":[{"index":0,"message":{"role":"assistant","content":"A lighthouse keeper counts the ships that pass at night and writes each of them down, its lamps, its course and the hour, in a book with a blue cover. In the morning the harbour master reads the book aloud, and nobody in the village needs to ask anymore which of the boats came home before the storm."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":64,"total_tokens":124}}"#;
/// What every event of a stream begins with.
const EVENT: &str = r#"data: {"id":"chatcmpl-mock0001","object":"chat.completion.chunk","created":1760000000,"model":"mock","system_fingerprint":"fp_mock","#;
const NOT_FOUND: &str = r#"{"error":{"message":"the mock upstream knows chat/completions only"}}"#;
/// Chunks of a stream that does not say.
const CHUNKS: u64 = 100;

/// Serves until the benchmark ends.
pub(crate) async fn mock() -> anyhow::Result<()> {
    let studio = Arc::new(Studio::new());
    serve(service_fn(move |request| {
        answer(Arc::clone(&studio), request)
    }))
    .await
}

async fn answer(
    studio: Arc<Studio>,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    if request.uri().path().starts_with(studio::PATH) {
        return in_studio(&studio, request).await;
    }
    let known = request.uri().path().ends_with("/chat/completions");
    let body = request.into_body().collect().await?.to_bytes();
    if let Some(milliseconds) = marker(&body, b"@lat=") {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    if !known {
        return Ok(not_found());
    }
    Ok(if is_true(&body, b"\"stream\"") {
        streamed(&body)
    } else {
        whole(ANSWER)
    })
}

async fn in_studio(
    studio: &Studio,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let uri = request.uri().clone();
    let path = uri.path().strip_prefix(studio::PATH).unwrap_or_default();
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let asked = (path, uri.query().unwrap_or_default());
    Ok(match studio.answer(asked, &host, &body) {
        studio::Answer::Json(json) => {
            let body = Full::new(Bytes::from(json.to_string()));
            typed("application/json", body.boxed_unsync())
        }
        studio::Answer::Picture(bytes) => typed("image/png", Full::new(bytes).boxed_unsync()),
        studio::Answer::Unknown => not_found(),
    })
}

fn not_found() -> Response<Body> {
    let mut response = whole(NOT_FOUND);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn whole(text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    typed("application/json", body.boxed_unsync())
}

fn streamed(request: &[u8]) -> Response<Body> {
    let chunks = marker(request, b"@n=").unwrap_or(CHUNKS);
    let pause = Duration::from_millis(marker(request, b"@int=").unwrap_or_default());
    let first = event(
        r#"{"role":"assistant","content":"twenty bytes of text"}"#,
        "null",
    );
    let middle = event(r#"{"content":"twenty bytes of text"}"#, "null");
    let mut last = event("{}", r#""stop""#);
    if is_true(request, b"\"include_usage\"") {
        last = format!(
            "{last}{EVENT}\"choices\":[],\"usage\":{{\"prompt_tokens\":60,\"completion_tokens\":{chunks},\"total_tokens\":{}}}}}\n\n",
            chunks.saturating_add(60)
        );
    }
    let last = Bytes::from(last + "data: [DONE]\n\n");
    let (first, middle) = (Bytes::from(first), Bytes::from(middle));
    let events = stream::iter(0..=chunks).then(move |number| {
        let event = match number {
            number if number == chunks => last.clone(),
            0 => first.clone(),
            _ => middle.clone(),
        };
        async move {
            // Without a pause, give way between events, so that each is written for itself.
            if number > 0 && pause.is_zero() {
                tokio::task::yield_now().await;
            } else if number > 0 {
                tokio::time::sleep(pause).await;
            }
            Ok(Frame::data(event))
        }
    });
    typed(
        "text/event-stream",
        BodyExt::boxed_unsync(StreamBody::new(events)),
    )
}

fn event(delta: &str, finish_reason: &str) -> String {
    format!(
        "{EVENT}\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish_reason}}}]}}\n\n"
    )
}

fn typed(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// Whether the request sets the field `name` (with its quotes) to `true`.
fn is_true(request: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(request, name).any(|start| {
        let rest = request.get(start + name.len()..).unwrap_or_default();
        let value: Vec<u8> = rest
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .take(5)
            .collect();
        value == b":true"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_set_only_by_true() {
        assert!(is_true(
            br#"{"a":"\"stream\"","stream" : true}"#,
            b"\"stream\""
        ));
        assert!(!is_true(br#"{"stream":false}"#, b"\"stream\""));
        assert!(!is_true(b"{}", b"\"stream\""));
    }

    #[tokio::test]
    async fn a_stream_has_its_chunks_its_usage_and_its_end() {
        let request = br#"{"stream":true,"stream_options":{"include_usage":true},"x":"@n=3@"}"#;
        let body = streamed(request)
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(text.matches("twenty bytes of text").count(), 3);
        assert!(text.contains(r#""completion_tokens":3"#) && text.ends_with("data: [DONE]\n\n"));
        let json = text
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: {"));
        for event in json {
            serde_json::from_str::<serde_json::Value>(&format!("{{{event}")).unwrap();
        }
    }

    #[test]
    fn the_answer_is_json_with_300_bytes_of_content() {
        let answer: serde_json::Value = serde_json::from_str(ANSWER).unwrap();
        let content = answer.pointer("/choices/0/message/content").unwrap();
        assert_eq!(content.as_str().unwrap().len(), 300);
    }
}
