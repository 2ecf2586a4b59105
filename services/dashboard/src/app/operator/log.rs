//! `/operator/log`: who changed what, of everybody.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::IntoResponse as _,
};
use domain::{AccountId, EventId, ids};
use proto::billing::v1::{AuditLogEntry, ListAuditLogRequest};
use serde::Deserialize;

use super::{Cell, PART, Table, Tabs, bytes, href, maybe_id};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refused},
    show::Pager,
    who::{Member, Operates},
};

/// What a link to the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    before: String,
}

#[derive(Template)]
#[template(path = "app/operator/log.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    table: Table,
    pager: Pager,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    let before = maybe_id::<ids::Event>(&asked.before)?;
    let entries = entries(&site, (None, before)).await?;
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Audit log"),
        tabs: Tabs("/operator/log"),
        pager: pager(&site, "/operator/log", &entries, before),
        table: table(&entries),
    };
    Ok(Page::html(&html).into_response())
}

/// A page of the log: of an account, or of everybody; only what is older than an entry, if one is named.
///
/// # Errors
/// When billing refuses.
pub(super) async fn entries(
    site: &Site,
    (account, before): (Option<AccountId>, Option<EventId>),
) -> Result<Vec<AuditLogEntry>, Refused> {
    let request = ListAuditLogRequest {
        context: None,
        account_id: bytes(account).into(),
        limit: site.config.operator.rows,
        before: bytes(before).into(),
    };
    let mut billing = site.peers.billing.clone();
    let reply = billing.list_audit_log(site.peers.ask(request)).await?;
    Ok(reply.into_inner().entries)
}

/// Links to the pages before and behind.
pub(super) fn pager(
    site: &Site,
    path: &str,
    entries: &[AuditLogEntry],
    before: Option<EventId>,
) -> Pager {
    let full = u32::try_from(entries.len()).is_ok_and(|count| count >= site.config.operator.rows);
    let last = entries.last().filter(|_| full);
    let last = last.and_then(|entry| EventId::from_slice(&entry.entry_id));
    Pager {
        first: before.map(|_| path.to_owned()),
        older: last.map(|last| href(path, &[("before", &last.to_string())])),
    }
}

/// Entries, one a row.
pub(super) fn table(entries: &[AuditLogEntry]) -> Table {
    let row = |entry: &AuditLogEntry| {
        let account = AccountId::from_slice(&entry.account_id);
        let whose = match account {
            None => Cell::text("–"),
            Some(id) => Cell::code(id.to_string()).to(format!("/operator/accounts/{id}")),
        };
        vec![
            Cell::time(entry.created_at),
            Cell::text(&entry.action),
            Cell::code(&entry.actor).over(&entry.request_id),
            Cell::code(&entry.subject),
            Cell::code(String::from_utf8_lossy(&entry.detail)),
            whose,
        ]
    };
    let columns = [
        "When",
        "What",
        "Who, by which request",
        "To what",
        "Details",
        "Account",
    ];
    Table::new("Audit log", &columns)
        .or("Nothing was changed yet.")
        .with(entries.iter().map(row))
}
