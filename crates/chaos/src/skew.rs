//! C01: the clock of one role is five minutes ahead, or behind, or an hour behind from one moment to the next. Nobody is charged for
//! anything else, nothing ends too soon, and every end is told.

use anyhow::{Context as _, Result, ensure};
use testkit::{Aio, Role, Shape};

use crate::{
    Length,
    crash::SHORT_HOLDS,
    customer::{Customer, DEAR},
    faketime::library,
    progress,
};

const CREDITS: i64 = 5_000;
const CREDIT: i64 = CREDITS * 1_000_000;
const ROLES: [Role; 5] = [
    Role::Edge,
    Role::Chat,
    Role::Media,
    Role::Webhooks,
    Role::Billing,
];
/// How wrong a clock is.
const FULL: [&str; 4] = ["+5m", "-5m", "-1h", "+1d"];
const QUICK: [&str; 2] = ["+5m", "-5m"];

/// One role after another has a wrong clock.
pub(crate) async fn skew(length: Length) -> Result<String> {
    let library = library()?;
    let skews = match length {
        Length::Full => &FULL[..],
        Length::Quick => &QUICK[..],
    };
    let mut aio = Aio::private_with(Shape::Split, &SHORT_HOLDS).await?;
    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    customer.round().await;
    for skew in skews {
        for role in ROLES {
            progress(&format!("{} {skew}", role.as_str()));
            aio.set("LD_PRELOAD", &library.to_string_lossy());
            aio.set("FAKETIME", skew);
            // Only what time it is, not how much of it passes.
            aio.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            let restarted = aio.restart_role(role).await;
            restarted.with_context(|| format!("{} {skew}", role.as_str()))?;
            aio.set("LD_PRELOAD", "");
            let before = customer.broken();
            for _ in 0..2 {
                customer.round().await;
            }
            let broken = customer.broken().saturating_sub(before);
            ensure!(
                broken == 0,
                "{broken} chats broke while {} was at {skew}: {}",
                role.as_str(),
                customer.refusal()
            );
            aio.restart_role(role).await?;
        }
    }
    let seen = customer.check(CREDIT, DEAR).await?;
    let submits = customer.submitted_once(&aio).await?;
    aio.finish().await?;
    Ok(format!(
        "{} clocks, {}; {seen}; {submits}",
        ROLES.len(),
        skews.join(", ")
    ))
}
