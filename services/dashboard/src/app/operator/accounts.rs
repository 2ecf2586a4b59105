//! `/operator/accounts`: everybody's accounts, found by name, by id, or by the address of somebody who uses them.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{AccountId, ids};
use http::StatusCode;
use proto::{
    billing::v1::{Account, FindAccountsRequest, GetAccountRequest},
    price_factor_from_wire,
};
use serde::Deserialize;

use super::{Cell, PART, Table, Tabs, bytes, href, maybe_id};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refused},
    show::Pager,
    store::desk,
    who::{Member, Operates},
};

/// Accounts of one person that are shown at most.
const OF_ONE: i64 = 50;

/// What a link to the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    before: String,
}

#[derive(Template)]
#[template(path = "app/operator/accounts.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    q: &'s str,
    table: Table,
    pager: Pager,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    let q = asked.q.trim();
    if let Some(id) = AccountId::parse(q) {
        return Ok(Redirect::to(&format!("/operator/accounts/{id}")).into_response());
    }
    let before = maybe_id::<ids::Account>(&asked.before)?;
    let (accounts, unopened) = if q.contains('@') {
        of_address(&site, &q.to_lowercase()).await?
    } else {
        (named(&site, q, before).await?, Vec::new())
    };
    let full = u32::try_from(accounts.len()).is_ok_and(|count| count >= site.config.operator.rows);
    let last = accounts.last().filter(|_| full && !q.contains('@'));
    let last = last.and_then(|account| AccountId::from_slice(&account.account_id));
    let path = "/operator/accounts";
    let pager = Pager {
        first: before.map(|_| href(path, &[("q", q)])),
        older: last.map(|last| href(path, &[("q", q), ("before", &last.to_string())])),
    };
    let mut rows: Vec<Vec<Cell>> = accounts.iter().map(row).collect::<Result<_, _>>()?;
    rows.extend(unopened.into_iter().map(unopened_row));
    let columns = ["Name", "Account", "Made", "#Price factor"];
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Accounts"),
        tabs: Tabs(path),
        q,
        table: Table::new("Accounts", &columns)
            .or("There is no such account.")
            .with(rows),
        pager,
    };
    Ok(Page::html(&html).into_response())
}

async fn named(
    site: &Site,
    name: &str,
    before: Option<AccountId>,
) -> Result<Vec<Account>, Refused> {
    let request = FindAccountsRequest {
        name: name.to_owned(),
        limit: site.config.operator.rows,
        before: bytes(before).into(),
    };
    let mut billing = site.peers.operators.billing.clone();
    let found = billing.find_accounts(site.peers.ask(request)).await?;
    Ok(found.into_inner().accounts)
}

/// The accounts of whoever has an address, and those of them that billing has not opened yet.
async fn of_address(site: &Site, email: &str) -> Result<(Vec<Account>, Vec<AccountId>), Refused> {
    let found = desk::accounts_of_address(site.db.reader(), email, OF_ONE);
    let (mut accounts, mut unopened) = (Vec::new(), Vec::new());
    for id in site.db.read(found).await? {
        match one(site, id).await {
            Ok(account) => accounts.push(account),
            // One that is missing hides none of the others.
            Err(why) if why.is(StatusCode::NOT_FOUND) => unopened.push(id),
            Err(why) => return Err(why),
        }
    }
    Ok((accounts, unopened))
}

/// One account.
///
/// # Errors
/// When there is none, or billing does not answer.
pub(super) async fn one(site: &Site, id: AccountId) -> Result<Account, Refused> {
    let request = GetAccountRequest {
        account_id: id.to_vec().into(),
    };
    let mut billing = site.peers.operators.billing.clone();
    let account = billing.get_account(site.peers.ask(request)).await?;
    Ok(account.into_inner())
}

fn row(account: &Account) -> Result<Vec<Cell>, Refused> {
    let id: AccountId = proto::id_from_wire(&account.account_id)?;
    let factor = price_factor_from_wire(account.price_factor)?;
    let name = match account.name.as_str() {
        "" => "without a name",
        name => name,
    };
    Ok(vec![
        Cell::text(name).to(format!("/operator/accounts/{id}")),
        Cell::code(id.to_string()),
        Cell::time(account.created_at),
        Cell::text(factor.to_string()),
    ])
}

/// An account that billing does not know: it has no page to lead to.
fn unopened_row(id: AccountId) -> Vec<Cell> {
    vec![
        Cell::text("not opened at billing yet"),
        Cell::code(id.to_string()),
        Cell::text("–"),
        Cell::text("–"),
    ]
}
