//! Accepting a task: check everything, write it down, hold its price, and only then say yes.

use std::time::Duration;

use chassis::{
    clock::micros,
    config::Providers,
    failpoint::{Point, reach},
    telemetry::traceparent,
};
use db::outbox;
use domain::{
    Caller, Micros, Mode, Moment, Problem, Tags, TaskId,
    catalogue::{Model, Resolved, Unserved},
    charge::Ending,
    price::Frozen,
};
use proto::{Fault, Violation, code};
use serde_json::{Map, Value, error::Category};
use sha2::{Digest as _, Sha256};
use upstream::Purpose;

use crate::{
    Error, Media,
    execute::able,
    hold::{NotHeld, hold},
    inputs, json,
    moves::Move,
    origin,
    repeat::{earlier, is_guarded, replay},
    room,
    state::{Event, State},
    store::task::{self as table, Earlier, IdempotencyKey, NewTask},
    task::{Request, Task},
    tell,
};

/// When to come again after a moment's trouble.
pub(crate) const SOON: Duration = Duration::from_secs(1);

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
    /// Tasks the key may have open at once; 0: as many as the account.
    pub(crate) max_open_tasks: u32,
    /// The customer's own limit of the cost.
    pub(crate) max_cost: Option<Micros>,
    /// Of what the customer sent, where the body was made of it and names what is not the same again.
    pub(crate) sent_hash: Option<[u8; 32]>,
}

/// The accepted task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Just made.
    New(TaskId),
    /// Made by an earlier request with the same Idempotency-Key and body.
    Replayed(TaskId),
}

/// What became of a task that was to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// There is no such task, and its hold is given back.
    Gone,
    /// It is accepted, so it stays.
    Accepted,
}

/// What the insert found.
enum Inserted {
    New,
    Earlier(Earlier),
}

/// Accepts a task, or says why not. A refusal leaves no task and frees the key.
pub(crate) async fn submit(media: &Media, submission: Submission) -> Result<Accepted, Error> {
    let (key, body_hash) = (idempotency_key(&submission), submission.body_hash());
    // A repeat is answered as before, whatever has changed since: models, prices, addresses.
    if let Some(earlier) = earlier(media, key.as_ref(), body_hash).await? {
        return replay(&earlier, body_hash);
    }
    let (mut task, request) = prepare(media, &submission).await?;
    room::for_outputs(media, &submission.caller).await?;
    if let Some(file) = inputs::check(media, &task).await? {
        // Nobody waits for room at a provider that cannot have it.
        let able = able(media, &task, Some(file));
        let routes = able.iter().map(|candidate| candidate.route);
        let line = media.line(task.mode, routes);
        stand(&mut task, line);
    }
    let idempotency_key = key.as_ref().map(|key| key.hash);
    let new = NewTask {
        once: origin::once(media, &task),
        task,
        key: submission.caller.key,
        room: room::of(media, &submission),
        request,
        idempotency_key,
        body_hash,
    };
    let id = new.task.id;
    reach(Point::MediaBeforeTask);
    if let Inserted::Earlier(found) = insert(media, key.clone(), new.clone()).await? {
        let accepted = earlier(media, key.as_ref(), body_hash).await?;
        return replay(&accepted.unwrap_or(found), body_hash);
    }
    reach(Point::MediaAfterTask);
    match hold(media, &submission.caller, &new.task).await {
        Ok(()) => reach(Point::MediaAfterHold),
        Err(NotHeld::Surely(fault)) => {
            media.forget(id).await?;
            return Err(fault.into());
        }
        // The release is written down with the task's end. Billing keeps it, and refuses a hold that comes later.
        Err(NotHeld::Perhaps(fault)) => {
            media.abandon(id).await?;
            return Err(fault.into());
        }
    }
    accept(media, new.task).await?;
    reach(Point::MediaAfterAccept);
    media.metrics.accepted.inc();
    Ok(Accepted::New(id))
}

/// In its line a task has its place by when it came.
fn stand(task: &mut Task, line: String) {
    task.not_before = if line.is_empty() { 0 } else { task.created_at };
    task.line = line;
}

/// Everything that can be refused without writing anything down.
pub(crate) async fn prepare(
    media: &Media,
    submission: &Submission,
) -> Result<(Task, Request), Error> {
    let mut fields: Map<String, Value> = parse(&submission.body)?;
    let (model, name) = model(media, submission, fields.remove("model"))?;
    let callback_url = callback(model, fields.remove("callback_url"))?;
    let tags = Tags::read(fields.remove("user"), fields.remove("metadata"));
    let (parameters, tags) =
        both(model.resolve_as(&name, fields), tags).map_err(Fault::from_problems)?;
    if !model.allows(&submission.models, &parameters) {
        let (model, allowed) = (model.slug.clone(), submission.models.clone());
        return Err(Fault::from(Unserved::NotAllowed { model, allowed }).into());
    }
    let found = origin::find(media, submission, model, parameters);
    let (parameters, origin) = Box::pin(found).await?;
    let parameters = inputs::counted(media, &submission.caller, model, parameters).await?;
    let (created_at, mode) = (media.db.now_micros(), submission.caller.mode);
    let at = Moment::from_micros(created_at);
    let factor = submission.caller.price_factor;
    let price = Frozen::of(model, &parameters, at, factor).ok_or(Error::Damaged("no price"))?;
    let held = price.ceiling().map_err(|_| Error::Damaged("no price"))?;
    within(submission.max_cost, held)?;
    reachable(media, mode, model, &parameters)?;
    let inputs = model.urls(&parameters);
    check_urls(media, mode, inputs, callback_url.as_deref()).await?;
    let request = Request {
        parameters,
        callback_url,
        tags,
        origin,
    };
    let deadline = Duration::from_secs(u64::from(model.deadline_seconds));
    let routes = model.candidates(&request.parameters);
    let line = media.line(mode, routes.filter(|route| request.is_for(&route.provider)));
    let task = Task {
        id: submission.task,
        account: submission.caller.account,
        mode,
        route: submission.route.clone(),
        model: model.slug.clone(),
        state: State::Reserving,
        version: 1,
        request: Some(request.clone()),
        held,
        price: Box::new(price),
        charged: Micros::ZERO,
        price_version: media.catalogue.version().to_owned(),
        attempts: 0,
        provider: None,
        job: None,
        progress: None,
        polls: 0,
        poll_failures: 0,
        due_at: created_at,
        not_before: if line.is_empty() { 0 } else { created_at },
        line,
        claims: 0,
        lease_until: 0,
        error: None,
        created_at,
        started_at: None,
        completed_at: None,
        deadline_at: created_at.saturating_add(micros(deadline)),
        queue_position: None,
        cancel_asked_at: 0,
        heard_at: 0,
        trace: traceparent(),
        clips: Vec::new(),
    };
    Ok((task, request))
}

/// Everything that is wrong with either is said at once.
fn both<A, B>(
    first: Result<A, Vec<Problem>>,
    second: Result<B, Vec<Problem>>,
) -> Result<(A, B), Vec<Problem>> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(mut problems), Err(more)) => {
            problems.extend(more);
            Err(problems)
        }
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
    }
}

/// The price is within the customer's own limit.
fn within(most: Option<Micros>, price: Micros) -> Result<(), Fault> {
    if most.is_none_or(|most| price <= most) {
        return Ok(());
    }
    let message = format!(
        "this task costs {price} credits, which is more than its x-aio-max-cost-credits; nothing was held"
    );
    Err(Fault::new(code::MAX_COST_EXCEEDED, message).param("x-aio-max-cost-credits"))
}

/// One provider at least that serves the model can be asked.
fn reachable(media: &Media, mode: Mode, model: &Model, parameters: &Resolved) -> Result<(), Fault> {
    let names: Vec<&str> = model
        .candidates(parameters)
        .map(|route| route.provider.as_str())
        .collect();
    let reachable = |name: &&str| media.accesses.access(mode, name).is_some();
    if names.iter().any(reachable) {
        return Ok(());
    }
    let message = Providers::missing(mode, &model.slug, &names);
    Err(Fault::new(code::NO_PROVIDER, message))
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    json::object(body).map_err(|error| {
        let problem = match error.classify() {
            Category::Data => {
                "the body must be one JSON object in which no name comes twice".to_owned()
            }
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
) -> Result<(&'a Model, String), Fault> {
    let name = match name {
        None | Some(Value::Null) => {
            let missing = || Fault::new(code::MISSING_PARAMETER, "model is required");
            let meant = media.catalogue.unnamed(&submission.route);
            meant
                .map(str::to_owned)
                .ok_or_else(|| missing().param("model"))?
        }
        Some(Value::String(name)) => name,
        Some(_) => {
            return Err(Fault::new(code::INVALID_PARAMETER, "model must be a text").param("model"));
        }
    };
    let chosen = media
        .catalogue
        .choose(&submission.route, &name, &submission.models);
    Ok((chosen.map_err(Fault::from)?, name))
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
    inputs: impl Iterator<Item = (String, &str)>,
    callback: Option<&str>,
) -> Result<(), Fault> {
    let for_callbacks = media.guard.on_behalf_of(Purpose::Callback);
    let callback =
        callback.map(|url| ("callback_url".to_owned(), url, (&for_callbacks, Mode::Live)));
    let inputs = inputs.map(|(param, url)| (param, url, (&media.guard, mode)));
    let checks = callback
        .into_iter()
        .chain(inputs.filter(|(_, url, _)| domain::FileId::parse(url).is_none()))
        .map(|(param, url, (guard, depth))| async move {
            let checked = match depth {
                Mode::Live => guard.check(url).await.map(drop),
                Mode::Test => guard.admit(url).map(drop),
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

// === impl Submission ===

impl Submission {
    /// What tells whether it is the same again.
    fn body_hash(&self) -> [u8; 32] {
        let own = || Sha256::digest(&self.body).into();
        self.sent_hash.unwrap_or_else(own)
    }
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

async fn insert(
    media: &Media,
    key: Option<IdempotencyKey>,
    new: NewTask,
) -> Result<Inserted, Error> {
    let sealer = media.secrets.content().clone();
    let since = media
        .db
        .now_micros()
        .saturating_sub(micros(media.config.submit.idempotency));
    media
        .db
        .write(move |connection| {
            Box::pin(async move {
                room::wait(connection, &new).await?;
                if let Some(key) = &key
                    && let Some(earlier) = table::by_key(connection, key).await?
                {
                    if is_guarded(&earlier, since) {
                        return Ok(Inserted::Earlier(earlier));
                    }
                    table::free_key(connection, earlier.id).await?;
                }
                room::check(connection, &new).await?;
                if table::insert(connection, &new, &sealer).await? {
                    return Ok(Inserted::New);
                }
                // Another process was faster by a moment, or this submit itself came twice.
                let earlier = match table::by_id(connection, &new.task).await? {
                    Some(same) => Some(same),
                    None => match &key {
                        Some(key) => table::by_key(connection, key).await?,
                        None => None,
                    },
                };
                if let Some(earlier) = earlier {
                    return Ok(Inserted::Earlier(earlier));
                }
                if let Some(once) = &new.once
                    && let Some(by) =
                        table::by_once(&mut *connection, &new.task.route, once).await?
                {
                    return Err(once.taken(by).into());
                }
                // It was dropped meanwhile, or belongs to somebody else.
                let dropped = Fault::of(code::IDEMPOTENCY_IN_PROGRESS).retry_after(SOON);
                Err(dropped.into())
            })
        })
        .await
}

/// The task is accepted: from here on nothing may lose it.
async fn accept(media: &Media, task: Task) -> Result<(), Error> {
    let id = task.id;
    let accepted = match Move::of(task, Event::Held) {
        Some(mut held) => {
            held.after.due_at = media
                .db
                .now_micros()
                .saturating_add(micros(media.config.ring_again));
            if held.after.line.is_empty() {
                held.tell.push(tell::run(id));
            }
            let made = media.make(held);
            match tokio::time::timeout(media.config.submit.accept_timeout, made).await {
                Ok(made) => made?,
                Err(_elapsed) => return give_up(media, id).await,
            }
        }
        None => false,
    };
    if accepted {
        return Ok(());
    }
    // A sweep took it for dead in the meantime and gave the hold back.
    Err(Fault::of(code::OVERLOADED).retry_after(SOON).into())
}

/// The database went away just now, and whether the task was accepted is not known. Whoever is told to try again must not have
/// this task too, so it is dropped, unless it was accepted after all. With the database still away a sweep does that later.
async fn give_up(media: &Media, task: TaskId) -> Result<(), Error> {
    let abandoned = media.patiently("give a task up", || media.abandon(task));
    match tokio::time::timeout(SOON, abandoned).await {
        Ok(Ok(Abandoned::Accepted)) => Ok(()),
        Ok(Ok(Abandoned::Gone) | Err(_)) | Err(_) => Err(Fault::of(code::SERVICE_UNAVAILABLE)
            .retry_after(SOON)
            .into()),
    }
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
    pub(crate) async fn abandon(&self, task: TaskId) -> Result<Abandoned, Error> {
        let found = table::get(self.db.reader(), task, self.secrets.content());
        let Some(found) = self.db.read(found).await? else {
            return Ok(Abandoned::Gone);
        };
        let receipt = found.receipt(Ending::NeverAccepted, &[], Vec::new())?;
        let release = tell::settle(&found, &receipt)?;
        let now = self.db.now_micros();
        let written: Result<Abandoned, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    if table::drop_reserving(connection, task).await? {
                        outbox::enqueue(connection, release, now).await?;
                    } else if table::is_accepted(connection, task).await? {
                        return Ok(Abandoned::Accepted);
                    }
                    Ok(Abandoned::Gone)
                })
            })
            .await;
        let abandoned = written?;
        self.relay.ring();
        Ok(abandoned)
    }
}
