//! Inputs that are files of the installation itself: the sandbox fetches them, as a real provider would, and decodes those that come
//! inline. Addresses elsewhere it leaves alone: test keys reach nobody.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;

use crate::Sandbox;

/// How long an input may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the installation is called back: such an address is no input.
const CALLBACKS: &str = "/api/v1/callbacks/";
/// What begins a text that is a file.
const DATA: &str = "data:";
/// What stands before the bytes of such a file.
const BASE64: &str = ";base64,";

/// Refuses a request with an input that cannot be fetched or decoded, in words for its sender.
pub(crate) async fn check(sandbox: &Sandbox, input: &Value) -> Result<(), String> {
    let mut texts = Vec::new();
    gather(input, &mut texts);
    for text in texts {
        if text.starts_with(DATA) && text.contains(BASE64) {
            decode(text)?;
        } else if let Some(url) = own(sandbox, text) {
            // However long it is: that it comes is enough.
            let mut bytes = 0_usize;
            let fetched = fetch(&url, |data| bytes = bytes.saturating_add(data.len()));
            let fetched = tokio::time::timeout(PATIENCE, fetched).await;
            if !matches!(fetched, Ok(Ok(()))) || bytes == 0 {
                return Err("an input could not be downloaded".to_owned());
            }
        }
    }
    Ok(())
}

/// The bytes of an input that came inline, or is of the installation itself.
pub(crate) async fn bytes(sandbox: &Sandbox, text: &str) -> Option<Vec<u8>> {
    if let Some((_, bytes)) = text.split_once(BASE64).filter(|_| text.starts_with(DATA)) {
        return STANDARD.decode(bytes).ok();
    }
    let (url, mut bytes) = (own(sandbox, text)?, Vec::new());
    let fetched = fetch(&url, |data| bytes.extend_from_slice(data));
    let fetched = tokio::time::timeout(PATIENCE, fetched).await.ok()?;
    fetched.ok().map(|()| bytes)
}

fn gather<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An address of the installation's own.
fn own(sandbox: &Sandbox, text: &str) -> Option<Url> {
    let base = Url::parse(sandbox.config.public_url.as_deref()?).ok()?;
    let url = Url::parse(text).ok()?;
    let is_input = !url.path().starts_with(CALLBACKS);
    (is_input && url.scheme() == "http" && url.origin() == base.origin()).then_some(url)
}

fn decode(text: &str) -> Result<(), String> {
    let bytes = text.split_once(BASE64).map(|(_, bytes)| bytes);
    let bytes = bytes.and_then(|bytes| STANDARD.decode(bytes).ok());
    match bytes {
        Some(bytes) if !bytes.is_empty() => Ok(()),
        Some(_) | None => Err("an inline input cannot be decoded".to_owned()),
    }
}

/// Takes what comes.
async fn fetch(
    url: &Url,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (host, port) = (
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or(80),
    );
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut place = url.path().to_owned();
    if let Some(query) = url.query() {
        place = format!("{place}?{query}");
    }
    let request = Request::get(place)
        .header(header::HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())?;
    let call = async {
        let answer = sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()).into());
        }
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                take(data);
            }
        }
        Ok(())
    };
    tokio::select! {
        fetched = call => fetched,
        ended = connection => Err(ended.err().map_or_else(|| "it hung up".into(), Into::into)),
    }
}
