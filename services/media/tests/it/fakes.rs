//! Whom media talks to, scripted: a provider that speaks Black Forest Labs' wire, billing, webhooks.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{
    Catalogue,
    receipt::{Receipt, recompute},
};
use proto::{
    Fault,
    billing::v1::{self as billing, billing_server, prices_server},
    code,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::{Request, Response as Reply, Status};

/// A picture of one pixel.
pub(crate) const PNG: &[u8] = include_bytes!("../files/pixel.png");

/// A film of 96 by 64 pixels and 2.4 seconds.
pub(crate) const FILM: &[u8] = include_bytes!("../files/film.mp4");

/// What the provider answers to a submit.
#[derive(Clone, Debug)]
pub(crate) enum Submit {
    Accept,
    Refuse(u16, Value),
    /// Takes the job and says nothing, ever.
    Silent,
    /// Takes the job and closes the connection.
    Drop,
    /// Takes the job, and answers when told to.
    Late(Arc<Notify>),
}

/// The provider: submits are answered from the script, then accepted; polls by the state of the moment.
#[derive(Clone, Default)]
pub(crate) struct Provider(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    script: Vec<Submit>,
    submits: Vec<Value>,
    polled: Value,
    /// The next poll is answered when told to.
    held: Option<Arc<Notify>>,
    origin: String,
    /// Jobs that were taken and not yet seen to be done.
    open: HashSet<String>,
    /// The most of them that there were at once.
    most_open: usize,
    submitted_at: Vec<Instant>,
    polled_at: Vec<Instant>,
}

impl Provider {
    pub(crate) async fn start(script: Vec<Submit>) -> Self {
        let provider = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        {
            let mut book = provider.0.lock().unwrap();
            book.polled =
                json!({"status": "Ready", "result": {"sample": format!("{origin}/sample.png")}});
            book.script = script;
            book.origin = origin;
        }
        let router = Router::new()
            .route("/bfl/v1/{model}", post(submit))
            .route("/bfl/v1/get_result", get(poll))
            .route(
                "/sample.png",
                get(|| async { ([("content-type", "image/png")], PNG) }),
            )
            .route(
                "/film",
                get(|| async { ([("content-type", "application/octet-stream")], FILM) }),
            )
            .route(
                "/error.html",
                get(|| async { ([("content-type", "image/png")], "<h1>Sorry</h1>") }),
            )
            .with_state(provider.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's server ends with the test"
        )]
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub(crate) fn origin(&self) -> String {
        self.0.lock().unwrap().origin.clone()
    }

    /// The bodies of all submits so far.
    pub(crate) fn submits(&self) -> Vec<Value> {
        self.0.lock().unwrap().submits.clone()
    }

    /// The most jobs that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.0.lock().unwrap().most_open
    }

    /// When each submit came.
    pub(crate) fn submitted_at(&self) -> Vec<Instant> {
        self.0.lock().unwrap().submitted_at.clone()
    }

    /// When each poll came.
    pub(crate) fn polled_at(&self) -> Vec<Instant> {
        self.0.lock().unwrap().polled_at.clone()
    }

    /// The next poll is answered when told to.
    pub(crate) fn hold_a_poll(&self, word: &Arc<Notify>) {
        self.0.lock().unwrap().held = Some(Arc::clone(word));
    }

    /// Whether a poll is being held.
    pub(crate) fn holds_a_poll(&self) -> bool {
        self.0.lock().unwrap().held.is_none()
    }

    /// What polls answer from now on.
    pub(crate) fn answer_polls(&self, status: &str) {
        self.0.lock().unwrap().polled = json!({ "status": status });
    }

    /// Polls answer that something is there which nobody can use.
    pub(crate) fn finish_badly(&self) {
        self.finish_with("error.html");
    }

    /// Polls answer that the picture is there.
    pub(crate) fn finish(&self) {
        self.finish_with("sample.png");
    }

    /// Polls answer that this file is there.
    pub(crate) fn finish_with(&self, file: &str) {
        let mut book = self.0.lock().unwrap();
        book.polled =
            json!({"status": "Ready", "result": {"sample": format!("{}/{file}", book.origin)}});
    }
}

async fn submit(State(provider): State<Provider>, Json(body): Json<Value>) -> Response {
    let (next, id, origin) = {
        let mut book = provider.0.lock().unwrap();
        book.submits.push(body);
        book.submitted_at.push(Instant::now());
        let next = if book.script.is_empty() {
            Submit::Accept
        } else {
            book.script.remove(0)
        };
        let id = book.submits.len();
        if !matches!(next, Submit::Refuse(..)) {
            book.open.insert(id.to_string());
            book.most_open = book.most_open.max(book.open.len());
        }
        (next, id, book.origin.clone())
    };
    match next {
        Submit::Accept => {
            Json(json!({"id": id.to_string(), "polling_url": format!("{origin}/bfl/v1/get_result?id={id}"), "cost": 3.0}))
                .into_response()
        }
        Submit::Refuse(status, body) => (StatusCode::from_u16(status).unwrap(), Json(body)).into_response(),
        Submit::Late(word) => {
            word.notified().await;
            Json(json!({"id": id.to_string()})).into_response()
        }
        Submit::Silent => std::future::pending().await,
        Submit::Drop => {
            let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut"))]);
            Body::from_stream(broken).into_response()
        }
    }
}

async fn poll(
    State(provider): State<Provider>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let held = provider.0.lock().unwrap().held.take();
    if let Some(word) = held {
        word.notified().await;
    }
    let mut book = provider.0.lock().unwrap();
    book.polled_at.push(Instant::now());
    if book.polled["status"] != "Pending" {
        book.open.remove(&query["id"]);
    }
    Json(book.polled.clone())
}

/// What billing does with a hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Holds {
    #[default]
    Grant,
    Refuse,
    Away,
    /// Says nothing until the caller gives up; whether it holds then, nobody knows.
    Silent,
}

/// Billing: grants or refuses, and writes down what it was told.
#[derive(Clone, Default)]
pub(crate) struct Billing(Arc<Mutex<Ledger>>);

#[derive(Default)]
struct Ledger {
    holds: Holds,
    asked: usize,
    held: HashMap<Vec<u8>, i64>,
    settled: HashMap<Vec<u8>, Vec<i64>>,
    receipts: Vec<Value>,
    lists: HashMap<String, String>,
    available: i64,
}

impl Billing {
    pub(crate) fn answer_holds(&self, holds: Holds) {
        self.0.lock().unwrap().holds = holds;
    }

    /// Tries of holds so far.
    pub(crate) fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    /// Micro-credits held for a task.
    pub(crate) fn held(&self, id: &[u8]) -> Option<i64> {
        self.0.lock().unwrap().held.get(id).copied()
    }

    /// Every amount a task was settled with.
    pub(crate) fn settled(&self, id: &[u8]) -> Vec<i64> {
        self.0
            .lock()
            .unwrap()
            .settled
            .get(id)
            .cloned()
            .unwrap_or_default()
    }

    /// Every task that something was held for.
    pub(crate) fn tasks(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().held.keys().cloned().collect()
    }

    /// Tasks that something is held for.
    pub(crate) fn holds(&self) -> usize {
        self.0.lock().unwrap().held.len()
    }

    /// What can be spent, as far as a quote asks.
    pub(crate) fn set_available(&self, micros: i64) {
        self.0.lock().unwrap().available = micros;
    }

    pub(crate) fn settlements(&self) -> usize {
        self.0.lock().unwrap().settled.len()
    }

    pub(crate) fn receipts(&self) -> Vec<Value> {
        self.0.lock().unwrap().receipts.clone()
    }
}

pub(crate) fn not_played<T>() -> Result<T, Status> {
    Err(Status::unimplemented("media does not call this"))
}

#[tonic::async_trait]
impl billing_server::Billing for Billing {
    async fn hold(
        &self,
        request: Request<billing::HoldRequest>,
    ) -> Result<Reply<billing::HoldReply>, Status> {
        let request = request.into_inner();
        let holds = {
            let mut ledger = self.0.lock().unwrap();
            ledger.asked += 1;
            ledger.holds
        };
        match holds {
            Holds::Silent => std::future::pending().await,
            Holds::Grant => {
                assert_eq!(request.amount, request.floor, "media holds all or nothing");
                let mut ledger = self.0.lock().unwrap();
                ledger.held.insert(request.hold_id.to_vec(), request.amount);
                Ok(Reply::new(billing::HoldReply {
                    granted: request.amount,
                    available: 0,
                }))
            }
            Holds::Refuse => Err(Fault::new(
                code::INSUFFICIENT_CREDITS,
                "this needs 5 credits; 0 are available",
            )
            .into()),
            Holds::Away => Err(Status::unavailable("away")),
        }
    }

    async fn settle(
        &self,
        request: Request<billing::SettleRequest>,
    ) -> Result<Reply<billing::SettleReply>, Status> {
        let request = request.into_inner();
        let mut ledger = self.0.lock().unwrap();
        // A receipt says what is charged, and can be computed again from the list that was kept for it.
        let receipt: Receipt = serde_json::from_slice(&request.receipt).unwrap();
        assert_eq!(receipt.total().get(), request.amount);
        if let Some(list) = ledger.lists.get(&receipt.price_version) {
            let sum = recompute(&Catalogue::from_list(list).unwrap(), &receipt).unwrap();
            assert_eq!(sum.total.get(), request.amount);
        } else {
            assert_eq!(
                request.amount, 0,
                "nothing is charged by a list that is not kept"
            );
        }
        ledger
            .settled
            .entry(request.hold_id.to_vec())
            .or_default()
            .push(request.amount);
        ledger
            .receipts
            .push(serde_json::from_slice(&request.receipt).unwrap());
        Ok(Reply::new(billing::SettleReply {
            captured: request.amount,
        }))
    }

    async fn extend(
        &self,
        _: Request<billing::ExtendRequest>,
    ) -> Result<Reply<billing::ExtendReply>, Status> {
        not_played()
    }
    async fn freeze_account(
        &self,
        _: Request<billing::FreezeAccountRequest>,
    ) -> Result<Reply<billing::FreezeAccountReply>, Status> {
        not_played()
    }
    async fn authenticate(
        &self,
        _: Request<billing::AuthenticateRequest>,
    ) -> Result<Reply<billing::Identity>, Status> {
        not_played()
    }
    async fn get_balance(
        &self,
        request: Request<billing::GetBalanceRequest>,
    ) -> Result<Reply<billing::Balance>, Status> {
        let context = request.into_inner().context.unwrap();
        Ok(Reply::new(billing::Balance {
            account_id: context.account_id,
            mode: context.mode,
            posted: self.0.lock().unwrap().available,
            ..billing::Balance::default()
        }))
    }
    async fn create_account(
        &self,
        _: Request<billing::CreateAccountRequest>,
    ) -> Result<Reply<billing::Account>, Status> {
        not_played()
    }
    async fn list_accounts(
        &self,
        _: Request<billing::ListAccountsRequest>,
    ) -> Result<Reply<billing::ListAccountsReply>, Status> {
        not_played()
    }
    async fn add_credits(
        &self,
        _: Request<billing::AddCreditsRequest>,
    ) -> Result<Reply<billing::Balance>, Status> {
        not_played()
    }
    async fn set_alert(
        &self,
        _: Request<billing::SetAlertRequest>,
    ) -> Result<Reply<billing::Balance>, Status> {
        not_played()
    }
    async fn list_audit_log(
        &self,
        _: Request<billing::ListAuditLogRequest>,
    ) -> Result<Reply<billing::ListAuditLogReply>, Status> {
        not_played()
    }
    async fn audit(
        &self,
        _: Request<billing::AuditRequest>,
    ) -> Result<Reply<billing::AuditReply>, Status> {
        not_played()
    }
}

#[tonic::async_trait]
impl prices_server::Prices for Billing {
    async fn keep_price_list(
        &self,
        request: Request<billing::KeepPriceListRequest>,
    ) -> Result<Reply<billing::KeepPriceListReply>, Status> {
        let list = request.into_inner();
        let mut ledger = self.0.lock().unwrap();
        assert_eq!(domain::catalogue::version_of(&list.body), list.version);
        ledger.lists.insert(list.version, list.body);
        Ok(Reply::new(billing::KeepPriceListReply {}))
    }
    async fn get_price_list(
        &self,
        _: Request<billing::GetPriceListRequest>,
    ) -> Result<Reply<billing::PriceList>, Status> {
        not_played()
    }
    async fn set_price_factor(
        &self,
        _: Request<billing::SetPriceFactorRequest>,
    ) -> Result<Reply<billing::Account>, Status> {
        not_played()
    }
}
