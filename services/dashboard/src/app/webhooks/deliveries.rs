//! Deliveries: which there are, one with every attempt, and those that are sent again.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Json,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{DeliveryId, EndpointId, EventType};
use http::StatusCode;
use proto::webhooks::v1::{DeliveryRequest, FindDeliveriesRequest, RecoverRequest};
use serde::{Deserialize, Serialize};

use super::{
    Asked, Endpoint, PART, endpoints, own,
    words::{Attempt, Delivery, STATES, delivery_id, task_id},
};
use crate::{
    Site,
    app::{
        Frame,
        tasks::filter::{day, only_if},
    },
    page::Page,
    refused::{Answer, Refused},
    show::{Pager, count},
    who::{Manages, Member},
};

/// Milliseconds until a page that follows a delivery asks again.
const AGAIN: u32 = 1_500;
/// What is further off than this is not waited for, in microseconds.
const SOON: i64 = 60_000_000;

/// What the URL of the list says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    endpoint: String,
    state: String,
    kind: String,
    task: String,
    /// A day, included: `2030-01-31`.
    since: String,
    /// Only those older than this one.
    before: String,
    said: String,
    /// How many were just sent again, and whether there are more.
    count: Option<u32>,
    more: bool,
}

/// What the form of a recovery says.
#[derive(Debug, Deserialize)]
pub(super) struct Recovery {
    since: String,
    #[serde(default)]
    endpoint: String,
}

/// A delivery with all that is known of it.
#[derive(Debug)]
struct Story {
    delivery: Delivery,
    attempts: Vec<Attempt>,
    /// What is sent, as far as it is shown.
    payload: String,
    /// Whether more of it is sent.
    is_cut: bool,
    /// When a page that follows asks again, in milliseconds; `None`: nothing happens soon.
    again: Option<u32>,
}

#[derive(Template)]
#[template(path = "app/webhooks/deliveries.html")]
struct ListHtml<'s> {
    frame: Frame<'s>,
    wanted: &'s Wanted,
    endpoints: Vec<Endpoint>,
    deliveries: Vec<Delivery>,
    pager: Pager,
    /// How many were just sent again.
    recovered: Option<String>,
}

#[derive(Template)]
#[template(path = "app/webhooks/delivery.html")]
struct PageHtml<'s> {
    frame: Frame<'s>,
    story: &'s Story,
}

#[derive(Template)]
#[template(path = "app/webhooks/now.html")]
struct NowHtml<'s> {
    story: &'s Story,
}

#[derive(Template)]
#[template(path = "app/webhooks/attempts.html")]
struct AttemptsHtml<'s> {
    story: &'s Story,
}

/// The answer to a page that follows: what its script does is in `static/app/tasks.js`.
#[derive(Serialize)]
struct Followed {
    version: u32,
    again: Option<u32>,
    parts: Parts,
}

#[derive(Serialize)]
struct Parts {
    now: String,
    attempts: String,
}

/// `GET /webhooks/deliveries`.
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let wanted = wanted.understood();
    let rows = site.config.work.deliveries_per_page;
    // One more, to know whether anything is older.
    let request = FindDeliveriesRequest {
        whose: own(&member),
        limit: rows.saturating_add(1),
        ..wanted.request()
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.find_deliveries(site.peers.ask(request)).await?;
    let found = reply.into_inner().deliveries.into_iter();
    let mut deliveries: Vec<_> = found.map(Delivery::found).collect::<Result<_, _>>()?;
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let is_more = deliveries.len() > rows;
    deliveries.truncate(rows);
    let last = deliveries.last().filter(|_| is_more);
    let asked = Asked {
        said: wanted.said.clone(),
    };
    let html = ListHtml {
        frame: Frame::new(&site, &member, PART, "Webhook deliveries").saying(asked.told()),
        endpoints: endpoints(&site, &member).await?,
        pager: Pager {
            first: (!wanted.before.is_empty()).then(|| wanted.before("")),
            older: last.map(|last| wanted.before(&last.id)),
        },
        recovered: wanted.recovered(),
        deliveries,
        wanted: &wanted,
    };
    Ok(Page::html(&html).into_response())
}

/// `GET /webhooks/deliveries/{id}`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let story = Story::tell(&site, &member, delivery_id(&id)?).await?;
    let frame = Frame::new(&site, &member, PART, "Webhook delivery");
    let html = PageHtml {
        frame: frame.saying(asked.told()),
        story: &story,
    };
    Ok(Page::html(&html).into_response())
}

/// `GET /webhooks/deliveries/{id}/state`: as JSON, for the script of the page.
pub(super) async fn state(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
) -> Answer {
    let story = Story::tell(&site, &member, delivery_id(&id)?).await?;
    let story = &story;
    let part = |html: Result<String, askama::Error>| html.map_err(|_| Refused::internal());
    let followed = Followed {
        version: story.attempts.len().try_into().unwrap_or(u32::MAX),
        again: story.again,
        parts: Parts {
            now: part(NowHtml { story }.render())?,
            attempts: part(AttemptsHtml { story }.render())?,
        },
    };
    Ok(Json(followed).into_response())
}

/// `POST /webhooks/deliveries/{id}/replay`.
pub(super) async fn replay(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
) -> Answer {
    let id = delivery_id(&id)?;
    let request = DeliveryRequest {
        whose: own(&member),
        delivery_id: id.to_vec().into(),
    };
    let mut manage = site.peers.manage.clone();
    let done = manage.replay_delivery(site.peers.ask(request)).await;
    done.map_err(Refused::unknown_alike)?;
    let next = format!("{PART}/deliveries/{id}?said=replayed");
    Ok(Redirect::to(&next).into_response())
}

/// `POST /webhooks/recover`: sends those again that were given up since a day.
pub(super) async fn recover(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(form): Form<Recovery>,
) -> Answer {
    let told = "Say since which day: what was given up from then on is sent again.";
    let since = day(&form.since).ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, told))?;
    let endpoint = match form.endpoint.as_str() {
        "" => None,
        id => Some(super::words::endpoint_id(id)?),
    };
    let request = RecoverRequest {
        whose: own(&member),
        since,
        endpoint_id: endpoint.map(EndpointId::to_vec).unwrap_or_default().into(),
        ..RecoverRequest::default()
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.recover(site.peers.ask(request)).await;
    let done = reply.map_err(Refused::unknown_alike)?.into_inner();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("endpoint", &form.endpoint);
    query.append_pair("since", &form.since);
    query.append_pair("count", &done.recovered.to_string());
    query.append_pair("more", &done.more.to_string());
    let next = format!("{PART}/deliveries?{}", query.finish());
    Ok(Redirect::to(&next).into_response())
}

// === impl Wanted ===

impl Wanted {
    /// The same without what means nothing.
    fn understood(mut self) -> Self {
        only_if(&mut self.endpoint, |word| EndpointId::parse(word).is_some());
        only_if(&mut self.state, |word| {
            STATES.iter().any(|(known, ..)| *known == word)
        });
        only_if(&mut self.kind, |word| EventType::parse(word).is_some());
        only_if(&mut self.task, |word| task_id(word).is_some());
        only_if(&mut self.since, |word| day(word).is_some());
        only_if(&mut self.before, |word| DeliveryId::parse(word).is_some());
        self
    }

    /// What webhooks is asked, but for who asks and how many.
    fn request(&self) -> FindDeliveriesRequest {
        let task = task_id(&self.task).map(domain::TaskId::to_vec);
        let endpoint = EndpointId::parse(&self.endpoint).map(EndpointId::to_vec);
        let before = DeliveryId::parse(&self.before).map(DeliveryId::to_vec);
        FindDeliveriesRequest {
            before: before.unwrap_or_default().into(),
            task_id: task.unwrap_or_default().into(),
            endpoint_id: endpoint.unwrap_or_default().into(),
            state: self.state.clone(),
            r#type: self.kind.clone(),
            since: day(&self.since).unwrap_or_default(),
            ..FindDeliveriesRequest::default()
        }
    }

    /// The URL of those before one; before none: of the newest.
    fn before(&self, id: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, said) in [
            ("endpoint", self.endpoint.as_str()),
            ("state", &self.state),
            ("kind", &self.kind),
            ("task", &self.task),
            ("since", &self.since),
            ("before", id),
        ] {
            if !said.is_empty() {
                query.append_pair(name, said);
            }
        }
        format!("{PART}/deliveries?{}", query.finish())
    }

    /// What was just sent again, in words.
    fn recovered(&self) -> Option<String> {
        let sent = self.count?;
        let deliveries = match sent {
            0 => return Some("Nothing was given up since then.".to_owned()),
            1 => "1 delivery is".to_owned(),
            sent => format!("{} deliveries are", count(sent)),
        };
        let rest = if self.more {
            ", and there are more: recover again"
        } else {
            ""
        };
        Some(format!("{deliveries} sent again{rest}."))
    }

    /// Whether anything is left out of the list.
    fn is_narrow(&self) -> bool {
        let said = [
            &self.endpoint,
            &self.state,
            &self.kind,
            &self.task,
            &self.since,
        ];
        said.iter().any(|said| !said.is_empty())
    }
}

// === impl Story ===

impl Story {
    async fn tell(site: &Site, member: &Member<Manages>, id: DeliveryId) -> Result<Self, Refused> {
        let request = DeliveryRequest {
            whose: own(member),
            delivery_id: id.to_vec().into(),
        };
        let mut manage = site.peers.manage.clone();
        let reply = manage.get_delivery(site.peers.ask(request)).await;
        let story = reply.map_err(Refused::unknown_alike)?.into_inner();
        let delivery = Delivery::found(story.delivery.unwrap_or_default())?;
        let most = usize::try_from(site.config.work.shown_text).unwrap_or(usize::MAX);
        let shown = story.payload.get(..most).unwrap_or(&story.payload);
        let mut attempts: Vec<Attempt> = story.attempts.into_iter().map(Attempt::from).collect();
        attempts.reverse();
        let soon = site.db.now_micros().saturating_add(SOON);
        Ok(Self {
            payload: String::from_utf8_lossy(shown).into_owned(),
            is_cut: shown.len() < story.payload.len(),
            again: delivery.is_soon(soon).then_some(AGAIN),
            attempts,
            delivery,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_says_what_it_did() {
        for (count, more, told) in [
            (None, false, None),
            (Some(0), false, Some("Nothing was given up since then.")),
            (Some(1), false, Some("1 delivery is sent again.")),
            (Some(2), false, Some("2 deliveries are sent again.")),
            (
                Some(1_000),
                true,
                Some("1,000 deliveries are sent again, and there are more: recover again."),
            ),
        ] {
            let wanted = Wanted {
                count,
                more,
                ..Wanted::default()
            };
            assert_eq!(wanted.recovered().as_deref(), told);
        }
    }

    #[test]
    fn what_means_nothing_is_not_asked_for() {
        let wanted = Wanted {
            endpoint: "ep_none".to_owned(),
            state: "lost".to_owned(),
            kind: "task.failed".to_owned(),
            since: "soon".to_owned(),
            task: "7".to_owned(),
            ..Wanted::default()
        };
        let wanted = wanted.understood();
        let expected = FindDeliveriesRequest {
            r#type: "task.failed".to_owned(),
            ..FindDeliveriesRequest::default()
        };
        assert_eq!(wanted.request(), expected);
        assert!(wanted.is_narrow());
        assert_eq!(
            wanted.before("dlv_1"),
            "/webhooks/deliveries?kind=task.failed&before=dlv_1"
        );
    }
}
