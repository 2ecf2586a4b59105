//! Answers about webhooks.

use chassis::clock::rfc3339;
use domain::{AccountId, DeliveryId, EndpointId, EventId, TaskId};
use http::Uri;
use proto::{id_from_wire, mode_from_wire, webhooks::v1 as wire};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// A secret.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct Secret {
    pub(super) secret: String,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct Endpoint {
    endpoint_id: String,
    account_id: String,
    /// `test` or `live`.
    mode: &'static str,
    url: String,
    /// The types it is told; none: all.
    events: Vec<String>,
    /// The names of the headers that each request there has; their values are not shown again.
    header_names: Vec<String>,
    /// Requests a second at most; `null`: as many as come.
    per_second: Option<u32>,
    description: Option<String>,
    /// `v1`, `v1a` or `both`.
    signature: String,
    /// `whpk_…`, where an Ed25519 key signs.
    public_key: Option<String>,
    disabled: bool,
    /// `owner`, `gone` or `failing`.
    disabled_reason: Option<String>,
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
    /// Until when what signed before the last rotation signs as well.
    #[schema(format = DateTime)]
    old_secret_until: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Only when it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A removed endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointRemoved)]
pub(crate) struct Removed {
    endpoint_id: String,
    removed: bool,
}

/// What signs from now on.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecretRotated)]
pub(crate) struct Rotated {
    /// Of an endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
    secret: String,
    /// `whpk_…`, where an Ed25519 key signs.
    public_key: Option<String>,
    /// Until when the old one signs as well; `null`: it does not.
    #[schema(format = DateTime)]
    old_secret_until: Option<String>,
}

/// A sample on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTested)]
pub(crate) struct Tested {
    delivery_id: String,
    /// The `webhook-id`.
    event_id: String,
    #[serde(rename = "type")]
    kind: String,
}

/// How many deliveries are sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhooksRecovered)]
pub(crate) struct Recovered {
    pub(super) recovered: u32,
    /// There are more: call again.
    pub(super) more: bool,
}

/// One event on its way to one URL.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(crate) struct Delivery {
    delivery_id: String,
    /// The `webhook-id`.
    event_id: String,
    account_id: String,
    /// `test` or `live`.
    mode: &'static str,
    #[serde(rename = "type")]
    kind: String,
    task_id: Option<String>,
    /// `null`: it is for the URL that the request named.
    endpoint_id: Option<String>,
    /// `due`, `inflight`, `delivered` or `dead`.
    state: String,
    /// Those that have ended since it was last sent anew.
    attempts: u32,
    /// How often it was sent anew.
    replays: u32,
    last_status: Option<u32>,
    last_error: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the next attempt begins, of one that is due.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Every attempt that has ended; only where one delivery is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Attempt>>,
}

/// An attempt that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub(crate) struct Attempt {
    /// Counted from 1, over replays.
    number: u32,
    /// Which replay it belongs to; 0: the first time.
    replay: u32,
    #[schema(format = DateTime)]
    started_at: String,
    latency_ms: i64,
    /// `null`: there was no answer.
    status: Option<u32>,
    error: Option<String>,
    /// How the answer's body begins: text, with what looks like a secret hidden.
    response: Option<String>,
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn id(&self) -> &str {
        &self.endpoint_id
    }

    /// As it is told when it was just made.
    pub(super) fn with_secret(self, secret: String) -> Self {
        Self {
            secret: Some(secret),
            ..self
        }
    }

    /// Its URL as far as whom it is at.
    pub(super) fn for_operators(self) -> Self {
        let uri: Uri = self.url.parse().unwrap_or_default();
        let url = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            (Some(_) | None, Some(_) | None) => String::new(),
        };
        Self { url, ..self }
    }
}

impl TryFrom<wire::Endpoint> for Endpoint {
    type Error = ApiError;

    fn try_from(endpoint: wire::Endpoint) -> Result<Self, ApiError> {
        let id: EndpointId = id_from_wire(&endpoint.endpoint_id)?;
        let account: AccountId = id_from_wire(&endpoint.account_id)?;
        Ok(Self {
            endpoint_id: id.to_string(),
            account_id: account.to_string(),
            mode: mode_from_wire(endpoint.mode)?.as_str(),
            url: endpoint.url,
            events: endpoint.events,
            header_names: endpoint.header_names,
            per_second: (endpoint.per_second > 0).then_some(endpoint.per_second),
            description: said(endpoint.description),
            signature: endpoint.signature,
            public_key: said(endpoint.public_key),
            disabled: endpoint.disabled_at > 0,
            disabled_reason: said(endpoint.disabled_reason),
            disabled_at: moment(endpoint.disabled_at),
            old_secret_until: moment(endpoint.old_secret_until),
            created_at: rfc3339(endpoint.created_at),
            secret: None,
        })
    }
}

// === impl Removed ===

impl Removed {
    pub(super) fn of(id: EndpointId) -> Self {
        Self {
            endpoint_id: id.to_string(),
            removed: true,
        }
    }
}

// === impl Rotated ===

impl Rotated {
    pub(super) fn of(id: Option<EndpointId>, rotated: wire::RotatedSecret) -> Self {
        Self {
            endpoint_id: id.map(|id| id.to_string()),
            secret: rotated.secret,
            public_key: said(rotated.public_key),
            old_secret_until: moment(rotated.old_secret_until),
        }
    }
}

// === impl Tested ===

impl TryFrom<wire::TestEndpointReply> for Tested {
    type Error = ApiError;

    fn try_from(sent: wire::TestEndpointReply) -> Result<Self, ApiError> {
        let delivery: DeliveryId = id_from_wire(&sent.delivery_id)?;
        let event: EventId = id_from_wire(&sent.event_id)?;
        Ok(Self {
            delivery_id: delivery.to_string(),
            event_id: event.to_string(),
            kind: sent.r#type,
        })
    }
}

// === impl Delivery ===

impl Delivery {
    pub(super) fn id(&self) -> &str {
        &self.delivery_id
    }

    /// With every attempt.
    pub(super) fn story(story: wire::DeliveryStory) -> Result<Self, ApiError> {
        let attempts = story.attempts.into_iter().map(Attempt::from);
        Ok(Self {
            history: Some(attempts.collect()),
            ..Self::try_from(story.delivery.unwrap_or_default())?
        })
    }
}

impl TryFrom<wire::FoundDelivery> for Delivery {
    type Error = ApiError;

    fn try_from(found: wire::FoundDelivery) -> Result<Self, ApiError> {
        let id: DeliveryId = id_from_wire(&found.delivery_id)?;
        let event: EventId = id_from_wire(&found.event_id)?;
        let account: AccountId = id_from_wire(&found.account_id)?;
        let task = Some(&found.task_id).filter(|id| !id.is_empty());
        let task: Option<TaskId> = task.map(|id| id_from_wire(id)).transpose()?;
        let endpoint = Some(&found.endpoint_id).filter(|id| !id.is_empty());
        let endpoint: Option<EndpointId> = endpoint.map(|id| id_from_wire(id)).transpose()?;
        let is_due = found.state == "due";
        Ok(Self {
            delivery_id: id.to_string(),
            event_id: event.to_string(),
            account_id: account.to_string(),
            mode: mode_from_wire(found.mode)?.as_str(),
            kind: found.r#type,
            task_id: task.map(|id| id.to_string()),
            endpoint_id: endpoint.map(|id| id.to_string()),
            state: found.state,
            attempts: found.attempts,
            replays: found.replays,
            last_status: (found.last_status > 0).then_some(found.last_status),
            last_error: said(found.last_error),
            created_at: rfc3339(found.created_at),
            next_at: is_due.then(|| rfc3339(found.due_at)),
            ended_at: moment(found.ended_at),
            history: None,
        })
    }
}

impl From<wire::Attempt> for Attempt {
    fn from(attempt: wire::Attempt) -> Self {
        let took = attempt.ended_at.saturating_sub(attempt.started_at);
        Self {
            number: attempt.number,
            replay: attempt.replay,
            started_at: rfc3339(attempt.started_at),
            latency_ms: took / 1_000,
            status: (attempt.status > 0).then_some(attempt.status),
            error: said(attempt.error),
            response: said(attempt.response),
        }
    }
}

fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn moment(micros: i64) -> Option<String> {
    (micros > 0).then(|| rfc3339(micros))
}
