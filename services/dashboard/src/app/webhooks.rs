//! `/webhooks`: the endpoints that an account has registered, what signs for them, and what was delivered to them. Whoever may not change
//! them does not see them either, as in the API: a URL may be a capability.

mod deliveries;
mod endpoint;
mod form;
pub(super) mod words;

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use domain::EventType;
use proto::webhooks::v1::{
    self as wire, GetSecretRequest, ListEndpointsRequest, RotateSecretRequest, Whose, whose,
};
use serde::Deserialize;

use self::form::Overlap;
use super::Frame;
use crate::{
    Site,
    page::Page,
    refused::{Answer, Refused},
    router::Row,
    show::Time,
    who::{Manages, Member},
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    ("/webhooks", || get(list)),
    ("/webhooks/new", || {
        get(endpoint::new).post(endpoint::create)
    }),
    ("/webhooks/secret", || post(secret)),
    ("/webhooks/secret/rotate", || post(rotate_secret)),
    ("/webhooks/endpoints/{id}", || {
        get(endpoint::page).post(endpoint::update)
    }),
    ("/webhooks/endpoints/{id}/switch", || post(endpoint::switch)),
    ("/webhooks/endpoints/{id}/rotate", || post(endpoint::rotate)),
    ("/webhooks/endpoints/{id}/test", || post(endpoint::test)),
    ("/webhooks/endpoints/{id}/delete", || post(endpoint::delete)),
    ("/webhooks/deliveries", || get(deliveries::list)),
    ("/webhooks/deliveries/{id}", || get(deliveries::page)),
    ("/webhooks/deliveries/{id}/state", || get(deliveries::state)),
    ("/webhooks/deliveries/{id}/replay", || {
        post(deliveries::replay)
    }),
    ("/webhooks/recover", || post(deliveries::recover)),
];

/// Of the navigation.
const PART: &str = "/webhooks";

/// What was just done, by the word in the URL.
const SAID: [(&str, &str); 7] = [
    ("changed", "The endpoint is changed."),
    (
        "disabled",
        "The endpoint is disabled: nothing is sent to it, and what waited is given up.",
    ),
    (
        "enabled",
        "The endpoint is enabled: it is told what happens from now on. What it missed can be sent again below.",
    ),
    ("removed", "The endpoint is removed."),
    ("tested", "A sample is on its way."),
    ("replayed", "The event is sent again, with the same id."),
    ("recovering", "What was given up is being sent again."),
];

/// What a link to one of these pages says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    said: String,
}

/// An endpoint, as pages show it.
#[derive(Debug)]
struct Endpoint {
    id: String,
    url: String,
    /// The types it is told; none: all.
    events: Vec<String>,
    header_names: Vec<String>,
    /// 0: as many as come.
    per_second: u32,
    description: String,
    /// `v1`, `v1a` or `both`.
    signature: String,
    /// Empty: no such key signs.
    public_key: String,
    /// Since when nothing is sent to it, and why.
    disabled: Option<(Time, &'static str)>,
    /// Until when what signed before signs as well.
    old_until: Option<Time>,
    created: Time,
}

#[derive(Template)]
#[template(path = "app/webhooks/list.html")]
struct ListHtml<'s> {
    frame: Frame<'s>,
    endpoints: Vec<Endpoint>,
}

/// What is shown once: a secret, as the answer to the form that asked for it.
#[derive(Template)]
#[template(path = "app/webhooks/secret.html")]
struct SecretHtml<'s> {
    frame: Frame<'s>,
    /// What it is for, and how often it is shown.
    about: &'static str,
    secret: String,
    /// Empty: there is none.
    public_key: String,
    /// Until when the one before signs as well.
    old_until: Option<Time>,
    /// Where to go on.
    back: String,
}

/// `GET /webhooks`.
async fn list(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Query(asked): Query<Asked>,
) -> Answer {
    let html = ListHtml {
        frame: Frame::new(&site, &member, PART, "Webhooks").saying(asked.told()),
        endpoints: endpoints(&site, &member).await?,
    };
    Ok(Page::html(&html).into_response())
}

/// `POST /webhooks/secret`: shows the secret of callbacks.
async fn secret(State(site): State<Arc<Site>>, member: Member<Manages>) -> Answer {
    let request = GetSecretRequest {
        context: Some(member.context()),
    };
    let mut webhooks = site.peers.webhooks.clone();
    let reply = webhooks.get_secret(site.peers.ask(request)).await?;
    let html = SecretHtml {
        frame: Frame::new(&site, &member, PART, "Callback secret"),
        about: "It signs what is posted to the callback_url of a request. You can look at it here again.",
        secret: reply.into_inner().secret,
        public_key: String::new(),
        old_until: None,
        back: PART.to_owned(),
    };
    Ok(Page::html(&html).into_response())
}

/// `POST /webhooks/secret/rotate`.
async fn rotate_secret(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(said): Form<Overlap>,
) -> Answer {
    let request = RotateSecretRequest {
        whose: own(&member),
        overlap_ms: said.millis()?,
        ..RotateSecretRequest::default()
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.rotate_secret(site.peers.ask(request)).await?;
    let about = "It signs what is posted to the callback_url of a request, from now on. You can look at it again on the page of webhooks.";
    let frame = Frame::new(&site, &member, PART, "New callback secret");
    Ok(rotated(frame, about, reply.into_inner(), PART.to_owned()))
}

/// What signs from now on.
fn rotated(
    frame: Frame<'_>,
    about: &'static str,
    rotated: wire::RotatedSecret,
    back: String,
) -> Response {
    let html = SecretHtml {
        frame,
        about,
        secret: rotated.secret,
        public_key: rotated.public_key,
        old_until: moment(rotated.old_secret_until),
        back,
    };
    Page::html(&html).into_response()
}

/// The endpoints of what they look at, the oldest first.
async fn endpoints(site: &Site, member: &Member<Manages>) -> Result<Vec<Endpoint>, Refused> {
    let request = ListEndpointsRequest {
        whose: own(member),
        ..ListEndpointsRequest::default()
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.list_endpoints(site.peers.ask(request)).await?;
    let endpoints = reply.into_inner().endpoints.into_iter();
    endpoints.map(Endpoint::read).collect()
}

/// What they look at.
fn own(member: &Member<Manages>) -> Option<Whose> {
    Some(Whose {
        whose: Some(whose::Whose::Caller(member.context())),
    })
}

/// A moment that may be none.
fn moment(micros: i64) -> Option<Time> {
    (micros > 0).then(|| Time::of(micros))
}

/// Every type of event, and what it tells.
fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = EventType::ALL.iter();
    all.map(|kind| (kind.as_str(), words::about(*kind)))
}

// === impl Asked ===

impl Asked {
    fn told(&self) -> Option<&'static str> {
        let mut known = SAID.into_iter();
        known
            .find(|(word, _)| *word == self.said)
            .map(|(_, told)| told)
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn read(endpoint: wire::Endpoint) -> Result<Self, Refused> {
        let id: domain::EndpointId = proto::id_from_wire(&endpoint.endpoint_id)?;
        let why = match endpoint.disabled_reason.as_str() {
            "gone" => "it answered 410: gone",
            "failing" => "all of its attempts failed, for days",
            _ => "you disabled it",
        };
        Ok(Self {
            id: id.to_string(),
            url: endpoint.url,
            events: endpoint.events,
            header_names: endpoint.header_names,
            per_second: endpoint.per_second,
            description: endpoint.description,
            signature: endpoint.signature,
            public_key: endpoint.public_key,
            disabled: moment(endpoint.disabled_at).map(|at| (at, why)),
            old_until: moment(endpoint.old_secret_until),
            created: Time::of(endpoint.created_at),
        })
    }

    /// What it is called: what its owner calls it, or its URL.
    fn name(&self) -> &str {
        if self.description.is_empty() {
            &self.url
        } else {
            &self.description
        }
    }

    /// Of which type a sample is, unless another is chosen.
    fn usual(&self) -> &str {
        let first = self.events.first();
        first.map_or(EventType::TaskCompleted.as_str(), String::as_str)
    }

    /// Which types it is told.
    fn told(&self) -> String {
        if self.events.is_empty() {
            "every event".to_owned()
        } else {
            self.events.join(", ")
        }
    }
}
