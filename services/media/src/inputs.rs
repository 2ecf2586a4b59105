//! Uploaded files as inputs of tasks: a `file_…` in the place of a URL. It is checked at the submit, and stands in the task as it came. A
//! provider is given a signed link of ours that lives as long as the task may, or the bytes themselves; it never sees the id.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::clock::MICROS_PER_SECOND;
use domain::{
    FileId,
    catalogue::{Model, ParamType, Resolved},
};
use futures::TryStreamExt as _;
use proto::{Fault, Kind, Violation, code};

use crate::{
    Error, Media,
    config::PassedAs,
    files::{self, File, Owner},
    task::{Request, Task},
};

/// Seconds that a link lives on behind its task's deadline.
const GRACE: i64 = 60;

/// What a parameter can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Medium {
    name: &'static str,
    types: &'static str,
}

const PICTURE: Medium = Medium {
    name: "an image",
    types: "image/",
};
const FILM: Medium = Medium {
    name: "a video",
    types: "video/",
};
const SOUND: Medium = Medium {
    name: "a sound",
    types: "audio/",
};

/// Refuses files that are not there for the task's owner, or that their parameter cannot be: all of them at once.
pub(crate) async fn check(media: &Media, task: &Task) -> Result<(), Error> {
    let parameters = task.parameters();
    let Some(model) = media.catalogue.find(&task.model) else {
        return Ok(());
    };
    let mut violations = Vec::new();
    for (param, text) in model.urls(&parameters) {
        let Some(id) = FileId::parse(text) else {
            continue;
        };
        let message = match look(media, owner(task), id).await? {
            None => Some(format!(
                "{param} must be a file that is kept: there is no {id} for this key"
            )),
            Some(file) => unfit(media, model, &param, &file).await?,
        };
        violations.extend(message.map(|message| Violation { param, message }));
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Fault::from_violations(code::INVALID_PARAMETER, violations).into())
    }
}

/// Why a file cannot be what its parameter is, if it cannot.
async fn unfit(
    media: &Media,
    model: &Model,
    param: &str,
    file: &File,
) -> Result<Option<String>, Error> {
    let (medium, id) = (Medium::of(param), file.id);
    if !file.content_type.starts_with(medium.types) {
        let (name, kind) = (medium.name, &file.content_type);
        return Ok(Some(format!("{param} must be {name}: {id} is {kind}")));
    }
    let mut params = model.params.iter();
    let Some(ParamType::Sound {
        min_seconds: min,
        max_seconds: max,
    }) = params.find(|own| own.name == param).map(|own| &own.of)
    else {
        return Ok(None);
    };
    let (least, most) = (
        Duration::from_secs((*min).into()),
        Duration::from_secs((*max).into()),
    );
    let found = match media.kept.uploads.lasts(file).await? {
        Some(lasts) if (least..=most).contains(&lasts) => return Ok(None),
        Some(lasts) => format!("{id} lasts {}", lasts.as_secs_f64()),
        None => format!("{id} does not say how long it lasts"),
    };
    Ok(Some(format!(
        "{param} must be a sound of {min} to {max} seconds: {found}"
    )))
}

fn owner(task: &Task) -> Owner {
    Owner {
        account: task.account,
        mode: task.mode,
    }
}

/// What a provider is given: the task's parameters, without an id of ours.
///
/// # Errors
/// The inner one: which file is kept no longer.
pub(crate) async fn filled(media: &Media, task: &Task) -> Result<Result<Resolved, FileId>, Error> {
    let request = task.request.as_ref();
    let parameters = request.map(Request::sent).unwrap_or_default();
    let Some(model) = media.catalogue.find(&task.model) else {
        return Ok(Ok(parameters));
    };
    let mut given: Vec<(String, String)> = Vec::new();
    // Bytes that may still travel inside this request: more are given by a link.
    let mut room = media.kept.uploads.limits.inline_bytes;
    for id in ids(model, &parameters) {
        let Some(file) = look(media, owner(task), id).await? else {
            return Ok(Err(id));
        };
        given.push((id.to_string(), give(media, task, &file, room).await?));
        room = room.saturating_sub(file.bytes);
    }
    if given.is_empty() {
        return Ok(Ok(parameters));
    }
    let other = |text: &str| {
        let found = given.iter().find(|(id, _)| id == text);
        found.map(|(_, given)| given.clone())
    };
    Ok(Ok(model.with_urls(&parameters, other)))
}

fn ids(model: &Model, parameters: &Resolved) -> Vec<FileId> {
    let named = model.urls(parameters);
    let mut ids: Vec<FileId> = named.filter_map(|(_, text)| FileId::parse(text)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

async fn look(media: &Media, owner: Owner, id: FileId) -> Result<Option<File>, Error> {
    match files::get(media, owner, id).await {
        Ok(file) => Ok(Some(file)),
        Err(Error::Fault(fault)) if fault.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A link, or the bytes if there is room for them.
async fn give(media: &Media, task: &Task, file: &File, room: u64) -> Result<String, Error> {
    let limits = &media.kept.uploads.limits;
    if limits.passed_as == PassedAs::Link || file.bytes > room {
        let until = task.deadline_at.checked_div(MICROS_PER_SECOND);
        let until = until.unwrap_or_default().saturating_add(GRACE);
        return Ok(media.viewer.file_link(file.id, until));
    }
    let parts = media.kept.uploads.read(file.id, 0..file.bytes).await?;
    let parts: Vec<_> = parts.try_collect().await?;
    let bytes = STANDARD.encode(parts.concat());
    Ok(format!("data:{};base64,{bytes}", file.content_type))
}

// === impl Medium ===

impl Medium {
    /// Parameters are called by what they are.
    fn of(param: &str) -> Self {
        let is = |word: &str| param.contains(word);
        if is("video") {
            FILM
        } else if is("audio") || is("voice") {
            SOUND
        } else {
            PICTURE
        }
    }
}
