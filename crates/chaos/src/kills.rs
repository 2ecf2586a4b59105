//! F30: one service after another is killed, about once a second, in no order, while customers go on asking. The books are what they were
//! told, no task is submitted twice, and whoever asks for nothing of the one that is dead is served.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::future::join_all;
use testkit::{Aio, Role, Shape};

use crate::{
    Length,
    crash::SHORT_HOLDS,
    customer::{Customer, DEAR, submitted_once},
};

const CUSTOMERS: usize = 6;
const CREDITS: i64 = 50_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// Who is killed, in an order in which nobody comes twice at once: those that a chat needs, and those that it does not.
const VICTIMS: [Role; 7] = [
    Role::Media,
    Role::Billing,
    Role::Webhooks,
    Role::Chat,
    Role::Media,
    Role::Edge,
    Role::Webhooks,
];
/// From one death to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Of a thousand chats that asked for nothing of the dead, so many are answered.
const SERVED_OF_1000: u64 = 990;

/// Who is dead, and how often somebody was, so that whoever asks can tell whether that concerned him.
#[derive(Default)]
struct Deaths {
    /// Roles that a chat needs and that are dead, or were, since somebody began.
    of_chat: Cell<u64>,
    all: Cell<u64>,
}

/// Chats that nobody's death concerned.
#[derive(Clone, Copy, Default)]
struct Unconcerned {
    asked: u64,
    served: u64,
}

/// Kills for some minutes.
pub(crate) async fn kills(length: Length) -> Result<String> {
    let lasting = Duration::from_secs(match length {
        Length::Full => 300,
        Length::Quick => 20,
    });
    let mut aio = Aio::private_with(Shape::Split, &SHORT_HOLDS).await?;
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(Customer::new(aio.account(CREDITS).await?.api).await?);
    }
    let (deaths, over) = (Deaths::default(), Cell::new(false));
    let asking = customers
        .iter_mut()
        .map(|customer| ask(customer, &deaths, &over));
    let killing = async {
        let killed = kill(&mut aio, &deaths, lasting).await;
        over.set(true);
        killed
    };
    let (seen, killed) = futures::future::join(join_all(asking), killing).await;
    killed?;
    let sum = |of: fn(&Unconcerned) -> u64| seen.iter().map(of).sum::<u64>();
    let (asked, served) = (sum(|seen| seen.asked), sum(|seen| seen.served));
    ensure!(
        served.saturating_mul(1_000) >= asked.saturating_mul(SERVED_OF_1000),
        "only {served} of {asked} chats that needed none of the dead were served"
    );
    let (mut last, mut broken) = (String::new(), 0_i64);
    for customer in &mut customers {
        let unheard = DEAR.saturating_mul(customer.broken());
        last = customer.check(CREDIT, unheard).await?;
        broken = broken.saturating_add(customer.broken());
    }
    let submits = submitted_once(&aio, &customers).await?;
    aio.finish().await?;
    Ok(format!(
        "{} deaths in {} s; {served} of {asked} chats served that needed none of the dead, {broken} of the others broken; the last customer: {last}; {submits}",
        deaths.all.get(),
        lasting.as_secs()
    ))
}

async fn kill(aio: &mut Aio, deaths: &Deaths, lasting: Duration) -> Result<()> {
    let begun = Instant::now();
    for role in VICTIMS.into_iter().cycle() {
        if begun.elapsed() >= lasting {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let concerns = matches!(role, Role::Edge | Role::Chat | Role::Billing);
        let add = |count: &Cell<u64>| count.set(count.get().saturating_add(1));
        add(&deaths.all);
        // Counted when it begins and when it is over, so that a chat that saw any of it sees another number.
        if concerns {
            add(&deaths.of_chat);
        }
        aio.restart_role(role).await?;
        // Its callers find it again within a moment.
        tokio::time::sleep(PAUSE).await;
        if concerns {
            add(&deaths.of_chat);
        }
    }
    Ok(())
}

async fn ask(customer: &mut Customer, deaths: &Deaths, over: &Cell<bool>) -> Unconcerned {
    let mut seen = Unconcerned::default();
    while !over.get() {
        let (before, broken) = (deaths.of_chat.get(), customer.broken());
        customer.chat().await;
        // An odd number: one of those a chat needs was dead when it began.
        if before.is_multiple_of(2) && deaths.of_chat.get() == before {
            seen.asked = seen.asked.saturating_add(1);
            if customer.broken() == broken {
                seen.served = seen.served.saturating_add(1);
            }
        }
        customer.stream().await;
        customer.image().await;
    }
    seen
}
