//! A provider calls the address that it was given with a job: the task is looked at soon, instead of when its next look would be due. Nothing
//! else of a callback is believed, so that one that comes twice, late, or from somebody else does no harm.

use std::collections::HashMap;

use chassis::clock::{MICROS_PER_SECOND, micros};
use domain::TaskId;
use http::{HeaderMap, HeaderName, HeaderValue};
use proto::{Fault, code};
use tracing::{debug, warn};
use url::Url;

use crate::{
    Error, Media,
    look::its_provider,
    metrics::CallbackEnd,
    providers::{Callback, Heard},
    state::State,
    store,
    task::Task,
};

/// Headers and body of a callback.
type Call<'a> = (&'a HashMap<String, String>, &'a [u8]);

/// Looks at a task soon, if it runs, or a submit of it is under way. A task of which neither is so, or that nobody knows, is left as it is.
pub(crate) async fn hear(media: &Media, id: TaskId, call: Call<'_>) -> Result<(), Error> {
    let task = store::task::get(media.db.reader(), id, media.secrets.content());
    let outcome = match media.db.read(task).await? {
        Some(task) if matches!(task.state, State::Starting | State::Running) => {
            if is_forged(media, &task, call).await {
                "forged"
            } else if hasten(media, id).await? {
                "hastened"
            } else {
                "no_effect"
            }
        }
        Some(_) | None => "no_effect",
    };
    debug!(task.id = %id, outcome, "a provider called back");
    let counted = media
        .metrics
        .callbacks
        .get_or_create(&CallbackEnd { outcome });
    counted.inc();
    if outcome == "forged" {
        return Err(Fault::of(code::UNKNOWN_ROUTE).into());
    }
    Ok(())
}

/// Whether the signature, where the provider has one and the operator has configured its secret, is wrong.
async fn is_forged(media: &Media, task: &Task, (headers, body): Call<'_>) -> bool {
    let (Some(job), Some(candidate)) = (&task.job, its_provider(media, task)) else {
        return false;
    };
    let now = media.db.now_micros().checked_div(MICROS_PER_SECOND);
    let address = media.viewer.callback(task);
    let address = address.and_then(|address| Url::parse(&address).ok());
    let callback = Callback {
        job,
        path: address.as_ref().map_or("/", Url::path),
        headers: &read(headers),
        body,
        now: now.unwrap_or_default(),
    };
    let heard = candidate.adapter.hears(&candidate.access, &callback);
    match heard.await {
        Heard::Signed | Heard::Unsigned => false,
        Heard::Forged => {
            let provider = &candidate.route.provider;
            warn!(task.id = %task.id, provider.name = provider, "a callback has a wrong signature");
            true
        }
    }
}

fn read(headers: &HashMap<String, String>) -> HeaderMap {
    let pair = |(name, value): (&String, &String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    headers.iter().filter_map(pair).collect()
}

async fn hasten(media: &Media, id: TaskId) -> Result<bool, Error> {
    let now = media.db.now_micros();
    let pause = micros(media.config.poll.callbacks.pause);
    media
        .db
        .write(move |connection| {
            Box::pin(async move { store::task::hasten(connection, id, (now, pause)).await })
        })
        .await
}
