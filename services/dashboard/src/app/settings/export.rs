//! `GET /settings/account/export`: what the account is, as one JSON file: its people, its keys without their secrets, its orders, its
//! operations of the last 90 days. It leaves as it is read, page after page, so that it is never in memory as a whole.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::IntoResponse as _,
};
use chassis::clock::rfc3339;
use domain::{KeyId, Micros, Mode, OperationId, OrderId};
use futures::stream;
use http::header;
use proto::{
    billing::v1::{
        GetBalanceRequest, Key, ListKeysRequest, ListOperationsRequest, ListOrdersRequest,
        Operation, Order,
    },
    common::v1::Context,
    id_from_wire, mode_from_wire, mode_to_wire,
};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    Site,
    refused::{Answer, Refused},
    store::{act, member, passkey},
    who::{Member, Owns},
};

/// Rows of anything but operations that are asked for at once.
const PAGE: u32 = 1_000;
/// Microseconds.
const SPAN: i64 = 90 * 24 * 3_600_000_000;
const MODES: [Mode; 2] = [Mode::Live, Mode::Test];

/// Operations on their way into the file.
struct Operations {
    site: Arc<Site>,
    context: Context,
    /// Modes that are still to come.
    modes: Vec<Mode>,
    /// The last id of the page before.
    before: Bytes,
    /// Since when they are asked for.
    since: i64,
    /// Whether one is in the file already.
    any: bool,
}

/// `GET /settings/account/export`.
pub(super) async fn export(State(site): State<Arc<Site>>, member: Member<Owns>) -> Answer {
    let head = head(&site, &member).await?.to_string();
    // Its last brace comes behind the operations.
    let head = head.strip_suffix('}').unwrap_or(&head).to_owned();
    let (account, by) = (member.view().account, member.person.id);
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        let what = ("account.export", String::new());
        Box::pin(act::note(connection, (account, by), what, now))
    });
    write.await?;
    let operations = Operations {
        context: member.context(),
        modes: MODES.to_vec(),
        before: Bytes::new(),
        since: now.saturating_sub(SPAN),
        any: false,
        site,
    };
    let first = stream::once(async move { Ok(Bytes::from(format!("{head},\"operations\":["))) });
    let rest = stream::try_unfold(Some(operations), next);
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    let name = format!("attachment; filename=\"{account}.json\"");
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        // It is not packed: for that it would have to be in memory.
        (header::CONTENT_ENCODING, "identity".to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// A further piece of the file, and what is left.
async fn next(
    operations: Option<Operations>,
) -> Result<Option<(Bytes, Option<Operations>)>, std::io::Error> {
    let Some(mut operations) = operations else {
        return Ok(None);
    };
    let Some(mode) = operations.modes.first().copied() else {
        return Ok(Some((Bytes::from_static(b"]}\n"), None)));
    };
    let page = operations.page(mode).await.map_err(|refused| {
        // The file ends in the middle, which whoever loads it down sees.
        warn!(?refused, "an export breaks off");
        std::io::Error::other("operations cannot be read")
    })?;
    Ok(Some((page.into(), Some(operations))))
}

// === impl Operations ===

impl Operations {
    /// Reads a page of them, as JSON.
    async fn page(&mut self, mode: Mode) -> Result<String, Refused> {
        self.context.mode = mode_to_wire(mode).into();
        let limit = self.site.config.door.limits.export_page.clamp(1, 1_000);
        let request = ListOperationsRequest {
            context: Some(self.context.clone()),
            before: self.before.clone(),
            limit,
            ..ListOperationsRequest::default()
        };
        let asked = self.site.peers.ask(request);
        let reply = self.site.peers.usage.clone().list_operations(asked).await?;
        let rows = reply.into_inner().operations;
        let more = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows
            .last()
            .filter(|row| more && row.created_at >= self.since);
        match last {
            Some(last) => self.before = last.operation_id.clone(),
            None => {
                self.before = Bytes::new();
                self.modes.remove(0);
            }
        }
        let mut text = String::new();
        for row in rows.iter().filter(|row| row.created_at >= self.since) {
            if self.any {
                text.push_str(",\n");
            }
            self.any = true;
            text.push_str(&operation(row, mode)?.to_string());
        }
        Ok(text)
    }
}

/// Everything but the operations.
async fn head(site: &Arc<Site>, member: &Member<Owns>) -> Result<Value, Refused> {
    let view = member.view();
    let people = member::of_account(site.db.reader(), view.account);
    let people = site.db.read(people).await?;
    let passkeys = passkey::of_account(site.db.reader(), view.account);
    let passkeys = site.db.read(passkeys).await?;
    let people: Vec<Value> = people
        .into_iter()
        .map(|row| {
            let own = passkeys
                .iter()
                .filter(|passkey| passkey.person == row.person);
            json!({
                "user_id": row.person.to_string(), "name": row.name, "email": row.email,
                "role": row.role.as_str(), "since": rfc3339(row.created_at),
                "passkeys": own.map(named).collect::<Vec<_>>(),
            })
        })
        .collect();
    let (mut balances, mut orders) = (Vec::new(), Vec::new());
    for mode in MODES {
        let mut context = member.context();
        context.mode = mode_to_wire(mode).into();
        balances.push(balance(site, &context, mode).await?);
        orders_of(site, &context, mode, &mut orders).await?;
    }
    Ok(json!({
        "account_id": view.account.to_string(),
        "name": view.name,
        "exported_at": rfc3339(site.db.now_micros()),
        "people": people,
        "balances": balances,
        "keys": keys(site, member).await?,
        "orders": orders,
    }))
}

/// A passkey without its key.
fn named(passkey: &passkey::Listed) -> Value {
    json!({
        "name": passkey.name, "created_at": rfc3339(passkey.created_at),
        "used_at": passkey.used_at.map(rfc3339),
    })
}

async fn balance(site: &Site, context: &Context, mode: Mode) -> Result<Value, Refused> {
    let request = GetBalanceRequest {
        context: Some(context.clone()),
    };
    let asked = site.peers.ask(request);
    let reply = site.peers.billing.clone().get_balance(asked).await?;
    let balance = reply.into_inner();
    Ok(json!({
        "mode": mode.as_str(),
        "posted_microcredits": balance.posted,
        "held_microcredits": balance.held,
    }))
}

async fn keys(site: &Site, member: &Member<Owns>) -> Result<Vec<Value>, Refused> {
    let (mut all, mut after) = (Vec::new(), Bytes::new());
    loop {
        let request = ListKeysRequest {
            account_id: member.view().account.to_vec().into(),
            limit: PAGE,
            after: after.clone(),
            ..ListKeysRequest::default()
        };
        let asked = site.peers.ask(request);
        let reply = site.peers.keys.clone().list_keys(asked).await?;
        let rows = reply.into_inner().keys;
        let Some(last) = rows.last() else {
            return Ok(all);
        };
        after = last.key_id.clone();
        for row in &rows {
            all.push(key(row)?);
        }
    }
}

async fn orders_of(
    site: &Site,
    context: &Context,
    mode: Mode,
    all: &mut Vec<Value>,
) -> Result<(), Refused> {
    let mut before = Bytes::new();
    loop {
        let request = ListOrdersRequest {
            context: Some(context.clone()),
            limit: PAGE,
            before: before.clone(),
        };
        let asked = site.peers.ask(request);
        let reply = site.peers.orders.clone().list_orders(asked).await?;
        let rows = reply.into_inner().orders;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        before = last.order_id.clone();
        for row in &rows {
            all.push(order(row, mode)?);
        }
    }
}

fn key(key: &Key) -> Result<Value, Refused> {
    let id: KeyId = id_from_wire(&key.key_id)?;
    let expires_at = (key.expires_at != 0).then(|| rfc3339(key.expires_at));
    Ok(json!({
        "key_id": id.to_string(), "mode": mode_from_wire(key.mode)?.as_str(), "name": key.name,
        "last_four": key.last_four, "scopes": key.scopes, "models": key.models, "ip_allow": key.ip_allow,
        "created_at": rfc3339(key.created_at), "expires_at": expires_at,
    }))
}

fn order(order: &Order, mode: Mode) -> Result<Value, Refused> {
    let id: OrderId = id_from_wire(&order.order_id)?;
    Ok(json!({
        "order_id": id.to_string(), "mode": mode.as_str(), "pack": order.pack, "name": order.name,
        "credits": Micros::new(order.credits).to_string(), "price_minor": order.price,
        "currency": order.currency, "status": order.status, "created_at": rfc3339(order.created_at),
    }))
}

fn operation(row: &Operation, mode: Mode) -> Result<Value, Refused> {
    let id: OperationId = id_from_wire(&row.operation_id)?;
    let key = (!row.key_id.is_empty()).then(|| id_from_wire::<domain::ids::Key>(&row.key_id));
    Ok(json!({
        "operation_id": id.to_string(), "mode": mode.as_str(), "key_id": key.transpose()?.map(|key| key.to_string()),
        "route": row.route, "model": row.model, "outcome": row.outcome,
        "charged_microcredits": row.charged, "input_tokens": row.input_tokens, "output_tokens": row.output_tokens,
        "created_at": rfc3339(row.created_at), "ended_at": rfc3339(row.ended_at),
    }))
}
