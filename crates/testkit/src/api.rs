//! A client of the HTTP API with one key: plain requests, whole answers, nothing hidden.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::{
    Events, eventually,
    openapi::{Document, Exchange, Told},
};

/// The longest silence of the program within one answer.
const SILENCE: Duration = Duration::from_secs(90);

/// A client with a key, or without.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    edges: Arc<Edges>,
    told: Arc<Told>,
    key: Option<String>,
}

/// Where the API is served; requests go to one after another.
#[derive(Debug)]
struct Edges {
    bases: Vec<String>,
    next: AtomicUsize,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A balance, in micro-credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credits {
    /// What can be spent.
    pub available: i64,
    /// What is set aside.
    pub held: i64,
    /// What the books say.
    pub posted: i64,
    /// How many holds are open.
    pub open_holds: i64,
}

/// A number of credits in an answer, in micro-credits.
///
/// # Errors
/// When it is not an amount.
pub fn micros(credits: &Value) -> Result<i64> {
    let amount = domain::Micros::parse_credits(&credits.to_string());
    Ok(amount
        .with_context(|| format!("{credits} is no amount"))?
        .get())
}

/// A client for plain HTTP on loopback. No connection is kept: the process at the other end is killed now and then.
pub(crate) fn client() -> Result<reqwest::Client> {
    Ok(builder()?.pool_max_idle_per_host(0).build()?)
}

/// A client that keeps its connections, as SDKs do.
pub(crate) fn keeping_client() -> Result<reqwest::Client> {
    Ok(builder()?.build()?)
}

fn builder() -> Result<reqwest::ClientBuilder> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .read_timeout(SILENCE);
    Ok(builder)
}

// === impl Api ===

impl Api {
    /// Each of `bases` without a slash at the end, such as `http://127.0.0.1:8080`.
    /// Answers are compared with what the program tells of itself.
    pub(crate) fn new(
        http: reqwest::Client,
        bases: Vec<String>,
        told: Arc<Told>,
        key: Option<&str>,
    ) -> Self {
        let next = AtomicUsize::new(0);
        Self {
            http,
            edges: Arc::new(Edges { bases, next }),
            told,
            key: key.map(str::to_owned),
        }
    }

    /// The same client with another key, or none.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            http: self.http.clone(),
            edges: Arc::clone(&self.edges),
            told: Arc::clone(&self.told),
            key: key.map(str::to_owned),
        }
    }

    /// Sends a request; `path` begins behind `/api/v1`, unless it is a whole URL.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<reqwest::Response> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/api/v1{path}", self.edges.next())
        };
        let mut request = self.http.request(method, &url).body(body.into());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = request.send().await;
        sent.with_context(|| format!("{url} does not answer"))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When nothing answers, or not to the end; when the answer, or a request that was taken, is not as the program's own document says.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let sent = body.into();
        let response = self
            .open(method.clone(), path, headers, sent.clone())
            .await?;
        let reply = Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?,
        };
        self.compare(&Exchange {
            method: &method,
            path,
            sent: &sent,
            reply: &reply,
        })
        .await?;
        Ok(reply)
    }

    /// Compares an exchange with the document, which the first one fetches. A program that was killed meanwhile tells nothing; then
    /// the next exchange asks again.
    async fn compare(&self, exchange: &Exchange<'_>) -> Result<()> {
        let document = match self.told.get() {
            Some(document) => document,
            None => {
                let url = format!("{}/api/v1/openapi.json", self.edges.next());
                let Ok(answer) = self.http.get(url).send().await else {
                    return Ok(());
                };
                ensure!(answer.status() == 200, "no document: {}", answer.status());
                let Ok(text) = answer.bytes().await else {
                    return Ok(());
                };
                let document = Document::parse(&text)?;
                self.told.get_or_init(async || document).await
            }
        };
        document.compare(exchange)
    }

    /// `GET`.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.post_with(path, &[], body).await
    }

    /// `POST` of JSON with more headers.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Reply> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(Method::POST, path, &headers, body.to_string())
            .await
    }

    /// `GET /credits`.
    ///
    /// # Errors
    /// When that is not answered with a balance.
    pub async fn credits(&self) -> Result<Credits> {
        let data = self.get("/credits").await?.data(200)?;
        let number = |name: &str| data[name].as_i64().with_context(|| format!("no {name}"));
        let credits = Credits {
            available: number("available_microcredits")?,
            held: number("held_microcredits")?,
            posted: number("posted_microcredits")?,
            open_holds: number("open_holds")?,
        };
        let sum = credits.posted.checked_sub(credits.held);
        ensure!(
            sum == Some(credits.available),
            "{credits:?} does not add up"
        );
        Ok(credits)
    }

    /// Waits until no hold is open.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn settled(&self) -> Result<Credits> {
        eventually("no open holds", async || {
            let credits = self.credits().await?;
            Ok((credits.open_holds == 0).then_some(credits))
        })
        .await
    }

    /// Opens a stream of events.
    ///
    /// # Errors
    /// When the answer is none.
    pub async fn events(&self, method: Method, path: &str, body: &Value) -> Result<Events> {
        let headers = [("content-type", "application/json")];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.open(method, path, &headers, body).await?;
        let kind = response.headers().get("content-type").cloned();
        if response.status() != 200 || kind.is_none_or(|kind| kind != "text/event-stream") {
            let (status, text) = (response.status(), response.text().await?);
            anyhow::bail!("{path} answers {status} with no stream: {text}");
        }
        Ok(Events::of(response))
    }

    /// Opens a streamed chat; `body` without `stream`.
    ///
    /// # Errors
    /// When the answer is no stream.
    pub async fn stream(&self, body: &Value) -> Result<Events> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        self.events(Method::POST, "/chat/completions", &body).await
    }

    /// Submits an image and gives its task's id.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn image(&self, body: &Value) -> Result<String> {
        let data = self.post("/images/generations", body).await?.data(202)?;
        let id = data["task_id"].as_str().context("no task_id")?;
        Ok(id.to_owned())
    }

    /// How a task stands.
    ///
    /// # Errors
    /// When that is not told.
    pub async fn task(&self, id: &str) -> Result<Value> {
        self.get(&format!("/tasks/{id}")).await?.data(200)
    }

    /// Waits until a task has ended, however.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&self, id: &str) -> Result<Value> {
        eventually(&format!("{id} ends"), async || {
            let task = self.task(id).await?;
            let ended = matches!(task["status"].as_str(), Some("completed" | "failed"));
            Ok(ended.then_some(task))
        })
        .await
    }

    /// Waits until a task has this status.
    ///
    /// # Errors
    /// When it does not come to it.
    pub async fn reaches(&self, id: &str, status: &str) -> Result<Value> {
        eventually(&format!("{id} is {status}"), async || {
            let task = self.task(id).await?;
            Ok((task["status"] == status).then_some(task))
        })
        .await
    }

    /// Waits until `what` holds at every edge: edges are asked in turn, so it must hold as often in a row as there are edges.
    ///
    /// # Errors
    /// An error of the look, at once; when it does not come about.
    pub async fn everywhere<F>(&self, what: &str, mut holds: F) -> Result<()>
    where
        F: AsyncFnMut() -> Result<bool>,
    {
        eventually(&format!("{what} at every edge"), async || {
            for _ in 0..self.edges.bases.len() {
                if !holds().await? {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }
}

// === impl Edges ===

impl Edges {
    fn next(&self) -> &str {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(self.bases.len()).unwrap_or_default();
        self.bases.get(place).map_or("", String::as_str)
    }
}

// === impl Reply ===

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {self}"))
    }

    /// What the envelope holds, if the status is this one and the envelope right.
    ///
    /// # Errors
    /// Otherwise, with what was answered.
    pub fn data(&self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "not {status}: {self}");
        let body = self.json()?;
        let right = body["code"] == 200 && body["message"] == "success";
        ensure!(right, "no envelope: {self}");
        Ok(body["data"].clone())
    }

    /// The error object, if status and code are these.
    ///
    /// # Errors
    /// Otherwise, with what was answered.
    pub fn error(&self, status: u16, code: &str) -> Result<Value> {
        let error = self.json()?["error"].clone();
        let right = self.status == status && error["code"] == code;
        ensure!(right, "not {status} {code}: {self}");
        Ok(error)
    }

    /// One header; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
