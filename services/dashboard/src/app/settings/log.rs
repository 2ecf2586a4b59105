//! `/settings/log`: who did what. What people did here we know; what became of keys, credit and the account, billing.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::IntoResponse as _,
};
use domain::{EventId, Id, UserId};
use proto::{
    billing::v1::{AuditLogEntry, ListAuditLogRequest},
    id_from_wire,
};
use serde::Deserialize;

use super::PART;
use crate::{
    Site,
    app::Frame,
    page::Page,
    people::ActId,
    refused::{Answer, Refused},
    show::{Pager, Time},
    store::{act, member},
    who::{Manages, Member},
};

/// The page.
const PAGE: &str = "/settings/log";
/// Rows of either list.
const ROWS: u8 = 25;

/// What is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// What people did before this.
    people: String,
    /// What became of things before this.
    things: String,
}

#[derive(Template)]
#[template(path = "app/settings_log.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tab: &'static str,
    people: Vec<PersonRow>,
    people_pager: Pager,
    things: Vec<ThingRow>,
    things_pager: Pager,
}

struct PersonRow {
    at: Time,
    who: String,
    what: String,
}

struct ThingRow {
    at: Time,
    who: String,
    action: String,
    subject: String,
    detail: String,
}

/// `GET /settings/log`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let (reader, account) = (site.db.reader(), member.view().account);
    let members = site.db.read(member::of_account(reader, account)).await?;
    let names = members.into_iter().map(|row| (row.person, row.name));
    let names: HashMap<UserId, String> = names.collect();
    let (people, people_pager) = people(&site, &member, &names, &wanted).await?;
    let (things, things_pager) = things(&site, &member, &names, &wanted).await?;
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Audit log"),
        tab: PAGE,
        people,
        people_pager,
        things,
        things_pager,
    };
    Ok(Page::html(&html).into_response())
}

async fn people(
    site: &Site,
    member: &Member<Manages>,
    names: &HashMap<UserId, String>,
    wanted: &Wanted,
) -> Result<(Vec<PersonRow>, Pager), Refused> {
    let before = asked(&wanted.people)?;
    let account = member.view().account;
    // One more than is shown says whether there is more.
    let most = i64::from(ROWS).saturating_add(1);
    let rows = act::of_account(site.db.reader(), account, before, most);
    let mut rows: Vec<act::Listed> = site.db.read(rows).await?;
    let more = rows.len() > usize::from(ROWS);
    rows.truncate(usize::from(ROWS));
    let last: Option<ActId> = rows.last().map(|row| row.id);
    let pager = pager("people", before, last.filter(|_| more));
    let listed = rows.into_iter().map(|row| PersonRow {
        at: Time::of(row.created_at),
        who: if row.name.is_empty() {
            row.person.to_string()
        } else {
            row.name
        },
        what: told(&row.what, &row.subject, names),
    });
    Ok((listed.collect(), pager))
}

async fn things(
    site: &Site,
    member: &Member<Manages>,
    names: &HashMap<UserId, String>,
    wanted: &Wanted,
) -> Result<(Vec<ThingRow>, Pager), Refused> {
    let before: Option<EventId> = asked(&wanted.things)?;
    let request = ListAuditLogRequest {
        context: Some(member.context()),
        limit: u32::from(ROWS).saturating_add(1),
        before: before.map(|id| id.to_vec().into()).unwrap_or_default(),
        ..ListAuditLogRequest::default()
    };
    let asked = site.peers.ask(request);
    let reply = site.peers.billing.clone().list_audit_log(asked).await?;
    let mut rows = reply.into_inner().entries;
    let more = rows.len() > usize::from(ROWS);
    rows.truncate(usize::from(ROWS));
    let last = rows.last().filter(|_| more);
    let last: Option<EventId> = last.map(|row| id_from_wire(&row.entry_id)).transpose()?;
    let pager = pager("things", before, last);
    let listed = rows.into_iter().map(|row| thing(row, names));
    Ok((listed.collect(), pager))
}

fn thing(row: AuditLogEntry, names: &HashMap<UserId, String>) -> ThingRow {
    let person = UserId::parse(&row.actor).and_then(|person| names.get(&person));
    ThingRow {
        at: Time::of(row.created_at),
        who: person.cloned().unwrap_or(row.actor),
        action: row.action,
        subject: row.subject,
        detail: String::from_utf8_lossy(&row.detail).into_owned(),
    }
}

/// Where a page of one of the lists begins.
fn asked<K: domain::ids::Kind>(text: &str) -> Result<Option<Id<K>>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    Id::parse(text).map(Some).ok_or_else(Refused::not_found)
}

/// The links below a list that began before one id and ends with another, if there is more.
fn pager<K: domain::ids::Kind>(list: &str, before: Option<Id<K>>, last: Option<Id<K>>) -> Pager {
    Pager {
        first: before.map(|_| PAGE.to_owned()),
        older: last.map(|last| format!("{PAGE}?{list}={last}#{list}")),
    }
}

/// What somebody did, in words.
fn told(what: &str, whole: &str, names: &HashMap<UserId, String>) -> String {
    let (person, rest) = whole.split_once(' ').unwrap_or((whole, ""));
    let named = UserId::parse(person).and_then(|person| names.get(&person));
    let subject = named.map_or(person, String::as_str);
    match what {
        // What people call things may have spaces in it.
        "passkey.add" => format!("Added the passkey {whole}"),
        "passkey.remove" => format!("Removed the passkey {whole}"),
        "passkey.refused" => {
            format!("Was not let in by the passkey {whole}, which may have been copied")
        }
        "person.sign_up" => "Signed up".to_owned(),
        "person.sign_in" => "Signed in".to_owned(),
        "person.passkey" => "Signed in by a passkey".to_owned(),
        "person.sign_in_link" => "Signed in by an operator's link".to_owned(),
        "person.password_change" => "Changed their password".to_owned(),
        "person.password_reset" => "Set a new password by a link".to_owned(),
        "email.change" => "Changed their address".to_owned(),
        "member.invite" => format!("Invited {subject}"),
        "member.uninvite" => format!("Took back the invitation of {subject}"),
        "member.join" => format!("Joined as {subject}"),
        "member.role" => format!("Made {subject} {rest}"),
        "member.remove" => format!("Removed {subject}"),
        "account.rename" => format!("Called the account {person} {rest}")
            .trim_end()
            .to_owned(),
        "account.export" => "Exported the account".to_owned(),
        other => other.to_owned(),
    }
}
