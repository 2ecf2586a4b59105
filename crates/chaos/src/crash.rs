//! The program dies at a point, is started again, and every customer sends again what was not answered.

use anyhow::{Result, ensure};
use testkit::{Aio, Point, Shape, eventually, servers::free_port};

use crate::customer::{Customer, DEAR};

/// What an account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 100;
const CREDIT: i64 = CREDITS * 1_000_000;

/// Holds of a dead process end after 15 minutes. Here after 13 seconds, and whatever a hold must outlive is shorter.
pub(crate) const SHORT_HOLDS: [(&str, &str); 6] = [
    ("AIO_LIMITS__CHAT__BILLING__HOLD_TTL", "13s"),
    ("AIO_LIMITS__CHAT__BILLING__SETTLE_WINDOW", "2s"),
    ("AIO_LIMITS__CHAT__FAILOVER__WINDOW", "1s"),
    ("AIO_LIMITS__CHAT__SLOW_READER_TIMEOUT", "1s"),
    ("AIO_LIMITS__CHAT__REPLAY__STORE_WINDOW", "1s"),
    ("AIO_LIMITS__UPSTREAM__TOTAL_TIMEOUT", "6s"),
];

/// Dies when it comes to the point for so many times. Says what was charged.
pub(crate) async fn crash(shape: Shape, point: Point, time: u32) -> Result<String> {
    let sandbox = format!("127.0.0.1:{}", free_port()?);
    let listen = ("AIO_SANDBOX__LISTEN", sandbox.as_str());
    let mut aio = Aio::private_with(shape, &[&SHORT_HOLDS[..], &[listen]].concat()).await?;
    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    aio.set("AIO_CRASH", &format!("{}:{time}", point.as_str()));
    aio.restart().await?;
    for _ in 0..time {
        customer.chat().await;
        customer.stream().await;
        customer.image().await;
    }
    come_back(&mut aio).await?;
    let seen = customer.check(CREDIT, unheard(point)).await?;
    let submits = customer.submitted_once(&aio).await?;
    aio.finish().await?;
    Ok(format!("{seen}; {submits}"))
}

/// Waits for the death, looks at the books, and starts everything again.
pub(crate) async fn come_back(aio: &mut Aio) -> Result<()> {
    // Whoever dies may still be about to.
    eventually("the point is reached", async || {
        Ok(aio.has_lost_one()?.then_some(()))
    })
    .await?;
    aio.kill()?;
    aio.set("AIO_CRASH", "");
    audit(aio).await?;
    aio.restart().await
}

/// The most that can be charged there without its customer hearing of it.
const fn unheard(point: Point) -> i64 {
    match point {
        Point::BillingAfterCommit | Point::ChatAfterCapture => DEAR,
        Point::EdgeBeforeForward
        | Point::BillingBeforeCommit
        | Point::BillingMidPayment
        | Point::ChatAfterHold
        | Point::ChatMidStream
        | Point::ChatBeforeCapture
        | Point::MediaBeforeTask
        | Point::MediaAfterTask
        | Point::MediaAfterHold
        | Point::MediaAfterAccept
        | Point::MediaBeforeRing
        | Point::MediaAfterRing
        | Point::MediaBeforeClaim
        | Point::MediaAfterClaim
        | Point::MediaBeforeSubmit
        | Point::MediaAfterSubmit
        | Point::MediaBeforeEnd
        | Point::MediaMidEnd
        | Point::MediaAfterEnd => 0,
    }
}

/// The books hold while nothing runs.
async fn audit(aio: &Aio) -> Result<()> {
    let audit = aio.audit().await?;
    let ok = audit.get("ok") == Some(&true.into());
    ensure!(ok, "the ledger does not hold: {audit:#}");
    Ok(())
}
