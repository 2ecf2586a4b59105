//! What moved the balance, each with the balance behind it; and what is set aside at this moment.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::IntoResponse as _,
};
use domain::{OperationId, TaskId};
use proto::billing::v1::{ListHoldsRequest, ListMovementsRequest, Movement, OpenHold};
use serde::Deserialize;

use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refused},
    show::{self, Pager, Time},
    who::Member,
};

/// Movements on one page.
const PAGE: u32 = 50;

/// What a link to the ledger says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// The last number of the page before; 0: the newest.
    before: i64,
}

/// A movement of the balance.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: i64,
    pub(super) time: Time,
    /// What it was.
    pub(super) what: &'static str,
    /// Of what: a model, an order, a code; and where that is shown.
    pub(super) of: String,
    pub(super) href: Option<String>,
    /// What else is to be known; empty: nothing.
    pub(super) note: String,
    /// In credits, with its sign.
    pub(super) amount: String,
    pub(super) came: bool,
    /// In credits: what was on the balance then.
    pub(super) balance: String,
}

/// An open hold.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: String,
    /// Of a task: where it is shown.
    pub(super) href: Option<String>,
    /// In credits.
    pub(super) credits: String,
    pub(super) since: Time,
    /// When it ends by itself.
    pub(super) ends: Option<Time>,
}

#[derive(Template)]
#[template(path = "app/credits/ledger.html")]
struct Html<'s> {
    frame: Frame<'s>,
    lines: Vec<Line>,
    pager: Pager,
}

/// `GET /credits/ledger`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let lines = ask(&site, &member, wanted.before, PAGE).await?;
    // The first movement of all has the number 1.
    let older = lines.last().filter(|last| last.number > 1);
    let pager = Pager {
        first: (wanted.before > 0).then(|| "/credits/ledger".to_owned()),
        older: older.map(|last| format!("/credits/ledger?before={}", last.number)),
    };
    let html = Html {
        frame: Frame::new(&site, &member, "/credits", "Ledger"),
        lines,
        pager,
    };
    Ok(Page::html(&html).into_response())
}

/// The newest movements.
pub(super) async fn newest<N>(
    site: &Site,
    member: &Member<N>,
    limit: u32,
) -> Result<Vec<Line>, Refused> {
    ask(site, member, 0, limit).await
}

async fn ask<N>(
    site: &Site,
    member: &Member<N>,
    before: i64,
    limit: u32,
) -> Result<Vec<Line>, Refused> {
    let request = ListMovementsRequest {
        context: Some(member.context()),
        limit,
        before,
    };
    let ask = site.peers.ask(request);
    let reply = site.peers.usage.clone().list_movements(ask).await?;
    let movements = reply.into_inner().movements;
    movements.into_iter().map(Line::of).collect()
}

/// What is held, the newest first.
pub(super) async fn holds<N>(
    site: &Site,
    member: &Member<N>,
    limit: u32,
) -> Result<Vec<Held>, Refused> {
    let request = ListHoldsRequest {
        context: Some(member.context()),
        limit,
    };
    let ask = site.peers.ask(request);
    let reply = site.peers.usage.clone().list_holds(ask).await?;
    let holds = reply.into_inner().holds;
    holds.into_iter().map(Held::of).collect()
}

// === impl Line ===

impl Line {
    fn of(movement: Movement) -> Result<Self, Refused> {
        let cause: OperationId = proto::id_from_wire(&movement.cause)?;
        let came = movement.amount > 0;
        let (what, of, href) = match movement.kind.as_str() {
            "charge" => {
                let of = [&movement.model, &movement.route]
                    .into_iter()
                    .find(|text| !text.is_empty());
                let of = of.cloned().unwrap_or_else(|| cause.to_string());
                ("Charge", of, Some(format!("/requests/{cause}")))
            }
            "order" => {
                let href = format!("/credits/orders/{}", movement.subject);
                ("Order", movement.subject, Some(href))
            }
            "refund" => {
                let href = format!("/credits/orders/{}", movement.subject);
                ("Taken back", movement.subject, Some(href))
            }
            "code" => ("Code", movement.subject, None),
            "welcome" => ("Welcome credit", String::new(), None),
            "reset" => ("Reset of the test balance", String::new(), None),
            "expiry" => ("Expired", String::new(), None),
            "grant" => ("Given by the operator", String::new(), None),
            _ => ("Taken by the operator", String::new(), None),
        };
        let note = match movement.written_off {
            0 => String::new(),
            lost => format!(
                "late: {} credits of it were written off",
                show::credits(lost)
            ),
        };
        let sign = if came { "+" } else { "" };
        Ok(Self {
            number: movement.number,
            time: Time::of(movement.created_at),
            what,
            of,
            href,
            note,
            amount: format!("{sign}{}", show::credits(movement.amount)),
            came,
            balance: show::credits(movement.balance),
        })
    }
}

// === impl Held ===

impl Held {
    fn of(hold: OpenHold) -> Result<Self, Refused> {
        let operation: OperationId = proto::id_from_wire(&hold.hold_id)?;
        // A task has the same 128 bits as its hold.
        let task: TaskId = proto::id_from_wire(&hold.hold_id)?;
        let (id, href) = if hold.media {
            (task.to_string(), Some(format!("/tasks/{task}")))
        } else {
            (operation.to_string(), None)
        };
        Ok(Self {
            id,
            href,
            credits: show::credits(hold.granted),
            since: Time::of(hold.created_at),
            ends: (hold.expires_at != 0).then(|| Time::of(hold.expires_at)),
        })
    }
}
