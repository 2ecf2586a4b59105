//! What an order's customer is told of it by webhooks: that it was paid, and each refund. Noted in the transaction that books it, so once.

use chassis::clock::rfc3339;
use db::outbox;
use domain::{EventType, Micros, OrderId};
use serde::Serialize;
use sqlx::AnyConnection;

use crate::{
    Error, news,
    store::{self, order::OrderRow},
};

/// What has happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) kind: EventType,
    /// What was paid or given back, in minor units.
    pub(super) amount: i64,
    /// The credit that was given for it; or that is taken back, at once or as soon as it is there.
    pub(super) credits: Micros,
    pub(super) refund: Option<Refunded>,
}

/// Which refund it was, and how it stands: a part of the event's wire form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refunded {
    /// Stripe's.
    pub(super) refund_id: String,
    /// `succeeded`, or `pending`: it was ordered, and may still fail.
    pub(super) refund_status: &'static str,
}

/// The wire form of an event's data.
#[derive(Serialize)]
struct Data<'a> {
    account_id: String,
    mode: &'static str,
    order_id: String,
    amount: i64,
    currency: &'a str,
    credits: Micros,
    microcredits: i64,
    #[serde(flatten)]
    refund: Option<&'a Refunded>,
    order: Order<'a>,
}

/// The wire form of an order: as `GET /orders` shows it, but for the page where it is paid, which is none any more.
#[derive(Serialize)]
struct Order<'a> {
    order_id: String,
    object: &'static str,
    #[serde(flatten)]
    bought: Bought<'a>,
    #[serde(flatten)]
    stands: Stands,
}

/// What of it never changes.
#[derive(Serialize)]
struct Bought<'a> {
    pack: &'a str,
    name: &'a str,
    credits: Micros,
    price: i64,
    currency: &'a str,
    created_at: String,
}

/// How it stands.
#[derive(Serialize)]
struct Stands {
    status: &'static str,
    credited_credits: Micros,
    reversed_credits: Micros,
    owed_credits: Micros,
    updated_at: String,
}

/// Notes what is to be told of an order, as it is at the end of this transaction.
///
/// # Errors
/// When the database failed.
pub(super) async fn note(
    connection: &mut AnyConnection,
    order: OrderId,
    happened: &[Happened],
    now: i64,
) -> Result<(), Error> {
    if happened.is_empty() {
        return Ok(());
    }
    let order = store::order::get(connection, order).await?;
    let order = order.ok_or(Error::Corrupt("an order is gone"))?;
    for one in happened {
        let row = news::row(one.kind, order.balance(), &data(&order, one), now);
        outbox::enqueue(connection, row, now).await?;
    }
    Ok(())
}

fn data<'a>(order: &'a OrderRow, happened: &'a Happened) -> Data<'a> {
    let balance = order.balance();
    Data {
        account_id: balance.account.to_string(),
        mode: balance.mode.as_str(),
        order_id: order.id.to_string(),
        amount: happened.amount,
        currency: &order.terms.currency,
        credits: happened.credits,
        microcredits: happened.credits.get(),
        refund: happened.refund.as_ref(),
        order: Order {
            order_id: order.id.to_string(),
            object: "order",
            bought: Bought {
                pack: &order.pack,
                name: &order.name,
                credits: order.terms.credits,
                price: order.terms.price,
                currency: &order.terms.currency,
                created_at: rfc3339(order.created_at),
            },
            stands: Stands {
                status: order.shown.status(),
                credited_credits: order.booked.credited,
                reversed_credits: order.booked.reversed,
                owed_credits: order.booked.owed,
                updated_at: rfc3339(order.updated_at),
            },
        },
    }
}
