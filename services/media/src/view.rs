//! A task as its customer sees it: one object, the same in polls, events and webhooks (docs/api.md).

use std::time::Duration;

use chassis::{
    LinkSigner,
    clock::{MICROS_PER_SECOND, rfc3339},
};
use domain::{FileId, Micros, Mode};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use upstream::{EgressConfig, Policy};
use url::Url;

use crate::task::{FIRST_IS_THERE, Output, TEXT_IS_THERE, Task, TaskError};

/// The most bytes of a request that a task repeats.
const REQUEST_BYTES: usize = 8_000;

/// Builds views: it knows where we are reached and signs links.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    public_url: String,
    links: LinkSigner,
    /// Whether anybody can reach that.
    is_public: bool,
}

/// The wire shape of a task.
#[derive(Serialize)]
struct View<'a> {
    task_id: String,
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    route: &'a str,
    model: &'a str,
    mode: &'static str,
    status: &'static str,
    /// Grows with each change: poll, events and webhook tell which of two tellings is the newer.
    sequence: i64,
    progress: Option<i64>,
    queue_position: Option<i64>,
    stage: Option<&'static str>,
    /// What is known of songs that are not there yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    clips: Option<&'a [Map<String, Value>]>,
    request: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_truncated: Option<bool>,
    response: Vec<String>,
    output: Vec<Value>,
    error: Option<&'a TaskError>,
    error_message: Option<&'a str>,
    held_credits: Micros,
    held_microcredits: i64,
    consumed_credits: Micros,
    consumed_microcredits: i64,
    created_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    deadline_at: String,
    attempts: i64,
    callback: Option<Value>,
}

/// The wire shape of a webhook's body.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    data: &'a RawValue,
}

// === impl Viewer ===

impl Viewer {
    /// `public_url`: where customers reach us, without a slash at the end.
    pub(crate) fn new(public_url: &str, links: LinkSigner) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            links,
            is_public: is_public(public_url),
        }
    }

    /// Where a provider may say that something has changed; `None` where it could not reach us. The sandbox is in the same house.
    pub(crate) fn callback(&self, task: &Task) -> Option<String> {
        let reaches = match task.mode {
            Mode::Test => true,
            Mode::Live => self.is_public,
        };
        let token = self.links.callback(task.id);
        reaches.then(|| format!("{}/api/v1/callbacks/{token}", self.public_url))
    }

    /// Whether a provider at this address can fetch what has a link of ours: one that is not out in the world is in the same house.
    pub(crate) fn is_reached_from(&self, provider: &Url) -> bool {
        self.is_public || !is_public(provider.as_str())
    }

    /// The view as JSON.
    ///
    /// # Errors
    /// Never in practice; serde's signature has one.
    pub(crate) fn view(
        &self,
        task: &Task,
        outputs: &[Output],
    ) -> Result<Vec<u8>, serde_json::Error> {
        let (request, truncated) = shorten(task.asked());
        let held = if task.state.is_terminal() {
            Micros::ZERO
        } else {
            task.held
        };
        let results = outputs.iter().filter(|output| output.is_result());
        let results: Vec<&Output> = results.collect();
        let links: Vec<String> = results
            .iter()
            .map(|output| self.link(task, output))
            .collect();
        serde_json::to_vec(&View {
            task_id: task.id.to_string(),
            object: "task",
            kind: kind(&task.route),
            route: &task.route,
            model: &task.model,
            mode: task.mode.as_str(),
            status: task.state.public(),
            sequence: task.version,
            progress: if task.completed_at.is_some() && task.error.is_none() {
                Some(100)
            } else {
                task.progress
            },
            queue_position: task.queue_position,
            stage: stage(task),
            clips: (!task.state.is_terminal() && !task.clips.is_empty())
                .then_some(task.clips.as_slice()),
            request: &request,
            request_truncated: truncated.then_some(true),
            output: results
                .iter()
                .zip(&links)
                .map(|(output, link)| {
                    let picture = outputs.iter().find(|other| output.shows(other));
                    describe(
                        output,
                        link,
                        picture.map(|picture| self.link(task, picture)),
                    )
                })
                .collect(),
            response: links,
            error: task.error.as_ref(),
            error_message: task.error.as_ref().map(|error| error.message.as_str()),
            held_credits: held,
            held_microcredits: held.get(),
            consumed_credits: task.charged,
            consumed_microcredits: task.charged.get(),
            created_at: rfc3339(task.created_at),
            started_at: task.started_at.map(rfc3339),
            completed_at: task.completed_at.map(rfc3339),
            deadline_at: rfc3339(task.deadline_at),
            attempts: task.attempts,
            callback: task.callback_url().map(|url| json!({ "url": url })),
        })
    }

    /// The body of a webhook (Standard Webhooks: type, timestamp, data) about what happened at a moment.
    ///
    /// # Errors
    /// Never in practice; serde's signature has one.
    pub(crate) fn event(
        &self,
        (kind, at): (&str, i64),
        task: &Task,
        outputs: &[Output],
    ) -> Result<Vec<u8>, serde_json::Error> {
        let data = RawValue::from_string(
            String::from_utf8_lossy(&self.view(task, outputs)?).into_owned(),
        )?;
        serde_json::to_vec(&Event {
            kind,
            timestamp: rfc3339(at),
            data: &data,
        })
    }

    /// A link to an uploaded file, for a provider; `until` is in seconds UTC.
    pub(crate) fn file_link(&self, file: FileId, until: i64) -> String {
        let query = self.links.file_query(file, until);
        format!("{}/api/v1/files/{file}/content?{query}", self.public_url)
    }

    /// The link lives as long as the output is kept.
    fn link(&self, task: &Task, output: &Output) -> String {
        let expires = output
            .expires_at
            .checked_div(MICROS_PER_SECOND)
            .unwrap_or(0);
        let query = self.links.query(task.id, output.number, expires);
        format!(
            "{}/api/v1/tasks/{}/files/{}?{query}",
            self.public_url, task.id, output.number
        )
    }
}

/// Whether a provider, somewhere, can call an address that begins so: by its form, what a stranger's could be.
pub(crate) fn is_public(url: &str) -> bool {
    let strangers = Policy::new(&EgressConfig::default());
    url.starts_with("https://") && strangers.check_form(url).is_ok()
}

/// One entry of `output`; `picture`: where the picture is that belongs to it.
fn describe(output: &Output, link: &str, picture: Option<String>) -> Value {
    let mut fields = json!({
        "url": link,
        "content_type": output.content_type,
        "bytes": output.bytes,
        "sha256": output.sha256,
        "expires_at": rfc3339(output.expires_at),
    });
    let Some(object) = fields.as_object_mut() else {
        return fields;
    };
    if let (Some(width), Some(height)) = (output.width, output.height) {
        object.insert("width".to_owned(), width.into());
        object.insert("height".to_owned(), height.into());
    }
    if let Some(millis) = output.duration_millis {
        let seconds = Duration::from_millis(millis).as_secs_f64();
        object.insert("duration_seconds".to_owned(), seconds.into());
    }
    if let Some(picture) = picture {
        object.insert("image_url".to_owned(), picture.into());
    }
    // What we measured and where we keep it is ours to say.
    for (name, fact) in output.about.iter().flat_map(|about| &about.facts) {
        object.entry(name).or_insert_with(|| fact.clone());
    }
    fields
}

/// What a route makes.
fn kind(route: &str) -> &'static str {
    match route {
        "images/generations" => "image",
        "videos/generations" => "video",
        "audio/music" | "audio/music/extend" | "audio/music/upload-cover/generate" => "music",
        "audio/music/cover/generate" => "image",
        "audio/speech" => "speech",
        "audio/transcriptions" => "transcription",
        _ => "tool",
    }
}

/// How far a song is. That percentages are stages is said only of songs that something is known of already.
pub(crate) fn stage(task: &Task) -> Option<&'static str> {
    if kind(&task.route) != "music" {
        return None;
    }
    match (task.completed_at, &task.error, task.progress) {
        (Some(_), None, _) => Some("complete"),
        _ if task.clips.is_empty() => None,
        (_, _, Some(TEXT_IS_THERE)) => Some("text"),
        (_, _, Some(FIRST_IS_THERE)) => Some("first"),
        _ => None,
    }
}

/// Drops the longest parameters until the request fits.
fn shorten(parameters: Map<String, Value>) -> (Map<String, Value>, bool) {
    let (count, mut kept) = (parameters.len(), parameters);
    let size = |value: &Value| value.to_string().len();
    while size(&Value::Object(kept.clone())) > REQUEST_BYTES {
        let longest = kept
            .iter()
            .max_by_key(|(_, value)| size(value))
            .map(|(name, _)| name.clone());
        let Some(name) = longest else { break };
        kept.remove(&name);
    }
    let truncated = kept.len() < count;
    (kept, truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_given_only_addresses_that_they_can_reach() {
        for (url, reached) in [
            ("https://api.example.com", true),
            ("http://api.example.com", false),
            ("https://localhost", false),
            ("https://127.0.0.1", false),
            ("https://10.0.0.7", false),
            ("https://[::1]", false),
            ("", false),
        ] {
            assert_eq!(is_public(url), reached, "{url}");
        }
    }

    #[test]
    fn a_request_that_is_too_long_is_shortened() {
        let parameters = json!({"prompt": "x".repeat(9_000), "type": "pro"});
        let (kept, truncated) = shorten(parameters.as_object().unwrap().clone());
        assert_eq!(
            (Value::Object(kept), truncated),
            (json!({"type": "pro"}), true)
        );
        let short = json!({"prompt": "a fox"});
        assert_eq!(
            shorten(short.as_object().unwrap().clone()),
            (short.as_object().unwrap().clone(), false)
        );
    }
}
