//! Inputs for providers that fetch nothing: the bytes in the place of every URL. What a live task's URLs lead to comes through the guard; of
//! a test task's nothing is fetched, and the sandbox is shown the URLs. Files of ours are read where they are.

use std::{collections::HashMap, time::Duration};

use domain::{FileId, Mode, catalogue::Resolved};
use futures::StreamExt as _;
use tokio::time::Instant;
use upstream::{Caps, Class, EgressError, Failure, Redirects, Refusal, Trust, Verdict};

use super::{Room, data, data_url, look, owner, there};
use crate::{
    Error, Media,
    execute::left,
    inline_room::{Holds, UNIT},
    measure::{self, HEAD_BYTES},
    task::{Request, Task},
};

/// What such a provider is given.
pub(crate) struct Fetched {
    /// The task's parameters, with the bytes of what they lead to.
    pub(crate) parameters: Resolved,
    /// Their room among those of others, as long as they are there.
    _room: Room,
}

/// Where an input stands, and its text.
type Wanted<'a> = (String, &'a str);

/// What one of them leads to.
struct Found {
    /// With its bytes.
    url: String,
    bytes: u64,
}

/// What all of them lead to, and how many bytes that are, each as often as it is named.
type All<'w> = (HashMap<&'w str, Found>, u64);

/// A host that cannot be reached from here, for whatever reason: else a stranger learns which names there are inside.
const NOWHERE: &str = "its host cannot be reached, or leads to an address that is not public";

/// The bytes in the place of every URL, within the bounds of what may be inside of a request, each as often as it is named. `inside`: the
/// bytes that the task has room for already.
///
/// # Errors
/// The inner one: why this provider cannot be given what the task names. Another one, that fetches it, may well be. It is one of patience
/// where there is no room at the moment.
pub(crate) async fn fetched(
    media: &Media,
    task: &Task,
    inside: u64,
) -> Result<Result<Fetched, Failure>, Error> {
    let request = task.request.as_ref();
    let parameters = request.map(Request::sent).unwrap_or_default();
    let Some(model) = media.catalogue.find(&task.model) else {
        return Ok(Ok(Fetched::none(parameters)));
    };
    let wanted: Vec<Wanted<'_>> = model
        .inputs(&parameters)
        .filter(|input| task.mode == Mode::Live || FileId::parse(input.text).is_some())
        .map(|input| (input.param, input.text))
        .collect();
    if wanted.is_empty() {
        drop(wanted);
        return Ok(Ok(Fetched::none(parameters)));
    }
    let uploads = &media.kept.uploads;
    let full = || Ok(Err(Failure::reported(Verdict::of(Class::RateLimited))));
    let is_elsewhere = |wanted: &Wanted<'_>| FileId::parse(wanted.1).is_none();
    let (is_elsewhere, limits) = (wanted.iter().any(is_elsewhere), &uploads.limits);
    let most = if is_elsewhere {
        limits.inline_bytes
    } else {
        limits.most_given()
    };
    // Somebody's slow server holds up nobody else.
    let place = if is_elsewhere {
        match uploads.fetch(owner(task)).zip(uploads.fetch_room(most)) {
            None => return full(),
            place => place,
        }
    } else {
        None
    };
    let left = most.saturating_sub(inside);
    // Nobody knows how many bytes there are elsewhere before they are here.
    let needed = if is_elsewhere {
        whole(left)
    } else {
        named(media, task, &wanted).await?.min(left)
    };
    let mut room = match needed {
        0 => None,
        bytes => match uploads.inline_room(owner(task), (Holds::of(model), bytes)) {
            None => return full(),
            room => room,
        },
    };
    let bounds = Bounds::of(media, task, most);
    let (found, bytes) = match find(media, task, &wanted, bounds).await? {
        Ok(found) => found,
        Err(failure) => return Ok(Err(failure)),
    };
    drop(place);
    if let Some(room) = &mut room {
        room.fit(bytes);
    }
    let other = |text: &str| found.get(text).map(|found| found.url.clone());
    Ok(Ok(Fetched {
        parameters: model.with_urls(&parameters, other),
        _room: room,
    }))
}

/// How many bytes the files are that a task names, each as often as it is named; what is gone has none.
async fn named(media: &Media, task: &Task, wanted: &[Wanted<'_>]) -> Result<u64, Error> {
    let mut bytes = 0_u64;
    for id in wanted.iter().filter_map(|(_, text)| FileId::parse(text)) {
        let file = look(media, owner(task), id).await?;
        bytes = bytes.saturating_add(file.map_or(0, |file| file.bytes));
    }
    Ok(bytes)
}

/// What is left to what a task names: bytes, and time.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    most: u64,
    left: u64,
    since: Instant,
    time: Duration,
}

// === impl Bounds ===

impl Bounds {
    /// All of it together may take so long, and not longer than the task has.
    fn of(media: &Media, task: &Task, most: u64) -> Self {
        let limits = &media.kept.uploads.limits;
        Self {
            most,
            left: most,
            since: Instant::now(),
            time: limits.looks.fetch_timeout.min(left(media, task)),
        }
    }

    /// Takes so many bytes of what is left, if they are.
    fn take(&mut self, bytes: u64) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    fn caps(&self) -> Caps {
        Caps {
            timeout: self.time.saturating_sub(self.since.elapsed()),
            max_bytes: self.left,
            redirects: Redirects::Follow,
        }
    }
}

/// What they lead to.
async fn find<'w>(
    media: &Media,
    task: &Task,
    wanted: &[Wanted<'w>],
    mut bounds: Bounds,
) -> Result<Result<All<'w>, Failure>, Error> {
    let mut found: HashMap<&'w str, Found> = HashMap::new();
    for (param, text) in wanted {
        if let Some(again) = found.get(text) {
            if bounds.take(again.bytes).is_none() {
                return Ok(Err(too_large(bounds.most, param)));
            }
            continue;
        }
        let before = bounds.left;
        let url = match FileId::parse(text) {
            Some(id) => file(media, task, (param.as_str(), id), &mut bounds).await?,
            None => download(media, (param.as_str(), *text), &mut bounds).await,
        };
        let url = match url {
            Ok(url) => url,
            Err(failure) => return Ok(Err(failure)),
        };
        let bytes = before.saturating_sub(bounds.left);
        found.insert(*text, Found { url, bytes });
    }
    Ok(Ok((found, bounds.most.saturating_sub(bounds.left))))
}

/// The whole units of so many bytes. With the room that a task has already, they are never more than there is for one.
fn whole(bytes: u64) -> u64 {
    bytes.saturating_sub(bytes.checked_rem(UNIT).unwrap_or_default())
}

/// A file of ours.
async fn file(
    media: &Media,
    task: &Task,
    (param, id): (&str, FileId),
    bounds: &mut Bounds,
) -> Result<Result<String, Failure>, Error> {
    let gone = || {
        let message = format!("{param} must be a file that is kept: {id} is no longer");
        Failure::unsupported(param, &message)
    };
    let Some(file) = look(media, owner(task), id).await? else {
        return Ok(Err(gone()));
    };
    if bounds.take(file.bytes).is_none() {
        return Ok(Err(too_large(bounds.most, param)));
    }
    Ok(there(data(media, &file).await)?.ok_or_else(gone))
}

/// What a URL leads to.
async fn download(
    media: &Media,
    (param, url): (&str, &str),
    bounds: &mut Bounds,
) -> Result<String, Failure> {
    let most = bounds.most;
    let failed = |error: EgressError| {
        if matches!(error, EgressError::TooLarge { .. }) {
            too_large(most, param)
        } else {
            unfetched(param, &error)
        }
    };
    let caps = bounds.caps();
    if caps.timeout.is_zero() {
        return Err(failed(EgressError::TimedOut));
    }
    let download = media.guard.get_to(url, Trust::Public, &caps).await;
    let (mut download, mut bytes) = (download.map_err(failed)?, Vec::new());
    while let Some(piece) = download.next().await.transpose().map_err(failed)? {
        bytes.extend_from_slice(&piece);
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if bounds.take(length).is_none() {
        return Err(too_large(most, param));
    }
    let head = bytes.get(..HEAD_BYTES).unwrap_or(&bytes);
    let Some(content_type) = measure::content_type(head) else {
        let other = format!("{param} must lead to an image, a video or a sound of a kind we know");
        return Err(Failure::unsupported(param, &other));
    };
    Ok(data_url(content_type, &bytes))
}

fn too_large(most: u64, param: &str) -> Failure {
    let message =
        format!("{param} must lead to a file of {most} bytes at most together with the others");
    Failure::unsupported(param, &message)
}

/// Neither the URL nor where it led is said.
fn unfetched(param: &str, error: &EgressError) -> Failure {
    let why = match error {
        EgressError::Refused(Refusal::Resolved)
        | EgressError::Unresolved
        | EgressError::Connect(_) => NOWHERE.to_owned(),
        EgressError::Refused(refusal) => refusal.to_string(),
        EgressError::TimedOut
        | EgressError::Interrupted(_)
        | EgressError::TooLarge { .. }
        | EgressError::Status { .. } => error.to_string(),
    };
    let message = format!("{param} must be a URL that can be fetched: {why}");
    Failure::unsupported(param, &message)
}

// === impl Fetched ===

impl Fetched {
    /// Parameters that lead nowhere.
    fn none(parameters: Resolved) -> Self {
        Self {
            parameters,
            _room: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_for_all_of_them_together() {
        let mut bounds = Bounds {
            most: 10,
            left: 10,
            since: Instant::now(),
            time: Duration::from_secs(30),
        };
        assert_eq!(bounds.take(7), Some(()));
        assert_eq!(bounds.caps().max_bytes, 3);
        assert!(bounds.caps().timeout <= Duration::from_secs(30));
        assert_eq!((bounds.take(4), bounds.left), (None, 3));
        bounds.time = Duration::ZERO;
        assert!(bounds.caps().timeout.is_zero());
    }
}
