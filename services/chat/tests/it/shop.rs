//! An app with several providers and several models, for the tests of who is asked: `gemini` is served by all of them, `first` by the first
//! alone, `other` and `dear`, which costs ten times as much, by the last alone, and `nowhere` by one that is not configured.

use domain::{Catalogue, Mode};
use proto::{Fault, chat::v1::CompleteRequest};
use serde_json::Value;

use crate::{
    app::{App, Collected},
    provider::{Provider, Reply},
};

pub(crate) const ASK: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
pub(crate) const STREAM: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
/// Of a model that the last provider serves alone.
pub(crate) const OTHER: &str =
    r#"{"model":"other","messages":[{"role":"user","content":"foxes?"}]}"#;
pub(crate) const GOOD: &str = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
pub(crate) const GOOD_STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n\
     data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";

/// An app whose model has these providers: `p1`, `p2`, …
pub(crate) struct Shop {
    pub(crate) app: App,
    providers: Vec<Provider>,
}

// === impl Shop ===

impl Shop {
    /// A provider for each row, which is more of its route; and more settings.
    pub(crate) async fn of(rows: &[&str], settings: &str) -> Self {
        let tasks = chassis::Tasks::default();
        let mut providers = Vec::new();
        let (mut routes, mut settings) = (String::new(), settings.to_owned());
        for (place, row) in (1..).zip(rows) {
            let provider = Provider::start(&tasks).await;
            routes.push_str(&route(&format!("p{place}"), row));
            // A row that names credentials of its own says so.
            let keys = format!("[providers.p{place}]\n");
            let place = format!(
                "base_url = '{}/v1/'\napi_key = 'k{place}'\n",
                provider.origin
            );
            if settings.contains(&keys) {
                settings = settings.replace(&keys, &format!("{keys}{place}"));
            } else {
                settings.push_str(&format!("\n{keys}{place}"));
            }
            providers.push(provider);
        }
        let file = include_str!("../../../../crates/domain/catalogue/gemini.toml");
        let (model, _) = file.split_once("[[providers]]").unwrap();
        let other = model
            .replace("\"gemini\"", "\"other\"")
            .replace("\"gemini-3-flash\"", "");
        let last = route(&format!("p{}", rows.len()), "");
        let named = |name: &str| other.replace("\"other\"", &format!("\"{name}\""));
        let dear = named("dear").replace("= 50\n", "= 500\n");
        let dear = dear.replace("= 300\n", "= 3000\n");
        let files = [
            ("gemini.toml", format!("{model}{routes}")),
            ("other.toml", format!("{other}{last}")),
            (
                "first.toml",
                format!("{}{}", named("first"), route("p1", "")),
            ),
            ("dear.toml", format!("{dear}{last}")),
            (
                "nowhere.toml",
                format!("{}{}", named("nowhere"), route("px", "")),
            ),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
        let app = App::with(&settings, Catalogue::parse(&files).unwrap()).await;
        Self { app, providers }
    }

    pub(crate) fn provider(&self, place: usize) -> &Provider {
        self.providers.get(place - 1).unwrap()
    }

    /// How often a provider was asked.
    pub(crate) fn asked(&self, place: usize) -> usize {
        self.provider(place).asked().len()
    }

    /// What a provider was asked last.
    pub(crate) fn asked_for(&self, place: usize) -> Value {
        let asked = self.provider(place).asked();
        serde_json::from_str(&asked.last().unwrap().body).unwrap()
    }

    /// What a provider answers next.
    pub(crate) fn will(&self, place: usize, reply: Reply) {
        self.provider(place).will(reply);
    }

    pub(crate) async fn ask(&self, body: &str) -> Result<Collected, Fault> {
        self.send(App::request(body, Mode::Live, &[])).await
    }

    pub(crate) async fn send(&self, request: CompleteRequest) -> Result<Collected, Fault> {
        match self.app.send(request).await {
            Ok(events) => Ok(Collected::of(events).await),
            Err(refused) => Err(Fault::from(refused)),
        }
    }

    /// Who serves a request.
    pub(crate) async fn served(&self, body: &str) -> String {
        let collected = self.ask(body).await.unwrap();
        assert!(collected.tail.is_some(), "{collected:?}");
        collected.head.unwrap().provider
    }

    pub(crate) async fn refused(&self, body: &str) -> Fault {
        self.ask(body).await.expect_err("a refusal")
    }

    /// The last receipt.
    pub(crate) fn last_receipt(&self) -> Value {
        let books = self.app.billing.books();
        books.checked(books.settles.last().unwrap())
    }

    /// The calls in it.
    pub(crate) fn last_attempts(&self) -> Value {
        self.last_receipt().get("attempts").unwrap().clone()
    }

    /// 0: it is asked, 1: somebody tries it, 2: it is left alone.
    pub(crate) fn state(&self, provider: &str) -> u64 {
        self.figure("breaker_state", provider, "")
    }

    /// A figure of the first credential.
    pub(crate) fn figure(&self, name: &str, provider: &str, more: &str) -> u64 {
        let name = format!("aio_chat_{name}{{provider=\"{provider}\",credential=\"1\"{more}}}");
        self.app.counter(&name)
    }

    pub(crate) fn failovers(&self, reason: &str) -> u64 {
        let name = format!("aio_chat_failovers_total{{reason=\"{reason}\"}}");
        self.app.counter(&name)
    }
}

/// A request with these members before its message.
pub(crate) fn body(members: &str) -> String {
    format!(r#"{{{members},"messages":[{{"role":"user","content":"foxes?"}}],"max_tokens":1000}}"#)
}

fn route(provider: &str, more: &str) -> String {
    format!(
        "[[providers]]\nadapter = \"openai\"\nprovider = \"{provider}\"\nmodel = \"m\"\n{more}\n"
    )
}

pub(crate) fn good() -> Reply {
    Reply::whole(200, GOOD)
}

pub(crate) fn with_header(status: u16, name: &'static str, value: &'static str) -> Reply {
    Reply {
        headers: vec![(name, value)],
        ..Reply::whole(status, "")
    }
}
