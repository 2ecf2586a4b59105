//! What is promised about any bytes, for the fuzzers in `fuzz/` and for the tests that read their corpora. Each promise panics where it is broken.

use bytes::Bytes;
use chassis::config::{Access, Settings};
use domain::{Dialect, Micros, Secret};
use futures::StreamExt as _;
use http::HeaderMap;
use serde_json::Value;
use upstream::{EgressConfig, GuardedClient, ProviderClient, UpstreamConfig};
use url::Url;

use crate::{
    Config,
    providers::{self, Answer, Chunk, Order, Piece, Urls},
    reply, request,
    usage::{self, Reported},
};

/// What is asked for, in one piece and as a stream.
const BODIES: [&str; 2] = [
    r#"{"model":"m1","messages":[{"role":"user","content":"a fox"}]}"#,
    r#"{"model":"m1","messages":[{"role":"user","content":"a fox"}],"stream":true,"stream_options":{"include_usage":true},"include_thoughts":true}"#,
];
/// More pieces than any answer here has bytes.
const MOST_PIECES: usize = 1 << 20;

/// Every adapter, to be shown what no provider says.
#[derive(Clone)]
pub struct Adapters(providers::Adapters);

// === impl Adapters ===

impl Adapters {
    /// All of them, or nothing where there can be no client.
    pub fn new() -> Option<Self> {
        let client = ProviderClient::new(&UpstreamConfig::default()).ok()?;
        let guard = GuardedClient::new(&EgressConfig::default()).ok()?;
        let config = Config::read(&Settings::from_toml("")).ok()?;
        Some(Self(providers::adapters(&client, &guard, &config)))
    }

    /// Whatever a provider at `origin` answers, each adapter comes to an end with it, in one piece and as a stream, and hands nothing on but
    /// objects whose usage can be read and to which can be added what we add.
    pub async fn meet(&self, origin: &Url) {
        let access = Access {
            base_url: origin.clone(),
            key: Some(Secret::new("k3y")),
            dialect: Dialect::default(),
            headers: HeaderMap::new(),
            callback_secret: None,
        };
        for adapter in self.0.values() {
            let Ok(endpoint) = adapter.endpoint(&access, "m1") else {
                continue;
            };
            for body in BODIES {
                let body = Bytes::from_static(body.as_bytes());
                let Ok(request) = request::parse(&body, 8) else {
                    continue;
                };
                let order = Order {
                    body: &body,
                    request: &request,
                    max_output: 64,
                    urls: Urls::Unfetched,
                };
                match adapter.ask(&endpoint, order).await {
                    Ok(Answer::Whole(chunk)) => handed_on(&chunk),
                    Ok(Answer::Stream(first, mut rest)) => {
                        handed_on(&first);
                        let mut pieces = 0_usize;
                        while let Some(Ok(piece)) = rest.next().await {
                            if let Piece::Chunk(chunk) = piece {
                                handed_on(&chunk);
                            }
                            pieces = pieces.saturating_add(1);
                            assert!(pieces < MOST_PIECES, "the stream has no end");
                        }
                    }
                    Err(_failure) => {}
                }
            }
        }
    }
}

/// What is done with every piece of an answer.
fn handed_on(chunk: &Chunk) {
    assert!(chunk.text.len() <= chunk.data.len(), "more text than bytes");
    added(&chunk.data);
}

/// What is JSON stays JSON when we add to it; of what is none, no more is promised than an end.
pub fn added(json: &[u8]) {
    let json = Bytes::copy_from_slice(json);
    if let Reported::Usage(usage) = usage::read(&json) {
        // Sums of what is reported fit.
        let sum = usage.input.checked_add(usage.output);
        assert!(sum.is_some(), "{usage:?}");
    }
    let _ = reply::model_of(&json);
    let priced = reply::with_credits(&json, Micros::new(1_500_000));
    let named = reply::with_model(&priced, "our-name");
    let is_object =
        |json: &[u8]| serde_json::from_slice::<Value>(json).is_ok_and(|json| json.is_object());
    assert!(!is_object(&json) || is_object(&named), "JSON was spoilt");
}

#[cfg(test)]
mod tests {
    use testkit::{Parrot, fuzzed};
    use tokio::runtime::Runtime;

    use super::*;

    #[test]
    fn no_answer_is_too_strange() {
        let runtime = Runtime::new().unwrap();
        let adapters = Adapters::new().unwrap();
        let (parrot, listener) = runtime.block_on(Parrot::start()).unwrap();
        runtime.spawn(parrot.clone().serve(listener));
        let origin = Url::parse(&parrot.base()).unwrap();
        fuzzed("chat_answers", |data| {
            let (first, body) = data.split_first().unwrap_or((&0, data));
            let status = if first % 4 == 3 { 429 } else { 200 };
            parrot.says(status, body);
            runtime.block_on(adapters.meet(&origin));
        })
        .unwrap();
    }

    #[test]
    fn json_stays_json() {
        fuzzed("chat_answers", added).unwrap();
    }
}
