//! Uploaded files as inputs of tasks: a `file_…` in the place of a URL. It is checked at the submit, and stands in the task as it came. A
//! provider is given a signed link of ours that lives as long as the task may, or the bytes themselves; it never sees the id.

mod fetched;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::clock::MICROS_PER_SECOND;
use domain::{
    Caller, FileId,
    catalogue::{Input, Model, Resolved},
};
use futures::TryStreamExt as _;
use proto::{Code, Fault, Kind, Violation, code};

pub(crate) use self::fetched::{Fetched, fetched};
use crate::{
    Error, Media,
    config::PassedAs,
    execute::{Candidate, able, candidates},
    files::{self, File, Owner},
    inline_room::{Holds, InlineRoom},
    lengths::Longest,
    providers::{self, Takes},
    task::{Request, Task},
};

/// Seconds that a link lives on behind its task's deadline.
const GRACE: i64 = 60;

/// What a provider is given.
pub(crate) struct Filled {
    /// The task's parameters, without an id of ours.
    pub(crate) parameters: Resolved,
    /// The first file that is given by a link: who is asked must be able to fetch it.
    pub(crate) linked: Option<FileId>,
    /// How many bytes of files are inside.
    pub(crate) inside: u64,
    /// The room of those, as long as they are.
    _room: Room,
}

/// Room for bytes inside of a request, if it has some.
type Room = Option<InlineRoom>;

/// How the files that a task names are given.
#[derive(Default)]
struct Plan {
    /// By links.
    linked: Vec<FileId>,
    /// By their bytes.
    inline: Vec<File>,
    /// How many those are, each file as often as it is named.
    bytes: u64,
}

/// Why a provider cannot be given what a task names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfilled {
    /// This file is kept no longer.
    Gone(FileId),
    /// There is no room for its files inside of a request at the moment.
    Full,
}

// === impl Filled ===

impl Filled {
    /// Parameters that name no file.
    const fn as_it_is(parameters: Resolved) -> Self {
        Self {
            parameters,
            linked: None,
            inside: 0,
            _room: None,
        }
    }
}

/// Refuses files that are not there for the task's owner, that their parameter cannot be, or that last too long: all of them at once. And
/// one that no provider can fetch. `Some`: a file that is given by a link, if there is one.
pub(crate) async fn check(media: &Media, task: &Task) -> Result<Option<FileId>, Error> {
    let parameters = task.parameters();
    let Some(model) = media.catalogue.find(&task.model) else {
        return Ok(None);
    };
    let longest = Longest::of(media, task);
    let (mut violations, mut code) = (Vec::new(), code::INPUT_TOO_LONG);
    let (mut unfit, candidates) = (None, candidates(media, task));
    for input in model.inputs(&parameters) {
        let Some(id) = FileId::parse(input.text) else {
            continue;
        };
        let file = look(media, owner(task), id).await?;
        if let Some(file) = file.as_ref().filter(|_| unfit.is_none()) {
            unfit = nobodys(&candidates, &input, file);
            let most = media.kept.uploads.limits.most_given();
            unfit = unfit.or_else(|| too_large(&candidates, &input, (file, most)));
        }
        let found = wrong((model, longest.as_ref()), &input, (id, file));
        if let Some((why, message)) = found {
            if why != code::INPUT_TOO_LONG {
                code = why;
            }
            let param = input.param;
            violations.push(Violation { param, message });
        }
    }
    if !violations.is_empty() {
        return Err(Fault::from_violations(code, violations).into());
    }
    if let Some(unfit) = unfit {
        return Err(unfit.into());
    }
    let linked = linked(media, task).await?;
    match linked {
        Some(file) if able(media, task, linked).is_empty() => {
            Err(Fault::new(code::NO_PROVIDER, out_of_reach(file)).into())
        }
        Some(_) | None => Ok(linked),
    }
}

/// The parameters with how long the sounds are that they name, where that is among them: their price is by it.
///
/// # Errors
/// What is wrong with such a sound: how long it is must be known.
pub(crate) async fn counted(
    media: &Media,
    caller: &Caller,
    model: &Model,
    parameters: Resolved,
) -> Result<Resolved, Error> {
    let mut parameters = parameters;
    for counted in model.counted() {
        let named = model
            .inputs(&parameters)
            .find(|input| input.param == counted.of);
        let named = named.and_then(|input| Some((FileId::parse(input.text)?, input)));
        let Some((id, input)) = named else {
            continue;
        };
        let file = look(media, Owner::from(caller), id).await?;
        let millis = file.as_ref().and_then(|file| file.millis);
        if let Some((code, message)) = wrong((model, None), &input, (id, file)) {
            return Err(Fault::new(code, message).param(&input.param).into());
        }
        // What is right lasts, and says how long.
        let lasts = Duration::from_millis(millis.unwrap_or_default());
        let found = model.count(parameters.clone(), &counted, lasts);
        parameters = found.map_err(Fault::from_problems)?;
    }
    Ok(parameters)
}

/// A file of a kind that each of these would refuse.
fn nobodys(candidates: &[Candidate<'_>], input: &Input<'_>, file: &File) -> Option<Fault> {
    let ending = providers::ending(&file.content_type);
    let lists = candidates
        .iter()
        .map(|candidate| candidate.adapter.endings());
    let lists: Option<Vec<_>> = lists.collect();
    let longest = lists?.into_iter().max_by_key(|list| list.len())?;
    let takes = |candidate: &Candidate<'_>| {
        let list = candidate.adapter.endings();
        list.is_some_and(|list| list.contains(&ending))
    };
    if candidates.iter().any(takes) {
        return None;
    }
    let (param, id, kind) = (&input.param, file.id, &file.content_type);
    let allowed = longest.join(", ");
    let message = format!(
        "{param} must be of a kind that this model hears, which are {allowed}: {id} is {kind}"
    );
    Some(Fault::new(code::INVALID_PARAMETER, message).param(param))
}

/// A file of more bytes than each of these is given, as none of them fetches it.
fn too_large(
    candidates: &[Candidate<'_>],
    input: &Input<'_>,
    (file, most): (&File, u64),
) -> Option<Fault> {
    let is_given = |candidate: &Candidate<'_>| candidate.adapter.takes() == Takes::Bytes;
    if candidates.is_empty() || file.bytes <= most || !candidates.iter().all(is_given) {
        return None;
    }
    let (param, id, bytes) = (&input.param, file.id, file.bytes);
    let message =
        format!("{param} must be a file of {most} bytes at most for this model: {id} has {bytes}");
    Some(Fault::new(code::BODY_TOO_LARGE, message).param(param))
}

/// What is told where no provider can fetch a file.
pub(crate) fn out_of_reach(file: FileId) -> String {
    format!(
        "{file} cannot be fetched by this model's provider, for which this installation has no public address: give a public URL in its place"
    )
}

/// What is wrong with a file in its place, if anything is. How long it lasts was measured once, as it came.
fn wrong(
    (model, longest): (&Model, Option<&Longest>),
    input: &Input<'_>,
    (id, file): (FileId, Option<File>),
) -> Option<(Code, String)> {
    let param = &input.param;
    let invalid = |message: String| Some((code::INVALID_PARAMETER, message));
    let Some(file) = file else {
        return invalid(format!(
            "{param} must be a file that is kept: there is no {id} for this key"
        ));
    };
    if let Some(medium) = input.kind.filter(|kind| !kind.has(&file.content_type)) {
        let (name, kind) = (medium.name(), file.content_type);
        return invalid(format!("{param} must be {name}: {id} is {kind}"));
    }
    let bounds = bounds(model, param);
    if bounds.is_none() && longest.is_none() {
        return None;
    }
    let named = (&*id.to_string(), file.millis);
    if let Some(message) = bounds.and_then(|bounds| out_of(bounds, param, named)) {
        return invalid(message);
    }
    let exceeded = longest.and_then(|longest| longest.exceeded(param, file.millis?));
    exceeded.map(|message| (code::INPUT_TOO_LONG, message))
}

/// How many seconds a sound in this place must last, at least and at most.
pub(crate) fn bounds(model: &Model, param: &str) -> Option<(u32, u32)> {
    let mut params = model.params.iter();
    params.find(|own| own.name == param)?.of.seconds()
}

/// What is wrong with a sound that must last from so many seconds to so many, if anything is.
pub(crate) fn out_of(
    (min, max): (u32, u32),
    param: &str,
    (name, millis): (&str, Option<u64>),
) -> Option<String> {
    let lasts = millis.map(Duration::from_millis);
    let bounds = Duration::from_secs(min.into())..=Duration::from_secs(max.into());
    let found = match lasts {
        Some(lasts) if bounds.contains(&lasts) => return None,
        Some(lasts) => format!("{name} lasts {}", lasts.as_secs_f64()),
        None => format!("{name} does not say how long it lasts"),
    };
    Some(format!(
        "{param} must be a sound of {min} to {max} seconds: {found}"
    ))
}

/// Whose files a task may name.
pub(crate) fn owner(task: &Task) -> Owner {
    Owner {
        account: task.account,
        mode: task.mode,
    }
}

/// What a provider is given.
///
/// # Errors
/// The inner one: why it cannot be given.
pub(crate) async fn filled(media: &Media, task: &Task) -> Result<Result<Filled, Unfilled>, Error> {
    let request = task.request.as_ref();
    let parameters = request.map(Request::sent).unwrap_or_default();
    let Some(model) = media.catalogue.find(&task.model) else {
        return Ok(Ok(Filled::as_it_is(parameters)));
    };
    let plan = match plan(media, task, model).await? {
        Ok(plan) => plan,
        Err(gone) => return Ok(Err(Unfilled::Gone(gone))),
    };
    let room = match plan.bytes {
        0 => None,
        bytes => match media
            .kept
            .uploads
            .inline_room(owner(task), (Holds::of(model), bytes))
        {
            None => return Ok(Err(Unfilled::Full)),
            room => room,
        },
    };
    let links = plan.linked.iter();
    let links = links.map(|id| (id.to_string(), link(media, task, *id)));
    let mut given: Vec<(String, String)> = links.collect();
    for file in &plan.inline {
        let Some(data) = there(data(media, file).await)? else {
            return Ok(Err(Unfilled::Gone(file.id)));
        };
        given.push((file.id.to_string(), data));
    }
    let other = |text: &str| {
        let found = given.iter().find(|(id, _)| id == text);
        found.map(|(_, given)| given.clone())
    };
    Ok(Ok(Filled {
        parameters: model.with_urls(&parameters, other),
        linked: plan.linked.first().copied(),
        inside: plan.bytes,
        _room: room,
    }))
}

/// A file of a task that is given by a link, if there is one.
pub(crate) async fn linked(media: &Media, task: &Task) -> Result<Option<FileId>, Error> {
    let Some(model) = media.catalogue.find(&task.model) else {
        return Ok(None);
    };
    let plan = plan(media, task, model).await?;
    Ok(plan.ok().and_then(|plan| plan.linked.first().copied()))
}

/// How a task's files are given.
///
/// # Errors
/// The inner one: a file that is gone.
async fn plan(media: &Media, task: &Task, model: &Model) -> Result<Result<Plan, FileId>, Error> {
    let request = task.request.as_ref();
    let parameters = request.map(Request::sent).unwrap_or_default();
    let mut named: BTreeMap<FileId, u64> = BTreeMap::new();
    let inputs = model.inputs(&parameters);
    for id in inputs.filter_map(|input| FileId::parse(input.text)) {
        let times = named.entry(id).or_default();
        *times = times.saturating_add(1);
    }
    let (limits, mut plan) = (&media.kept.uploads.limits, Plan::default());
    for (id, times) in named {
        let Some(file) = look(media, owner(task), id).await? else {
            return Ok(Err(id));
        };
        let bytes = plan.bytes.saturating_add(file.bytes.saturating_mul(times));
        if limits.passed_as == PassedAs::Link || bytes > limits.inline_bytes {
            plan.linked.push(id);
        } else {
            plan.bytes = bytes;
            plan.inline.push(file);
        }
    }
    Ok(Ok(plan))
}

async fn look(media: &Media, owner: Owner, id: FileId) -> Result<Option<File>, Error> {
    there(files::get(media, owner, id).await)
}

/// What is there, if it is.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Fault(fault)) if fault.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A link to a file, for a provider.
fn link(media: &Media, task: &Task, id: FileId) -> String {
    let until = task.deadline_at.checked_div(MICROS_PER_SECOND);
    let until = until.unwrap_or_default().saturating_add(GRACE);
    media.viewer.file_link(id, until)
}

/// A file's bytes as a URL.
async fn data(media: &Media, file: &File) -> Result<String, Error> {
    let parts = media.kept.uploads.read(file.id, 0..file.bytes).await?;
    let parts: Vec<_> = parts.try_collect().await?;
    Ok(data_url(&file.content_type, &parts.concat()))
}

fn data_url(content_type: &str, bytes: &[u8]) -> String {
    format!("data:{content_type};base64,{}", STANDARD.encode(bytes))
}
