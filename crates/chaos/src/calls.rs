//! Calls between services that are made twice, and answers to them that are lost: whoever repeats a call by its id finds what it did.
//! Billing, as chat, media and the edge call it, and webhooks, as media and billing do.

use anyhow::{Result, ensure};
use testkit::{Aio, Role, Shape};

use crate::{
    Length,
    crash::SHORT_HOLDS,
    customer::{Customer, DEAR},
    relay::{Fate, Relay},
};

/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 5_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// How often each call is made.
const TIMES: u32 = 2;
/// The answer to each so-and-so-many-th call is lost. Chat may make three calls for one charge.
const LOST_EACH: u32 = 5;

/// What goes wrong with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// N03: each is made twice.
    Twice,
    /// N02: answers are lost after the call was answered.
    Lost,
}

/// Lets customers ask while it does.
pub(crate) async fn wrong(wrong: Wrong, length: Length) -> Result<String> {
    let rounds = match length {
        Length::Full => 100,
        Length::Quick => 10,
    };
    let fate = Fate::default();
    let mut relays = Vec::new();
    // Where no answer is lost, no hold is left that would have to end by itself, and nobody needs to be in a hurry.
    let settings = match wrong {
        Wrong::Twice => &[][..],
        Wrong::Lost => &SHORT_HOLDS[..],
    };
    let aio = Aio::private_via(Shape::Split, settings, |role, base| {
        if !matches!(role, Role::Billing | Role::Webhooks) {
            return Ok(base);
        }
        let relay = Relay::to(&base, &fate)?;
        let base = relay.base();
        relays.push(relay);
        Ok(base)
    })
    .await?;
    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    let (before, _) = fate.counts();
    match wrong {
        Wrong::Twice => fate.repeat(TIMES),
        Wrong::Lost => fate.lose_each(LOST_EACH),
    }
    for _ in 0..rounds {
        customer.round().await;
    }
    let (after, lost) = fate.counts();
    if wrong == Wrong::Twice {
        let broken = customer.broken();
        ensure!(
            broken == 0,
            "{broken} chats broke although no answer was lost"
        );
    }
    fate.repeat(1);
    fate.lose_each(0);
    let unheard = DEAR.saturating_mul(customer.broken());
    let seen = customer.check(CREDIT, unheard).await?;
    let submits = customer.submitted_once(&aio).await?;
    aio.finish().await?;
    let calls = after.saturating_sub(before);
    ensure!(calls > 0, "nobody was called");
    Ok(match wrong {
        Wrong::Twice => format!("{calls} calls, each made twice; {seen}; {submits}"),
        Wrong::Lost => format!("{calls} calls, {lost} answers lost; {seen}; {submits}"),
    })
}
