//! Scripted services: they answer what a test told them, and remember what they were asked.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use domain::TaskId;
use futures::Stream;
use proto::{
    Fault, billing::v1 as billing, chat::v1 as chat, code, common::v1 as common, media::v1 as media,
};
use tokio::sync::{Notify, mpsc};
use tonic::{Request, Response, Status};

/// What all scripted services know and remember.
#[derive(Default)]
pub(crate) struct World {
    /// Who is behind which key.
    pub(crate) identities: Mutex<HashMap<String, billing::Identity>>,
    /// Whether nobody is told anything of keys and tasks, as the database is away.
    pub(crate) is_away: AtomicBool,
    /// How often billing was asked about a key.
    pub(crate) authentications: AtomicUsize,
    /// What chat does next.
    pub(crate) plans: Mutex<VecDeque<Plan>>,
    /// What chat was asked.
    pub(crate) completions: Mutex<Vec<chat::CompleteRequest>>,
    /// Responses that chat keeps.
    pub(crate) responses: Mutex<HashMap<(Bytes, Bytes), chat::KeptResponse>>,
    /// Whether chat keeps a response, or why it cannot; it does when no test told it otherwise.
    pub(crate) keeping: Mutex<Option<Result<bool, Fault>>>,
    /// Tasks that media knows.
    pub(crate) tasks: Mutex<HashMap<TaskId, media::TaskSnapshot>>,
    /// How often media was asked about a task.
    pub(crate) looks: AtomicUsize,
    /// What media was asked to make.
    pub(crate) submits: Mutex<Vec<media::SubmitRequest>>,
    /// Pages of tasks that were asked for.
    pub(crate) task_lists: Mutex<Vec<media::ListTasksRequest>>,
    /// Every operator's transfer.
    pub(crate) transfers: Mutex<Vec<billing::AddCreditsRequest>>,
    /// Accounts that were stopped or let go on.
    pub(crate) frozen: Mutex<Vec<billing::FreezeAccountRequest>>,
    /// Usage that was asked for.
    pub(crate) usages: Mutex<Vec<billing::GetUsageRequest>>,
    /// Pages of operations that were asked for.
    pub(crate) pages: Mutex<Vec<billing::ListOperationsRequest>>,
    /// What orders were asked for.
    pub(crate) orders: Mutex<Vec<billing::CreateOrderRequest>>,
    /// Every event of the payment provider that was signed.
    pub(crate) events: Mutex<Vec<billing::StripeEvent>>,
    /// What redeem codes were asked for.
    pub(crate) new_codes: Mutex<Vec<billing::CreateRedeemCodesRequest>>,
    /// What chat and media were asked to quote.
    pub(crate) chat_quotes: Mutex<Vec<chat::QuoteRequest>>,
    pub(crate) heard: Mutex<Vec<media::HearRequest>>,
    /// What those hear who listen next; nothing when no test told it otherwise.
    pub(crate) sounds: Mutex<VecDeque<mpsc::Receiver<Result<media::HeardPart, Status>>>>,
    /// Whether media never says that it listens.
    pub(crate) is_deaf: AtomicBool,
    /// Who wanted to listen.
    pub(crate) listens: Mutex<Vec<media::ListenRequest>>,
    /// What kind every output is, and its bytes, where a test says so.
    pub(crate) output: Mutex<Option<(&'static str, Vec<u8>)>>,
    pub(crate) media_quotes: Mutex<Vec<media::QuoteRequest>>,
    /// Every change of what an account pays.
    pub(crate) factors: Mutex<Vec<billing::SetPriceFactorRequest>>,
    pub(crate) logs: Mutex<Vec<billing::ListAuditLogRequest>>,
    /// Every new key.
    pub(crate) new_keys: Mutex<Vec<billing::CreateKeyRequest>>,
    /// Every list of keys that was asked for.
    pub(crate) listed: Mutex<Vec<billing::ListKeysRequest>>,
    /// Every change of a key.
    pub(crate) key_changes: Mutex<Vec<billing::UpdateKeyRequest>>,
    /// Every rotation of a key.
    pub(crate) rotations: Mutex<Vec<billing::RotateKeyRequest>>,
}

/// What chat does with one request.
pub(crate) struct Plan {
    /// Chat answers when this is told.
    pub(crate) gate: Option<Arc<Notify>>,
    /// The events, or why there are none.
    pub(crate) answer: Result<mpsc::Receiver<Result<chat::CompleteEvent, Status>>, Fault>,
}

/// What chat says when no test told it otherwise.
pub(crate) const ANSWER: &str =
    r#"{"ok":true,"model":"gemini","choices":[{"message":{"content":"Hi."}}]}"#;

/// The bytes of every output.
pub(crate) const OUTPUT: &[u8] = b"0123456789";

/// An event of chat.
pub(crate) fn event(event: chat::complete_event::Event) -> chat::CompleteEvent {
    chat::CompleteEvent { event: Some(event) }
}

pub(crate) struct FakeBilling(pub(crate) Arc<World>);
pub(crate) struct FakeChat(pub(crate) Arc<World>);
pub(crate) struct FakeMedia(pub(crate) Arc<World>);

pub(crate) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn balance(account: &Bytes, mode: i32) -> billing::Balance {
    billing::Balance {
        account_id: account.clone(),
        mode,
        posted: 10_500_000,
        held: 500_001,
        open_holds: 2,
        frozen: false,
        expiring: vec![billing::Expiring {
            left: 250_000,
            expires_at: 1_500_000,
        }],
        alert_below: None,
    }
}

#[tonic::async_trait]
impl billing::billing_server::Billing for FakeBilling {
    async fn authenticate(
        &self,
        request: Request<billing::AuthenticateRequest>,
    ) -> Result<Response<billing::Identity>, Status> {
        self.0.authentications.fetch_add(1, Ordering::SeqCst);
        if self.0.is_away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("no database"));
        }
        let key = request.into_inner().key;
        let known = self.0.identities.lock().unwrap().get(&key).cloned();
        known
            .map(Response::new)
            .ok_or_else(|| Fault::new(code::INVALID_KEY, "the API key is not known").into())
    }

    async fn hold(
        &self,
        _request: Request<billing::HoldRequest>,
    ) -> Result<Response<billing::HoldReply>, Status> {
        panic!("the edge does not hold")
    }

    async fn settle(
        &self,
        _request: Request<billing::SettleRequest>,
    ) -> Result<Response<billing::SettleReply>, Status> {
        panic!("the edge does not settle")
    }

    async fn extend(
        &self,
        _request: Request<billing::ExtendRequest>,
    ) -> Result<Response<billing::ExtendReply>, Status> {
        panic!("the edge does not hold")
    }

    async fn freeze_account(
        &self,
        request: Request<billing::FreezeAccountRequest>,
    ) -> Result<Response<billing::FreezeAccountReply>, Status> {
        self.0.frozen.lock().unwrap().push(request.into_inner());
        Ok(Response::new(billing::FreezeAccountReply {}))
    }

    async fn get_balance(
        &self,
        request: Request<billing::GetBalanceRequest>,
    ) -> Result<Response<billing::Balance>, Status> {
        let context = request.into_inner().context.unwrap();
        Ok(Response::new(balance(&context.account_id, context.mode)))
    }

    async fn create_account(
        &self,
        request: Request<billing::CreateAccountRequest>,
    ) -> Result<Response<billing::Account>, Status> {
        Ok(Response::new(billing::Account {
            account_id: vec![7; 16].into(),
            name: request.into_inner().name,
            created_at: 0,
            price_factor: 1_000_000,
            operator: false,
        }))
    }

    async fn list_accounts(
        &self,
        request: Request<billing::ListAccountsRequest>,
    ) -> Result<Response<billing::ListAccountsReply>, Status> {
        let limit = request.into_inner().limit.min(2);
        let account = billing::Account {
            account_id: vec![7; 16].into(),
            name: "one".into(),
            created_at: 1_500_000,
            price_factor: 1_000_000,
            operator: false,
        };
        let accounts = (0..limit).map(|_| account.clone()).collect();
        Ok(Response::new(billing::ListAccountsReply { accounts }))
    }

    async fn add_credits(
        &self,
        request: Request<billing::AddCreditsRequest>,
    ) -> Result<Response<billing::Balance>, Status> {
        let request = request.into_inner();
        let answer = balance(&request.account_id, request.mode);
        self.0.transfers.lock().unwrap().push(request);
        Ok(Response::new(answer))
    }

    async fn set_alert(
        &self,
        request: Request<billing::SetAlertRequest>,
    ) -> Result<Response<billing::Balance>, Status> {
        let request = request.into_inner();
        let context = request.context.unwrap();
        Ok(Response::new(billing::Balance {
            alert_below: request.below,
            ..balance(&context.account_id, context.mode)
        }))
    }

    async fn list_audit_log(
        &self,
        request: Request<billing::ListAuditLogRequest>,
    ) -> Result<Response<billing::ListAuditLogReply>, Status> {
        let request = request.into_inner();
        let entry = billing::AuditLogEntry {
            entry_id: vec![9; 16].into(),
            account_id: vec![7; 16].into(),
            mode: 2,
            actor: "operator".to_owned(),
            request_id: String::new(),
            action: "key.create".to_owned(),
            subject: "key_1".to_owned(),
            detail: br#"{"name":"k"}"#.to_vec().into(),
            created_at: 1_500_000,
        };
        self.0.logs.lock().unwrap().push(request);
        Ok(Response::new(billing::ListAuditLogReply {
            entries: vec![entry],
        }))
    }

    async fn audit(
        &self,
        _request: Request<billing::AuditRequest>,
    ) -> Result<Response<billing::AuditReply>, Status> {
        let check = billing::AuditCheck {
            name: "entries_sum".into(),
            ok: true,
            figure: 0,
        };
        Ok(Response::new(billing::AuditReply {
            ok: true,
            checks: vec![check],
        }))
    }
}

#[tonic::async_trait]
impl billing::prices_server::Prices for FakeBilling {
    async fn keep_price_list(
        &self,
        _request: Request<billing::KeepPriceListRequest>,
    ) -> Result<Response<billing::KeepPriceListReply>, Status> {
        panic!("the edge keeps no price list")
    }

    async fn get_price_list(
        &self,
        request: Request<billing::GetPriceListRequest>,
    ) -> Result<Response<billing::PriceList>, Status> {
        Ok(Response::new(billing::PriceList {
            version: request.into_inner().version,
            body: "#: a.toml\n".into(),
            created_at: 1_500_000,
        }))
    }

    async fn set_price_factor(
        &self,
        request: Request<billing::SetPriceFactorRequest>,
    ) -> Result<Response<billing::Account>, Status> {
        let request = request.into_inner();
        let account = billing::Account {
            account_id: request.account_id.clone(),
            name: "one".into(),
            created_at: 1_500_000,
            price_factor: request.price_factor,
            operator: false,
        };
        self.0.factors.lock().unwrap().push(request);
        Ok(Response::new(account))
    }
}

/// What chat and media answer when asked for a price.
pub(crate) fn quote() -> common::Quote {
    common::Quote {
        expected: 1_250_000,
        max: 5_000_000,
        affordable: true,
        price_version: "v1".into(),
        resolved: Bytes::from_static(br#"{"model":"m","input_tokens_expected":7}"#),
        price_factor: 800_000,
    }
}

/// The events of an answer in one piece.
pub(crate) fn whole(body: &'static str) -> mpsc::Receiver<Result<chat::CompleteEvent, Status>> {
    let (sender, receiver) = mpsc::channel(2);
    let head = chat::complete_event::Event::Head(chat::Head {
        provider: "gemini".into(),
        stream: false,
        ..Default::default()
    });
    let tail = chat::complete_event::Event::Tail(chat::Tail {
        data: vec![Bytes::from_static(body.as_bytes())],
        charged: 1_250_000,
    });
    sender.try_send(Ok(event(head))).unwrap();
    sender.try_send(Ok(event(tail))).unwrap();
    receiver
}
