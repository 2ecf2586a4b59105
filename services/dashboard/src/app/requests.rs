//! `/requests`: one line for each operation that has ended; and its receipt, with the arithmetic of its price written out.

pub(crate) mod line;
mod receipt;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::IntoResponse as _,
    routing::get,
};
use domain::{Id, OperationId};
use http::{StatusCode, Uri};
use proto::billing::v1::{GetReceiptRequest, ListOperationsRequest, Operation};

use self::{
    line::{Line, OUTCOMES},
    receipt::{Check, Told},
};
use super::{
    Frame,
    named::Keys,
    usage::{Form, wanted::Only},
};
use crate::{
    Site, days,
    page::Page,
    pages::texts::{asked, one},
    refused::{Answer, Refused},
    router::Row,
    show::{self, Pager, Time},
    who::Member,
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    ("/requests", || get(list)),
    ("/requests/{id}", || get(one_receipt)),
];

/// What the list is asked for; texts as they stand in the form.
struct Wanted {
    only: Only,
    /// A word of [`OUTCOMES`]; empty: however they ended.
    outcome: String,
    /// The first and the last day; empty: whichever.
    from: String,
    to: String,
    /// What is older than this one alone.
    before: Option<OperationId>,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "app/requests.html")]
struct Html<'s> {
    frame: Frame<'s>,
    wanted: Wanted,
    form: Form<'s>,
    lines: Vec<Line>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "app/receipt.html")]
struct ReceiptHtml<'s> {
    frame: Frame<'s>,
    id: String,
    operation: Operation,
    outcome: (&'static str, &'static str),
    key: String,
    began: Time,
    ended: Time,
    /// Credits: held, charged, and, if there are any, written off by us.
    held: String,
    charged: String,
    written_off: Option<String>,
    /// What chat or media told of it; `None`: nobody did, or in another form.
    told: Option<Told>,
    /// As it is kept; empty: there is none.
    json: String,
}

/// The list.
async fn list(State(site): State<Arc<Site>>, member: Member, uri: Uri) -> Answer {
    let wanted = Wanted::read(&uri, &site);
    let (found, keys) = tokio::join!(ask(&site, &member, &wanted), Keys::ask(&site, &member));
    let (mut found, keys) = (found?, keys?);
    let most = usize::try_from(site.config.usage.page).unwrap_or(usize::MAX);
    let more = found.len() > most;
    found.truncate(most);
    let last = found
        .last()
        .and_then(|operation| OperationId::from_slice(&operation.operation_id));
    let pager = Pager {
        first: wanted.before.map(|_| wanted.href(None)),
        older: last.filter(|_| more).map(|last| wanted.href(Some(last))),
    };
    let lines = found.into_iter();
    let html = Html {
        frame: Frame::new(&site, &member, "/requests", "Requests"),
        lines: lines.filter_map(|own| Line::of(own, &keys)).collect(),
        form: Form::new(&site, keys),
        pager,
        wanted,
    };
    let page = Page::html(&html);
    Ok(match html.wanted.wrong {
        Some(_) => page.with(StatusCode::BAD_REQUEST).into_response(),
        None => page.into_response(),
    })
}

/// A page of them, and one more. What the form has wrong is not asked for.
async fn ask(site: &Site, member: &Member, wanted: &Wanted) -> Result<Vec<Operation>, Refused> {
    if wanted.wrong.is_some() {
        return Ok(Vec::new());
    }
    let (only, day) = (&wanted.only, |text: &str| days::parse(text));
    let request = ListOperationsRequest {
        context: Some(member.context()),
        before: wanted.before.map(Id::to_vec).unwrap_or_default().into(),
        model: only.model.clone(),
        key_id: only.key_id().unwrap_or_default().into(),
        limit: site.config.usage.page.saturating_add(1),
        tag: only.tag(),
        outcome: wanted.outcome.clone(),
        since: day(&wanted.from).map_or(0, days::begins),
        until: day(&wanted.to).map_or(0, |day| days::begins(day.saturating_add(1))),
    };
    let mut usage = site.peers.usage.clone();
    let reply = usage.list_operations(site.peers.ask(request)).await?;
    Ok(reply.into_inner().operations)
}

/// A receipt.
async fn one_receipt(
    State(site): State<Arc<Site>>,
    member: Member,
    Path(id): Path<String>,
) -> Answer {
    let id = line::id(&id).ok_or_else(Refused::not_found)?;
    let request = GetReceiptRequest {
        context: Some(member.context()),
        operation_id: id.to_vec().into(),
    };
    let mut usage = site.peers.usage.clone();
    let reply = usage.get_receipt(site.peers.ask(request));
    let (reply, keys) = tokio::join!(reply, Keys::ask(&site, &member));
    let (reply, keys) = (reply?.into_inner(), keys?);
    let operation = reply.operation.ok_or_else(Refused::internal)?;
    let lost = operation.written_off != 0;
    let html = ReceiptHtml {
        frame: Frame::new(&site, &member, "/requests", "Receipt"),
        id: id.to_string(),
        outcome: line::outcome(&operation),
        key: keys.name(&operation.key_id),
        began: Time::of(operation.created_at),
        ended: Time::of(operation.ended_at),
        told: Told::read(&site, &operation, &reply.receipt).await?,
        json: receipt::pretty(&reply.receipt),
        held: show::credits(operation.held),
        charged: show::credits(operation.charged),
        written_off: lost.then(|| show::credits(operation.written_off)),
        operation,
    };
    Ok(Page::html(&html).into_response())
}

// === impl Wanted ===

impl Wanted {
    fn read(uri: &Uri, site: &Site) -> Self {
        let asked = asked(uri);
        let only = Only::read(&asked, &site.catalogue);
        let outcome = one(&asked, "outcome");
        let (from, to) = (one(&asked, "from"), one(&asked, "to"));
        let known = outcome.is_empty() || OUTCOMES.iter().any(|(word, ..)| *word == outcome);
        let is_day = |text: &str| text.is_empty() || days::parse(text).is_some();
        let wrong = match only.wrong() {
            Some(wrong) => Some(wrong.to_owned()),
            None if !known => Some("There is no such outcome.".to_owned()),
            None if !(is_day(from) && is_day(to)) => {
                let today = days::text(days::today());
                Some(format!("A day is written as {today}."))
            }
            None => None,
        };
        Self {
            outcome: outcome.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            before: OperationId::parse(one(&asked, "before")),
            only,
            wrong,
        }
    }

    /// A link that asks for the same, from the newest on, or behind one of them.
    fn href(&self, before: Option<OperationId>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.only.pairs());
        let own = [
            ("outcome", &self.outcome),
            ("from", &self.from),
            ("to", &self.to),
        ];
        query.extend_pairs(own.into_iter().filter(|(_, value)| !value.is_empty()));
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        format!("/requests?{}", query.finish())
    }

    /// What may be chosen of outcomes: word, name, and whether it is this one.
    fn outcomes(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        OUTCOMES
            .iter()
            .map(|(word, name, _)| (*word, *name, *word == self.outcome))
    }

    /// Whether these are some alone.
    fn is_narrow(&self) -> bool {
        let own = [&self.outcome, &self.from, &self.to];
        self.only.pairs().next().is_some() || own.iter().any(|value| !value.is_empty())
    }
}

// === impl ReceiptHtml ===

impl ReceiptHtml<'_> {
    /// The page of the task, if it was one.
    fn task(&self) -> Option<String> {
        let is_task = self.told.as_ref().is_some_and(Told::is_task);
        let id = OperationId::parse(&self.id)?;
        let task: domain::TaskId = id.cast();
        is_task.then(|| format!("/tasks/{task}"))
    }
}
