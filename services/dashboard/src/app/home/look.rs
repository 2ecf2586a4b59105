//! What the page is made of, asked of everybody at once. Who does not answer leaves a gap, and the page stands.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use chassis::rpc;
use domain::{Mode, OperationId};
use proto::{
    Fault,
    billing::v1::{
        Balance, GetBalanceRequest, GetUsageRequest, ListOperationsRequest, ListOrdersRequest,
        Operation, UsageRow,
    },
    chat::v1::GetResponseRequest,
    common::v1::Context,
    media::v1::ListTasksRequest,
    mode_to_wire,
    webhooks::v1::{ListEndpointsRequest, Whose, whose},
};
use tonic::{Response, Status};

use super::{Running, SPAN};
use crate::{
    Site,
    app::named::{self, Keys},
    days,
    who::Member,
};

/// Operations and tasks that are shown.
const SHOWN: u32 = 6;
/// Below which status a refusal is an answer all the same.
const FAILED: u16 = 500;

/// What came. `Err`: it did not.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) balance: Result<Balance, Status>,
    /// By day and model, of the last [`SPAN`] days.
    pub(super) usage: Result<Vec<UsageRow>, Status>,
    pub(super) operations: Result<Vec<Operation>, Status>,
    /// What runs, and what waits.
    pub(super) tasks: Result<Vec<Running>, Status>,
    pub(super) keys: Result<Keys, Status>,
    /// Whether there is an endpoint, and whether there is real credit or was an order of it.
    pub(super) told: Result<bool, Status>,
    pub(super) paid: Result<bool, Status>,
    /// Whether chat answers.
    pub(super) chat: Result<(), Status>,
}

/// An answer on its way.
type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

/// Asks everybody.
pub(super) async fn look(site: &Site, member: &Member) -> Seen {
    let (running, waiting) = (
        tasks(site, member, "processing"),
        tasks(site, member, "queued"),
    );
    let (balance, usage, operations, running, waiting, keys, told, paid, chat) = tokio::join!(
        balance(site, member.context()),
        usage(site, member),
        operations(site, member),
        running,
        waiting,
        keys(site, member),
        told(site, member),
        paid(site, member),
        chat(site, member),
    );
    let tasks = running.and_then(|running| {
        let mut all = running;
        all.extend(waiting?);
        all.truncate(usize::try_from(SHOWN).unwrap_or(usize::MAX));
        Ok(all)
    });
    Seen {
        balance,
        usage,
        operations,
        tasks,
        keys,
        told,
        paid,
        chat,
    }
}

/// Whether somebody was there: a refusal is an answer as well.
pub(super) fn answers<T>(reply: &Result<T, Status>) -> bool {
    match reply {
        Ok(_) => true,
        Err(status) => Fault::from(status.clone()).code.http_status().as_u16() < FAILED,
    }
}

/// A request that is answered within the page's patience.
fn ask<M>(site: &Site, message: M) -> tonic::Request<M> {
    rpc::request(message, site.config.usage.home_patience)
}

fn balance(site: &Site, context: Context) -> Asked<'_, Balance> {
    let request = GetBalanceRequest {
        context: Some(context),
    };
    let mut billing = site.peers.billing.clone();
    Box::pin(async move {
        let reply = billing.get_balance(ask(site, request)).await;
        reply.map(Response::into_inner)
    })
}

fn usage<'a>(site: &'a Site, member: &Member) -> Asked<'a, Vec<UsageRow>> {
    let today = days::today();
    let request = GetUsageRequest {
        context: Some(member.context()),
        first_day: today - (SPAN - 1),
        last_day: today,
        group_by: vec!["day".to_owned(), "model".to_owned()],
        ..GetUsageRequest::default()
    };
    let mut usage = site.peers.usage.clone();
    Box::pin(async move {
        let reply = usage.get_usage(ask(site, request)).await;
        reply.map(|reply| reply.into_inner().rows)
    })
}

fn operations<'a>(site: &'a Site, member: &Member) -> Asked<'a, Vec<Operation>> {
    let request = ListOperationsRequest {
        context: Some(member.context()),
        limit: SHOWN,
        ..ListOperationsRequest::default()
    };
    let mut usage = site.peers.usage.clone();
    Box::pin(async move {
        let reply = usage.list_operations(ask(site, request)).await;
        reply.map(|reply| reply.into_inner().operations)
    })
}

fn tasks<'a>(site: &'a Site, member: &Member, status: &str) -> Asked<'a, Vec<Running>> {
    let request = ListTasksRequest {
        context: Some(member.context()),
        limit: SHOWN,
        status: status.to_owned(),
        ..ListTasksRequest::default()
    };
    let mut media = site.peers.media.clone();
    Box::pin(async move {
        let reply = media.list_tasks(ask(site, request)).await?.into_inner();
        let read = |view: Bytes| serde_json::from_slice(&view).ok();
        Ok(reply.views.into_iter().filter_map(read).collect())
    })
}

fn keys<'a>(site: &'a Site, member: &Member) -> Asked<'a, Keys> {
    let request = named::request(member);
    let mut keys = site.peers.keys.clone();
    Box::pin(async move {
        let reply = keys.list_keys(ask(site, request)).await;
        Keys::of(reply.map(|reply| reply.into_inner().keys))
    })
}

fn told<'a>(site: &'a Site, member: &Member) -> Asked<'a, bool> {
    let request = ListEndpointsRequest {
        whose: Some(Whose {
            whose: Some(whose::Whose::Caller(member.context())),
        }),
        ..ListEndpointsRequest::default()
    };
    let mut manage = site.peers.manage.clone();
    Box::pin(async move {
        let reply = manage.list_endpoints(ask(site, request)).await;
        reply.map(|reply| !reply.into_inner().endpoints.is_empty())
    })
}

/// Real credit, whichever mode is looked at: it is there, or some was bought once.
fn paid<'a>(site: &'a Site, member: &Member) -> Asked<'a, bool> {
    let live = Context {
        mode: mode_to_wire(Mode::Live).into(),
        ..member.context()
    };
    let balance = balance(site, live.clone());
    let request = ListOrdersRequest {
        context: Some(live),
        limit: 1,
        ..ListOrdersRequest::default()
    };
    let mut orders = site.peers.orders.clone();
    Box::pin(async move {
        let orders = orders.list_orders(ask(site, request));
        let (balance, orders) = tokio::join!(balance, orders);
        Ok(balance?.posted > 0 || !orders?.into_inner().orders.is_empty())
    })
}

/// Asks for a response that there is not: as little as it can be asked for.
fn chat<'a>(site: &'a Site, member: &Member) -> Asked<'a, ()> {
    let request = GetResponseRequest {
        context: Some(member.context()),
        operation_id: OperationId::NIL.to_vec().into(),
        conversation: false,
    };
    let mut chat = site.peers.chat.clone();
    Box::pin(async move {
        let reply = chat.get_response(ask(site, request)).await;
        reply.map(drop)
    })
}

#[cfg(test)]
mod tests {
    use proto::code;

    use super::*;

    #[test]
    fn a_refusal_is_an_answer_and_silence_is_none() {
        let refused = |code| answers::<()>(&Err(Fault::new(code, "no").into()));
        assert!(answers(&Ok(())));
        assert!(refused(code::NOT_FOUND));
        assert!(!refused(code::OVERLOADED));
        assert!(!answers::<()>(&Err(Fault::of(code::INTERNAL).into())));
    }
}
