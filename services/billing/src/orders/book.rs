//! One transaction about an order: the event, what is known of the payment, the transfers, the order as it is then, and what its customer is
//! told of that. All of it happens, or nothing.
//!
//! A transfer's id is made of its order and of how many there were: so a transaction that is made again books the same ones.

use chassis::failpoint::{Point, reach};
use domain::{AccountId, EventType, Micros, Mode, MoneyError, OperationId, OrderId};
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;

use super::{
    state::{Due, Facts, Look, ReversalKind, Shown, due, refunds},
    stripe::Seen,
    told::{self, Happened, Refunded},
};
use crate::{
    Error,
    ledger::{BalanceId, Op, Transfer},
    store::{
        self,
        order::{EventRow, OrderRow},
    },
};

/// Who books, in the ledger.
pub(crate) const BY_ORDER: &str = "stripe";

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was taken.
    Taken,
    /// It was taken, and money came that is not what was asked for.
    Review,
    /// It had been taken before.
    Repeated,
    /// It is about no order of ours.
    Foreign,
}

/// Takes an event, with what was seen of its payment.
///
/// # Errors
/// When the database failed or the ledger refused; then nothing may be kept.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    event: &EventRow,
    order: OrderId,
    seen: &Seen,
    now: i64,
) -> Result<Outcome, Error> {
    let Some(found) = store::order::get(connection, order).await? else {
        return Ok(Outcome::Foreign);
    };
    let balance = store::order::lock_balance(connection, found.balance()).await?;
    let balance = balance.ok_or(Error::Corrupt("an order's account has no balance"))?;
    if !store::order::insert_event(connection, order, event, now).await? {
        return Ok(Outcome::Repeated);
    }
    reach(Point::BillingMidPayment);
    // As it is now that nobody else changes it.
    let order = store::order::get(connection, order).await?;
    let mut order = order.ok_or(Error::Corrupt("an order is gone"))?;
    let second = order.payment.is_some() && seen.payment.is_some() && order.payment != seen.payment;
    if second {
        // Another payment for the same order buys nothing more: it is to be given back.
        return Ok(Outcome::Review);
    }
    let booked = learn(connection, &mut order, seen, now).await?;
    let mut available = balance.available().map_err(out_of_range)?;
    for amount in &booked.given {
        available = available.plus(*amount).map_err(out_of_range)?;
    }
    let (account, id) = (order.account, order.id);
    let mut ops = booked.ops;
    ops.extend(collect(connection, account, available, now).await?);
    apply(connection, &ops, now).await?;
    told::note(connection, id, &booked.happened, now).await?;
    Ok(if booked.review {
        Outcome::Review
    } else {
        Outcome::Taken
    })
}

/// Takes what an account owes, as far as it is there.
///
/// # Errors
/// When the database failed or the ledger refused; then nothing may be kept.
pub(crate) async fn collect_from(
    connection: &mut AnyConnection,
    account: AccountId,
    now: i64,
) -> Result<(), Error> {
    let id = BalanceId {
        account,
        mode: Mode::Live,
    };
    let Some(balance) = store::order::lock_balance(connection, id).await? else {
        return Ok(());
    };
    let available = balance.available().map_err(out_of_range)?;
    let ops = collect(connection, account, available, now).await?;
    apply(connection, &ops, now).await
}

/// What takes from `available` what the account's orders owe, the oldest first; the orders are written, the transfers are not.
/// The balance must be locked.
pub(crate) async fn collect(
    connection: &mut AnyConnection,
    account: AccountId,
    available: Micros,
    now: i64,
) -> Result<Vec<Op>, Error> {
    let mut left = available;
    let mut ops = Vec::new();
    for owing in store::order::owing(connection, account).await? {
        let taken = owing.owed.min(left);
        if taken <= Micros::ZERO {
            break;
        }
        left = left.minus(taken).map_err(out_of_range)?;
        let balance = BalanceId {
            account,
            mode: Mode::Live,
        };
        let amount = taken.negate().map_err(out_of_range)?;
        ops.push(transfer(owing.id, owing.bookings, balance, amount));
        store::order::collected(connection, owing.id, taken, now).await?;
    }
    Ok(ops)
}

/// Applies transfers. The balances are locked and the sums were made with them: none is refused.
pub(crate) async fn apply(
    connection: &mut AnyConnection,
    ops: &[Op],
    now: i64,
) -> Result<(), Error> {
    if ops.is_empty() {
        return Ok(());
    }
    let receipts = vec![None; ops.len()];
    let decision = store::ledger::apply(connection, ops, &receipts, now).await?;
    for answer in decision.answers {
        answer?;
    }
    Ok(())
}

/// What an order's new facts come to.
struct Learned {
    ops: Vec<Op>,
    /// What the transfers give.
    given: Vec<Micros>,
    /// What the customer is told of.
    happened: Vec<Happened>,
    review: bool,
}

/// Joins what was seen to what is known, and writes the order; the transfers are not written.
async fn learn(
    connection: &mut AnyConnection,
    order: &mut OrderRow,
    seen: &Seen,
    now: i64,
) -> Result<Learned, Error> {
    let before = store::order::facts(connection, order).await?;
    let mut facts = before.clone();
    facts.learn(&order.terms, &seen.look);
    let due = due(&order.terms, &facts, order.booked).map_err(out_of_range)?;
    let given: Vec<Micros> = [due.credit, due.restore]
        .into_iter()
        .filter(|amount| *amount > Micros::ZERO)
        .collect();
    let happened = happened(&due, (&before, &facts), &seen.look).map_err(out_of_range)?;
    let mut ops = Vec::new();
    for amount in &given {
        ops.push(transfer(order.id, order.bookings, order.balance(), *amount));
        order.bookings = order.bookings.saturating_add(1);
    }
    order.payment = order.payment.take().or_else(|| seen.payment.clone());
    order.booked = due.booked;
    order.shown = Shown {
        progress: facts.progress,
        received: facts.received,
        refunded: facts.taken_by(ReversalKind::Refund),
        disputed: facts.taken_by(ReversalKind::Dispute),
    };
    store::order::put_reversals(connection, order.id, &facts).await?;
    store::order::update(connection, order, now).await?;
    let review = super::state::Progress::Review;
    Ok(Learned {
        ops,
        given,
        happened,
        review: facts.progress == review && before.progress != review,
    })
}

/// What the customer is told of: the credit that is given, and money that goes back.
fn happened(
    due: &Due,
    (before, now): (&Facts, &Facts),
    look: &Look,
) -> Result<Vec<Happened>, MoneyError> {
    let paid = (due.credit > Micros::ZERO).then_some(Happened {
        kind: EventType::OrderPaid,
        amount: now.received,
        credits: due.credit,
        refund: None,
    });
    let refunds = refunds(before, now, due.booked.credited)?;
    let refunds = refunds.into_iter().map(|refund| Happened {
        kind: EventType::RefundIssued,
        amount: refund.amount,
        credits: refund.credits,
        refund: Some(Refunded {
            refund_status: if look.pending.contains(&refund.id) {
                "pending"
            } else {
                "succeeded"
            },
            refund_id: refund.id,
        }),
    });
    Ok(paid.into_iter().chain(refunds).collect())
}

fn transfer(order: OrderId, number: i64, balance: BalanceId, amount: Micros) -> Op {
    Op::Transfer {
        id: transfer_id(order, number),
        transfer: Transfer {
            balance,
            amount,
            actor: BY_ORDER.to_owned(),
            reason: order.to_string(),
        },
    }
}

/// The id of an order's transfer; number 0 gave its credit.
pub(crate) fn transfer_id(order: OrderId, number: i64) -> OperationId {
    derived(&[b"order", &order.to_bytes(), &number.to_be_bytes()])
}

/// An id made of these: the same for the same.
pub(crate) fn derived(parts: &[&[u8]]) -> OperationId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let hash = hash.finalize();
    hash.get(..16)
        .and_then(OperationId::from_slice)
        .unwrap_or(OperationId::NIL)
}

/// Sums of the books fit in 64 bits by far.
pub(crate) fn out_of_range(_: MoneyError) -> Error {
    Error::Corrupt("an amount of an order is out of range")
}
