//! `/operator/webhooks`: what could not be delivered, of everybody: looked at, sent again, one by one or all since a moment.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{AccountId, DeliveryId, EventId, TaskId, ids};
use http::StatusCode;
use proto::webhooks::v1::{
    Attempt, DeliveryRequest, FindDeliveriesRequest, FoundDelivery, GetAlertSecretRequest,
    GetOverviewRequest, RecoverRequest, Whose, whose,
};
use serde::Deserialize;

use super::{
    Cell, PART, SECOND, Stat, Table, Tabs, bytes, href, id_of, maybe_id, moment, now,
    providers::mode_word,
};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refusal, Refused},
    show::{self, Pager},
    who::{Member, Operates},
};

/// Where the list is.
const PATH: &str = "/operator/webhooks";
/// Microseconds of an hour.
const HOUR: i64 = 3_600 * SECOND;
/// How far back dead deliveries may be sent again, in hours: a year.
const LONGEST_HOURS: i64 = 8_760;

/// What a link to the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    account: String,
    before: String,
    /// How many were just sent again, and whether there are more.
    recovered: Option<u32>,
    more: Option<u8>,
}

/// What a link to a delivery says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Back {
    said: String,
}

/// Which are sent again.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    hours: String,
    #[serde(default)]
    account: String,
}

/// What the page shows beside its list.
#[derive(Default)]
struct More<'s> {
    secret: Option<&'s str>,
    wrong: Option<&'s Refusal>,
}

#[derive(Template)]
#[template(path = "app/operator/webhooks.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    stats: Vec<Stat>,
    /// Whether the operator is told of what could not be delivered.
    alerts: bool,
    /// What was just sent again, in words.
    recovered: Option<String>,
    account: &'s str,
    table: Table,
    pager: Pager,
    secret: Option<&'s str>,
    wrong: Option<&'s Refusal>,
}

#[derive(Template)]
#[template(path = "app/operator/delivery.html")]
struct One<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    id: DeliveryId,
    state: String,
    has_ended: bool,
    facts: Vec<(&'static str, String)>,
    account: Option<AccountId>,
    task: Option<TaskId>,
    attempts: Table,
    /// How answers began, by their attempts.
    answers: Vec<(u32, String)>,
    wrong: Option<&'s Refusal>,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    show(&site, &member, &asked, More::default()).await
}

/// Sends those again that were given up.
pub(crate) async fn recover(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Form(wanted): Form<Wanted>,
) -> Answer {
    match send_again(&site, &member, &wanted).await {
        Ok((count, more)) => {
            let (count, more) = (count.to_string(), u8::from(more).to_string());
            let query = [("recovered", count.as_str()), ("more", &more)];
            Ok(Redirect::to(&href(PATH, &query)).into_response())
        }
        Err(refused) => {
            let wrong = refused.told()?;
            let asked = Asked::default();
            let more = More {
                wrong: Some(&wrong),
                ..More::default()
            };
            show(&site, &member, &asked, more).await
        }
    }
}

async fn send_again(
    site: &Site,
    member: &Member<Operates>,
    wanted: &Wanted,
) -> Result<(u32, bool), Refused> {
    let hours = wanted.hours.trim().parse::<i64>().ok();
    let hours = hours.filter(|hours| (1..=LONGEST_HOURS).contains(hours));
    let told = format!("Hours are a whole number from 1 to {LONGEST_HOURS}.");
    let hours = hours.ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, told).of("hours"))?;
    let request = RecoverRequest {
        whose: Some(everybody(member)),
        since: now().saturating_sub(hours.saturating_mul(HOUR)),
        until: 0,
        endpoint_id: Vec::new().into(),
        account_id: bytes(maybe_id::<ids::Account>(&wanted.account)?).into(),
    };
    let mut manage = site.peers.manage.clone();
    let done = manage.recover(site.peers.ask(request)).await?.into_inner();
    Ok((done.recovered, done.more))
}

/// Shows the secret that signs what the operator is told.
pub(crate) async fn secret(State(site): State<Arc<Site>>, member: Member<Operates>) -> Answer {
    let mut manage = site.peers.manage.clone();
    let request = site.peers.ask(GetAlertSecretRequest {});
    let secret = manage.get_alert_secret(request).await?.into_inner().secret;
    let more = More {
        secret: Some(&secret),
        ..More::default()
    };
    show(&site, &member, &Asked::default(), more).await
}

async fn show(site: &Site, member: &Member<Operates>, asked: &Asked, more: More<'_>) -> Answer {
    let before = maybe_id::<ids::Delivery>(&asked.before)?;
    let account = maybe_id::<ids::Account>(&asked.account)?;
    let request = FindDeliveriesRequest {
        whose: Some(everybody(member)),
        limit: site.config.operator.rows,
        before: bytes(before).into(),
        state: "dead".to_owned(),
        account_id: bytes(account).into(),
        ..FindDeliveriesRequest::default()
    };
    let (mut manage, mut counted) = (site.peers.manage.clone(), site.peers.manage.clone());
    let (found, seen) = tokio::join!(
        manage.find_deliveries(site.peers.ask(request)),
        counted.get_overview(site.peers.ask(GetOverviewRequest {})),
    );
    let (found, seen) = (found?.into_inner().deliveries, seen?.into_inner());
    let full = u32::try_from(found.len()).is_ok_and(|count| count >= site.config.operator.rows);
    let last = found.last().filter(|_| full);
    let last = last.and_then(|found| DeliveryId::from_slice(&found.delivery_id));
    let link = |before: &str| href(PATH, &[("account", &asked.account), ("before", before)]);
    let now = now();
    let dead = seen.dead.map_or(0, |waits| waits.count);
    let columns = [
        "Delivery",
        "Event",
        "Why",
        "#Attempts",
        "Given up",
        "Account",
    ];
    let html = Html {
        frame: Frame::new(site, member, PART, "Webhook operations"),
        tabs: Tabs(PATH),
        stats: vec![
            Stat::backlog("Waiting", seen.due, now),
            Stat::backlog("Under way", seen.inflight, now),
            Stat::backlog("Given up", seen.dead, now).watched(dead),
            Stat::backlog("Endpoints disabled", seen.disabled, now),
        ],
        alerts: seen.alerts,
        recovered: asked.recovered.map(|count| again(count, asked.more)),
        account: &asked.account,
        table: Table::new("Deliveries that were given up", &columns)
            .or("Nothing was given up.")
            .with(found.iter().map(row)),
        pager: Pager {
            first: before.map(|_| link("")),
            older: last.map(|last| link(&last.to_string())),
        },
        secret: more.secret,
        wrong: more.wrong,
    };
    let status = more.wrong.map_or(StatusCode::OK, |wrong| wrong.status);
    Ok(Page::html(&html).with(status).into_response())
}

/// What was sent again, in words; `more`: 1 where there are more.
fn again(count: u32, more: Option<u8>) -> String {
    let which = match count {
        0 => return "There was nothing to send again.".to_owned(),
        1 => "One delivery is sent again".to_owned(),
        count => format!("{} deliveries are sent again", show::count(count)),
    };
    let more = if more == Some(1) {
        "; there are more: press the button again."
    } else {
        "."
    };
    format!("{which}{more}")
}

/// One delivery.
pub(crate) async fn delivery(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Query(back): Query<Back>,
) -> Answer {
    show_one(&site, &member, id_of(&id)?, (&back.said, None)).await
}

/// Sends it again.
pub(crate) async fn replay(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
) -> Answer {
    let id: DeliveryId = id_of(&id)?;
    let request = DeliveryRequest {
        whose: Some(everybody(&member)),
        delivery_id: id.to_vec().into(),
    };
    let mut manage = site.peers.manage.clone();
    let done = manage.replay_delivery(site.peers.ask(request)).await;
    match done.map_err(Refused::from) {
        Ok(_) => {
            let path = href(&format!("{PATH}/{id}"), &[("said", "again")]);
            Ok(Redirect::to(&path).into_response())
        }
        Err(refused) => {
            let wrong = refused.told()?;
            show_one(&site, &member, id, ("", Some(&wrong))).await
        }
    }
}

async fn show_one(
    site: &Site,
    member: &Member<Operates>,
    id: DeliveryId,
    (said, wrong): (&str, Option<&Refusal>),
) -> Answer {
    let request = DeliveryRequest {
        whose: Some(everybody(member)),
        delivery_id: id.to_vec().into(),
    };
    let mut manage = site.peers.manage.clone();
    let story = manage.get_delivery(site.peers.ask(request)).await?;
    let story = story.into_inner();
    let found = story.delivery.unwrap_or_default();
    let said = (said == "again").then_some("It is sent again, with the same id.");
    let answers = story.attempts.iter().filter(|one| !one.response.is_empty());
    let columns = [
        "Attempt",
        "#Replay",
        "Began",
        "#Took, ms",
        "#Status",
        "Why it failed",
    ];
    let html = One {
        frame: Frame::new(site, member, PART, "A delivery").saying(said),
        tabs: Tabs(PATH),
        id,
        has_ended: matches!(found.state.as_str(), "dead" | "delivered"),
        facts: facts(&found),
        account: AccountId::from_slice(&found.account_id),
        task: TaskId::from_slice(&found.task_id),
        attempts: Table::new("Attempts", &columns)
            .or("None has ended yet.")
            .with(story.attempts.iter().map(attempt)),
        answers: answers
            .map(|one| (one.number, one.response.clone()))
            .collect(),
        state: found.state,
        wrong,
    };
    let status = wrong.map_or(StatusCode::OK, |wrong| wrong.status);
    Ok(Page::html(&html).with(status).into_response())
}

/// Those of everybody, as this person asks for them.
fn everybody(member: &Member<Operates>) -> Whose {
    Whose {
        whose: Some(whose::Whose::Operator(member.by())),
    }
}

fn row(found: &FoundDelivery) -> Vec<Cell> {
    let (id, account) = (
        DeliveryId::from_slice(&found.delivery_id),
        AccountId::from_slice(&found.account_id),
    );
    let linked = |path: &str, id: Option<String>| match id {
        Some(id) => Cell::code(&id).to(format!("{path}/{id}")),
        None => Cell::text("–"),
    };
    let attempts = show::count(found.attempts);
    vec![
        linked(PATH, id.map(|id| id.to_string())),
        Cell::text(&found.r#type).over(mode_word(found.mode)),
        Cell::text(&found.last_error),
        Cell::text(attempts),
        moment(found.ended_at),
        linked("/operator/accounts", account.map(|id| id.to_string())),
    ]
}

fn facts(found: &FoundDelivery) -> Vec<(&'static str, String)> {
    let event = EventId::from_slice(&found.event_id);
    let time = |micros: i64| match micros {
        0 => String::new(),
        micros => show::Time::of(micros).text,
    };
    let status = match found.last_status {
        0 => String::new(),
        status => status.to_string(),
    };
    let all = [
        ("Event", found.r#type.clone()),
        (
            "Id that is sent",
            event.map(|id| id.to_string()).unwrap_or_default(),
        ),
        ("Mode", mode_word(found.mode).to_owned()),
        ("Attempts", found.attempts.to_string()),
        ("Sent anew", found.replays.to_string()),
        ("Last status", status),
        ("Last error", found.last_error.clone()),
        ("Made", time(found.created_at)),
        (
            "Next attempt",
            if found.state == "due" {
                time(found.due_at)
            } else {
                String::new()
            },
        ),
        ("Ended", time(found.ended_at)),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn attempt(attempt: &Attempt) -> Vec<Cell> {
    let took = attempt.ended_at.saturating_sub(attempt.started_at);
    let status = match attempt.status {
        0 => "–".to_owned(),
        status => status.to_string(),
    };
    vec![
        Cell::text(attempt.number.to_string()),
        Cell::text(attempt.replay.to_string()),
        Cell::time(attempt.started_at),
        Cell::text(show::count(took.div_euclid(1_000))),
        Cell::text(status),
        Cell::text(&attempt.error),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_is_said_in_words() {
        for (count, more, words) in [
            (0, None, "There was nothing to send again."),
            (1, Some(0), "One delivery is sent again."),
            (
                1_000,
                Some(1),
                "1,000 deliveries are sent again; there are more: press the button again.",
            ),
        ] {
            assert_eq!(again(count, more), words);
        }
    }
}
