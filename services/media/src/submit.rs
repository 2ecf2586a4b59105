//! Accepting a task: check everything, write it down, hold its price, and only then say yes.

use std::time::Duration;

use chassis::clock::{micros, now_micros};
use db::outbox;
use domain::{
    Caller, Micros, Mode, TaskId,
    catalogue::{Model, Resolved},
};
use proto::{
    Fault, Violation,
    billing::v1::{HoldKind, HoldRequest},
    code,
};
use serde_json::{Map, Value, error::Category};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Media,
    moves::Move,
    state::{Event, State},
    store::task::{self as table, Earlier, IdempotencyKey, NewTask},
    task::{Request, Task},
    tell,
};

/// How long one try of a hold may take; a try that is lost is made again with the same id.
const HOLD_TRY: Duration = Duration::from_millis(500);

/// What the edge hands over.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) caller: Caller,
    pub(crate) task: TaskId,
    pub(crate) route: String,
    pub(crate) body: prost::bytes::Bytes,
    pub(crate) idempotency_key: Option<String>,
    /// Models the key may use; empty: all.
    pub(crate) models: Vec<String>,
}

/// The accepted task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Just made.
    New(TaskId),
    /// Made by an earlier request with the same Idempotency-Key and body.
    Replayed(TaskId),
}

/// What the insert found.
enum Inserted {
    New,
    Earlier(Earlier),
}

/// Accepts a task, or says why not. A refusal leaves no task and frees the key.
pub(crate) async fn submit(media: &Media, submission: Submission) -> Result<Accepted, Error> {
    let (key, body_hash) = (
        idempotency_key(&submission),
        Sha256::digest(&submission.body).into(),
    );
    // A repeat is answered as before, whatever has changed since: models, prices, addresses.
    if let Some(earlier) = earlier(media, key.clone()).await? {
        return replay(&earlier, body_hash);
    }
    let (task, request) = prepare(media, &submission).await?;
    let idempotency_key = key.as_ref().map(|key| key.hash);
    let new = NewTask {
        task,
        request,
        idempotency_key,
        body_hash,
    };
    let id = new.task.id;
    if let Inserted::Earlier(earlier) = insert(media, key, new.clone()).await? {
        return replay(&earlier, body_hash);
    }
    match hold(media, &submission.caller, &new.task).await {
        Ok(()) => {}
        Err(fault) if fault.kind() == proto::Kind::InsufficientCredits => {
            media.forget(id).await?;
            return Err(fault.into());
        }
        // Whether the hold stands is not known: the release is written down with the task's end.
        Err(fault) => {
            media.abandon(id).await?;
            return Err(fault.into());
        }
    }
    accept(media, new.task).await?;
    media.metrics.accepted.inc();
    Ok(Accepted::New(id))
}

/// Everything that can be refused without writing anything down.
async fn prepare(media: &Media, submission: &Submission) -> Result<(Task, Request), Error> {
    let mut fields: Map<String, Value> = parse(&submission.body)?;
    let model = model(media, submission, fields.remove("model"))?;
    let callback_url = callback(model, fields.remove("callback_url"))?;
    let parameters = model.resolve(fields).map_err(Fault::from_problems)?;
    let held = model
        .price
        .call(&parameters)
        .ok_or(Error::Damaged("no price"))?;
    let provider = model
        .candidates(&parameters)
        .next()
        .ok_or(Error::Damaged("no provider"))?;
    media
        .accesses
        .of(submission.caller.mode, &provider.provider)?;
    check_urls(
        media,
        submission.caller.mode,
        &parameters,
        callback_url.as_deref(),
    )
    .await?;
    let request = Request {
        parameters,
        callback_url,
    };
    let created_at = now_micros();
    let deadline = Duration::from_secs(u64::from(model.deadline_seconds));
    let task = Task {
        id: submission.task,
        account: submission.caller.account,
        mode: submission.caller.mode,
        route: submission.route.clone(),
        model: model.slug.clone(),
        state: State::Reserving,
        version: 1,
        request: Some(request.clone()),
        held,
        charged: Micros::ZERO,
        price_version: media.catalogue.version().to_owned(),
        attempts: 0,
        provider: None,
        job: None,
        progress: None,
        polls: 0,
        poll_failures: 0,
        due_at: created_at,
        not_before: 0,
        lease_until: 0,
        error: None,
        created_at,
        started_at: None,
        completed_at: None,
        deadline_at: created_at.saturating_add(micros(deadline)),
    };
    Ok((task, request))
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = match error.classify() {
            Category::Data => "the body must be one JSON object".to_owned(),
            Category::Io | Category::Syntax | Category::Eof => format!(
                "the body is not valid JSON: line {}, column {}",
                error.line(),
                error.column()
            ),
        };
        Fault::new(code::INVALID_JSON, problem)
    })
}

fn model<'a>(
    media: &'a Media,
    submission: &Submission,
    name: Option<Value>,
) -> Result<&'a Model, Fault> {
    let name = match name {
        None | Some(Value::Null) => {
            return Err(Fault::new(code::MISSING_PARAMETER, "model is required").param("model"));
        }
        Some(Value::String(name)) => name,
        Some(_) => {
            return Err(Fault::new(code::INVALID_PARAMETER, "model must be a text").param("model"));
        }
    };
    let served = || {
        media
            .catalogue
            .models()
            .iter()
            .filter(|model| model.route == submission.route)
    };
    let found = media
        .catalogue
        .find(&name)
        .filter(|model| model.route == submission.route);
    let Some(model) = found else {
        let known: Vec<&str> = served().map(|model| model.slug.as_str()).collect();
        // A name of ours would be echoed in full; anything longer is not one.
        let shown: String = name.chars().take(64).collect();
        let message = format!(
            "no model {shown:?} on {}; it serves {}",
            submission.route,
            known.join(", ")
        );
        return Err(Fault::new(code::UNKNOWN_MODEL, message).param("model"));
    };
    if !model.allowed_by(&submission.models) {
        let message = format!("this key may use {}", submission.models.join(", "));
        return Err(Fault::new(code::MODEL_NOT_ALLOWED, message).param("model"));
    }
    Ok(model)
}

fn callback(model: &Model, url: Option<Value>) -> Result<Option<String>, Fault> {
    let refuse =
        |message: String| Err(Fault::new(code::INVALID_PARAMETER, message).param("callback_url"));
    match url {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(_)) if !model.webhook => refuse(format!(
            "{} takes no callback_url; poll the task",
            model.slug
        )),
        Some(Value::String(url)) => Ok(Some(url)),
        Some(_) => refuse("callback_url must be a URL".to_owned()),
    }
}

/// A callback is called in both modes. Inputs are fetched for live keys alone: for test keys their form is enough. Names are
/// resolved side by side, so that many take no longer than one.
async fn check_urls(
    media: &Media,
    mode: Mode,
    parameters: &Resolved,
    callback: Option<&str>,
) -> Result<(), Fault> {
    let callback = callback.map(|url| ("callback_url".to_owned(), url, Mode::Live));
    let inputs = inputs(parameters).map(|(param, url)| (param, url, mode));
    let checks = callback
        .into_iter()
        .chain(inputs)
        .map(|(param, url, depth)| async move {
            let checked = match depth {
                Mode::Live => media.guard.check(url).await.map(drop),
                Mode::Test => media.guard.policy().admit(url).map(drop),
            };
            let refusal = checked.err()?;
            Some(Violation {
                message: format!("{param} is refused: {refusal}"),
                param,
            })
        });
    let violations: Vec<Violation> = futures::future::join_all(checks)
        .await
        .into_iter()
        .flatten()
        .collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Fault::from_violations(code::FORBIDDEN_URL, violations))
    }
}

/// Every URL among the parameters, with its path.
fn inputs(parameters: &Resolved) -> impl Iterator<Item = (String, &str)> {
    parameters.iter().flat_map(|(name, value)| {
        let items = value.as_array().into_iter().flatten().enumerate();
        items.filter_map(move |(index, item)| Some((format!("{name}[{index}]"), item.as_str()?)))
    })
}

fn idempotency_key(submission: &Submission) -> Option<IdempotencyKey> {
    submission
        .idempotency_key
        .as_deref()
        .map(|key| IdempotencyKey {
            account: submission.caller.account,
            mode: submission.caller.mode,
            route: submission.route.clone(),
            hash: Sha256::digest(key.as_bytes()).into(),
        })
}

/// What an earlier request with this key made, if the key is guarded still.
async fn earlier(media: &Media, key: Option<IdempotencyKey>) -> Result<Option<Earlier>, Error> {
    let Some(key) = key else { return Ok(None) };
    let since = now_micros().saturating_sub(micros(media.config.idempotency));
    let mut connection = media.db.reader().acquire().await?;
    let earlier = table::by_key(&mut connection, &key).await?;
    Ok(earlier.filter(|earlier| is_guarded(earlier, since)))
}

/// A key is guarded for a day; that of a task which is not accepted yet, until that is settled.
fn is_guarded(earlier: &Earlier, since: i64) -> bool {
    earlier.created_at >= since || earlier.state == State::Reserving
}

async fn insert(
    media: &Media,
    key: Option<IdempotencyKey>,
    new: NewTask,
) -> Result<Inserted, Error> {
    let sealer = media.secrets.content().clone();
    let since = now_micros().saturating_sub(micros(media.config.idempotency));
    media
        .db
        .write(move |connection| {
            Box::pin(async move {
                let earlier = match &key {
                    Some(key) => table::by_key(connection, key).await?,
                    None => None,
                };
                match earlier {
                    Some(earlier) if is_guarded(&earlier, since) => {
                        return Ok(Inserted::Earlier(earlier));
                    }
                    Some(earlier) => table::free_key(connection, earlier.id).await?,
                    None => {}
                }
                table::insert(connection, &new, &sealer).await?;
                Ok(Inserted::New)
            })
        })
        .await
}

fn replay(earlier: &Earlier, body_hash: [u8; 32]) -> Result<Accepted, Error> {
    if earlier.body_hash != body_hash {
        let message =
            "this Idempotency-Key was used with another body; use a new key for a new request";
        return Err(Fault::new(code::IDEMPOTENCY_MISMATCH, message).into());
    }
    if earlier.state == State::Reserving {
        let message = "the first request with this Idempotency-Key is still running";
        return Err(Fault::new(code::IDEMPOTENCY_IN_PROGRESS, message)
            .retry_after(Duration::from_secs(1))
            .into());
    }
    Ok(Accepted::Replayed(earlier.id))
}

/// Holds the task's price. Lost answers are asked for again: the id makes that safe.
async fn hold(media: &Media, caller: &Caller, task: &Task) -> Result<(), Fault> {
    let request = HoldRequest {
        context: Some(caller.into()),
        hold_id: task.id.to_vec().into(),
        kind: HoldKind::Media.into(),
        amount: task.held.get(),
        floor: task.held.get(),
        ttl_ms: 0,
        price_version: task.price_version.clone(),
    };
    let until = tokio::time::Instant::now().checked_add(media.config.hold_timeout);
    loop {
        let mut billing = media.peers.billing.clone();
        let held = billing
            .hold(chassis::rpc::request(request.clone(), HOLD_TRY))
            .await;
        let fault = match held {
            Ok(_) => return Ok(()),
            Err(status) => Fault::from(status),
        };
        let again = matches!(
            fault.kind(),
            proto::Kind::Timeout | proto::Kind::Unavailable | proto::Kind::Internal
        );
        if !again {
            return Err(fault);
        }
        if until.is_none_or(|until| tokio::time::Instant::now() >= until) {
            return Err(Fault::of(code::BILLING_UNAVAILABLE).retry_after(Duration::from_secs(2)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The task is accepted: from here on nothing may lose it.
async fn accept(media: &Media, task: Task) -> Result<(), Error> {
    let id = task.id;
    let accepted = match Move::of(task, Event::Held) {
        Some(mut held) => {
            held.after.due_at = now_micros().saturating_add(micros(media.config.ring_again));
            held.tell.push(tell::run(id));
            media.make(held).await?
        }
        None => false,
    };
    if accepted {
        return Ok(());
    }
    // A sweep took it for dead in the meantime and gave the hold back.
    Err(Fault::of(code::OVERLOADED)
        .retry_after(Duration::from_secs(1))
        .into())
}

impl Media {
    /// Forgets a task whose hold was refused: nothing was held.
    async fn forget(&self, task: TaskId) -> Result<(), Error> {
        let written: Result<bool, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { table::drop_reserving(connection, task).await })
            })
            .await;
        written.map(drop)
    }

    /// Forgets a task that was never accepted, and gives its hold back in case there is one.
    pub(crate) async fn abandon(&self, task: TaskId) -> Result<(), Error> {
        let release = tell::release(task)?;
        let written: Result<(), Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    if table::drop_reserving(connection, task).await? {
                        outbox::enqueue(connection, release).await?;
                    }
                    Ok(())
                })
            })
            .await;
        written?;
        self.relay.ring();
        Ok(())
    }
}
