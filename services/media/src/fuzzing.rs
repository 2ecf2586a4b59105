//! What is promised about any bytes, for the fuzzers in `fuzz/` and for the tests that read their corpora. Each promise panics where it is broken.

use std::io::Cursor;

use chassis::config::Access;
use domain::{Dialect, Secret};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use upstream::{ProviderClient, UpstreamConfig};
use url::Url;

use crate::{
    alpha,
    kind::Look,
    measure::{self, By, HEAD_BYTES},
    providers::{self, Callback, Declared, Heard, Order, Progress},
};

/// When a callback that is tried comes, in seconds since 1970.
const NOW: i64 = 1_700_000_000;
/// What their jobs are called, each as some of them writes it.
const JOBS: [&str; 6] = [
    "j1",
    "operations/j1",
    "models/veo-3/operations/j1",
    "cover j1",
    "text2video j1",
    "image_generation:j1",
];

/// Every adapter, to be shown what no provider says.
#[derive(Clone)]
pub struct Adapters(providers::Providers);

// === impl Adapters ===

impl Adapters {
    /// All that are code.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn new() -> Result<Self, upstream::Error> {
        let client = ProviderClient::new(&UpstreamConfig::default())?;
        Ok(Self(providers::all(&client, &Declared::default())))
    }

    /// The names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        providers::BUILT_IN.into_iter()
    }

    /// Whatever a provider at `origin` answers, its adapter submits, looks and cancels to an end, and what it calls done has files that are URLs or
    /// the bytes themselves.
    pub async fn meet(&self, name: &str, origin: &Url) {
        let Some(adapter) = self.0.get(name) else {
            return;
        };
        let access = access(origin.clone());
        let mut parameters = Map::new();
        parameters.insert("prompt".to_owned(), Value::from("a fox"));
        let order = Order {
            model: "m1",
            parameters: &parameters,
            callback: None,
        };
        let mut jobs: Vec<String> = JOBS.map(str::to_owned).into();
        jobs.push(format!("{origin}status {origin}result"));
        if let Ok(started) = adapter.start(&access, &order).await {
            assert!(!started.job.is_empty() || started.is_done(), "{name}");
            jobs.push(started.job);
        }
        for job in jobs {
            let look = adapter.check(&access, &job).await;
            if let Ok(Progress::Running {
                percent: Some(percent),
                ..
            }) = look
            {
                assert!((0..=100).contains(&percent), "{name}: {percent}%");
            }
            // Any outcome will do.
            let _ = adapter.cancel(&access, &job).await;
        }
    }
}

fn access(base_url: Url) -> Access {
    Access {
        base_url,
        key: Some(Secret::new("k3y")),
        dialect: Dialect::default(),
        headers: HeaderMap::new(),
        callback_secret: Some(Secret::new("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")),
    }
}

/// A callback: headers up to a blank line, each `name: value`, and the body behind it. Nobody who does not know the secret is heard.
pub async fn callback(adapters: &Adapters, data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = data.split_at(end.unwrap_or(data.len()));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let body = body.strip_prefix(b"\n\n").unwrap_or(body);
    let callback = Callback {
        job: "j1",
        path: "/api/v1/callbacks/c1",
        headers: &headers,
        body,
        now: NOW,
    };
    // Nobody is there to be asked for keys.
    let Ok(nowhere) = Url::parse("http://127.0.0.1:1/p/") else {
        return;
    };
    let access = access(nowhere);
    for (name, adapter) in &adapters.0 {
        let heard = adapter.hears(&access, &callback).await;
        assert_ne!(heard, Heard::Signed, "{name} believes a forged callback");
    }
}

/// A file: whatever it is, it is something, and is measured to an end, by what its head says and by what is in it. What was counted is no less than
/// nothing, and what its head says of a length is no panic of ours.
pub fn file(data: &[u8]) {
    let head = data.get(..HEAD_BYTES).unwrap_or(data);
    let mut look = Look::default();
    for piece in data.chunks(1_000) {
        look.at(piece);
    }
    assert!(!look.whole().is_empty());
    // Either is an answer.
    let _ = alpha::is_missing(head);
    let kinds = [measure::content_type(head), measure::readable(head)];
    for kind in kinds.into_iter().flatten() {
        for by in [By::Head, By::Count] {
            let Ok(found) = measure::measure(kind, Cursor::new(data), by) else {
                continue;
            };
            assert_ne!(found.millis, Some(0), "{kind}");
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Parrot, fuzzed};
    use tokio::runtime::Runtime;

    use super::*;

    /// What an input says: a status, and a body.
    fn answer(data: &[u8]) -> (u16, &[u8]) {
        let (first, body) = data.split_first().unwrap_or((&0, data));
        let statuses = [200, 200, 200, 202, 400, 404, 429, 500];
        (statuses[usize::from(*first) % statuses.len()], body)
    }

    #[test]
    fn no_answer_is_too_strange() {
        let runtime = Runtime::new().unwrap();
        let adapters = Adapters::new().unwrap();
        let (parrot, listener) = runtime.block_on(Parrot::start()).unwrap();
        runtime.spawn(parrot.clone().serve(listener));
        let origin = Url::parse(&parrot.base()).unwrap();
        fuzzed("media_answers", |data| {
            let (status, body) = answer(data);
            parrot.says(status, body);
            // One adapter each, so that many inputs are tried.
            let turn = body.iter().map(|byte| usize::from(*byte)).sum::<usize>();
            let names: Vec<&str> = Adapters::names().collect();
            let name = names[turn % names.len()];
            runtime.block_on(adapters.meet(name, &origin));
        })
        .unwrap();
    }

    #[test]
    fn no_forged_callback_is_heard() {
        let runtime = Runtime::new().unwrap();
        let adapters = Adapters::new().unwrap();
        fuzzed("callbacks", |data| {
            runtime.block_on(callback(&adapters, data));
        })
        .unwrap();
    }

    #[test]
    fn every_file_is_measured_to_an_end() {
        fuzzed("files", file).unwrap();
    }
}
