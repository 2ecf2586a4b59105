//! `/operator/accounts/{id}`: one account: its balances, keys, people, and what operators do about it. Every act is in the audit log,
//! with the person who did it.

mod acts;

pub(crate) use acts::{add_credits, revoke_key, set_factor, set_retention, set_standing};
pub(super) use acts::{amount, end_of, mode_of};

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse as _, Response},
};
use domain::{AccountId, EventId, KeyId, Mode, OperationId, ids};
use http::StatusCode;
use proto::{
    billing::v1::{Account, Balance, GetBalanceRequest, Key, ListKeysRequest},
    common::v1::Context,
    media::v1::{GetRetentionRequest, Retention},
    mode_to_wire, price_factor_from_wire,
};
use serde::Deserialize;

use super::{
    Cell, PART, Table, Tabs, accounts, answered, id_of, log, maybe_id, moment, providers::mode_word,
};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refusal, Refused},
    show::{self, Pager, Time},
    store::desk::{self, Belongs},
    who::{Member, Operates},
};

/// Keys and people that are shown at most.
const MOST: u16 = 200;
/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;

/// What was done, by the word in the link back.
const SAID: [(&str, &str); 5] = [
    ("credits", "The credit is booked."),
    ("standing", "The account's standing is set."),
    ("factor", "The price factor is set."),
    ("retention", "How long files are kept is set."),
    (
        "revoked",
        "The key is revoked: it opens nothing within five seconds.",
    ),
];

/// What a link to the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    said: String,
    before: String,
}

#[derive(Template)]
#[template(path = "app/operator/account.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    id: AccountId,
    made: Time,
    balances: Table,
    forms: Forms,
    keys: Table,
    people: Table,
    log: Table,
    pager: Pager,
    wrong: Option<&'s Refusal>,
}

/// What the forms say before anybody writes in them.
struct Forms {
    frozen: bool,
    factor: String,
    /// Days; empty: as long as everybody's. `None`: media does not answer.
    retention: Option<(String, String)>,
    /// The id under which credit is booked once, however often the form is sent.
    once: OperationId,
    /// Those that can be revoked, with their names.
    keys: Vec<(KeyId, String)>,
}

/// What is shown of an account.
struct Known {
    account: Account,
    balances: [Balance; 2],
    keys: Vec<Key>,
    people: Vec<Belongs>,
    retention: Option<Retention>,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let before = maybe_id::<ids::Event>(&asked.before)?;
    show(&site, &member, id_of(&id)?, (&asked.said, before, None)).await
}

/// The page; with what was done, the entry of the log before which it begins, or what was wrong with a form.
async fn show(
    site: &Arc<Site>,
    member: &Member<Operates>,
    id: AccountId,
    (said, before, wrong): (&str, Option<EventId>, Option<&Refusal>),
) -> Answer {
    let known = know(site, member, id).await?;
    let entries = log::entries(site, (Some(id), before)).await?;
    let said = SAID.iter().find(|(word, _)| *word == said);
    let name = match known.account.name.as_str() {
        "" => "An account without a name",
        name => name,
    };
    let live_keys = known.keys.iter().filter_map(|key| {
        let name = format!("{} …{}", key.name, key.last_four);
        Some((KeyId::from_slice(&key.key_id)?, name))
    });
    let path = format!("/operator/accounts/{id}");
    let html = Html {
        frame: Frame::new(site, member, PART, name).saying(said.map(|(_, words)| *words)),
        tabs: Tabs("/operator/accounts"),
        id,
        made: Time::of(known.account.created_at),
        balances: balances(&known.balances),
        forms: Forms {
            frozen: known.balances.iter().any(|balance| balance.frozen),
            factor: price_factor_from_wire(known.account.price_factor)?.to_string(),
            retention: known
                .retention
                .map(|said| (days(said.outputs), days(said.files))),
            once: chassis::mint(),
            keys: live_keys.collect(),
        },
        keys: keys(&known.keys),
        people: people(&known.people),
        pager: log::pager(site, &path, &entries, before),
        log: log::table(&entries),
        wrong,
    };
    let status = wrong.map_or(StatusCode::OK, |wrong| wrong.status);
    Ok(Page::html(&html).with(status).into_response())
}

/// The page again, saying beside its forms what was refused.
async fn refused(
    site: &Arc<Site>,
    member: &Member<Operates>,
    id: AccountId,
    refused: Refused,
) -> Result<Response, Refused> {
    let wrong = refused.told()?;
    if wrong.status == StatusCode::NOT_FOUND {
        return Err(Refused::not_found());
    }
    show(site, member, id, ("", None, Some(&wrong))).await
}

async fn know(site: &Site, member: &Member<Operates>, id: AccountId) -> Result<Known, Refused> {
    let peers = &site.peers;
    let account = accounts::one(site, id).await?;
    let balance = async |mode| {
        let request = GetBalanceRequest {
            context: Some(of(member, id, mode)),
        };
        let mut billing = peers.billing.clone();
        let balance = billing.get_balance(peers.ask(request)).await;
        balance.map(tonic::Response::into_inner)
    };
    let keys = async {
        let request = ListKeysRequest {
            account_id: id.to_vec().into(),
            limit: u32::from(MOST),
            ..ListKeysRequest::default()
        };
        let mut keys = peers.keys.clone();
        let keys = keys.list_keys(peers.ask(request)).await;
        keys.map(|keys| keys.into_inner().keys)
    };
    let mut media = peers.operators.media.clone();
    let request = GetRetentionRequest {
        account_id: id.to_vec().into(),
    };
    // A page about money stands without media.
    let retention = answered("media", media.get_retention(peers.ask(request)));
    let (live, test, keys, retention) =
        tokio::join!(balance(Mode::Live), balance(Mode::Test), keys, retention);
    let people = desk::people(site.db.reader(), id, i64::from(MOST));
    Ok(Known {
        account,
        balances: [live?, test?],
        keys: keys?,
        people: site.db.read(people).await?,
        retention,
    })
}

/// The account as the one that asks: of a call that knows no operators.
fn of(member: &Member<Operates>, account: AccountId, mode: Mode) -> Context {
    Context {
        account_id: account.to_vec().into(),
        mode: mode_to_wire(mode).into(),
        request_id: member.request_id.clone(),
        ..Context::default()
    }
}

fn balances(balances: &[Balance]) -> Table {
    let row = |balance: &Balance| {
        let soonest = balance.expiring.first().map(|lot| {
            format!(
                "{} by {}",
                show::credits(lot.left),
                Time::of(lot.expires_at).text
            )
        });
        vec![
            Cell::text(mode_word(balance.mode)),
            Cell::text(show::credits(balance.posted.saturating_sub(balance.held))),
            Cell::text(show::credits(balance.held)),
            Cell::text(show::credits(balance.posted)),
            Cell::text(show::count(balance.open_holds)),
            Cell::text(soonest.unwrap_or_else(|| "–".to_owned())),
        ]
    };
    let columns = [
        "Mode",
        "#Available",
        "#Held",
        "#Posted",
        "#Open holds",
        "Expires next",
    ];
    Table::new("Balances", &columns).with(balances.iter().map(row))
}

fn keys(keys: &[Key]) -> Table {
    let row = |key: &Key| {
        let models = match key.models.len() {
            0 => "all models".to_owned(),
            _ => key.models.join(", "),
        };
        let spent = key.budget.as_ref().map_or_else(
            || "no cap".to_owned(),
            |budget| format!("{} spent in all", show::credits(budget.spent_total)),
        );
        vec![
            Cell::text(&key.name).over(format!("…{}", key.last_four)),
            Cell::text(mode_word(key.mode)),
            Cell::text(key.scopes.join(", ")),
            Cell::text(models),
            Cell::text(spent),
            Cell::time(key.created_at),
            moment(key.expires_at),
        ]
    };
    let columns = ["Key", "Mode", "May", "Models", "Caps", "Made", "Expires"];
    Table::new("Keys", &columns)
        .or("It has no keys.")
        .with(keys.iter().map(row))
}

fn people(people: &[Belongs]) -> Table {
    let row = |one: &Belongs| {
        let confirmed = if one.confirmed {
            "confirmed"
        } else {
            "not confirmed"
        };
        let role = if one.operator {
            format!("{}, operator", one.role)
        } else {
            one.role.clone()
        };
        vec![
            Cell::text(&one.name).over(one.person.to_string()),
            Cell::text(&one.email).over(confirmed),
            Cell::text(role),
            Cell::time(one.since),
        ]
    };
    Table::new("People", &["Name", "E-mail address", "Role", "Since"])
        .or("Nobody uses it through these pages.")
        .with(people.iter().map(row))
}

/// So many whole days; nothing: as long as everybody's. What is no whole number of days is rounded up.
fn days(seconds: u64) -> String {
    match seconds {
        0 => String::new(),
        seconds => seconds.div_ceil(DAY_SECONDS).to_string(),
    }
}
