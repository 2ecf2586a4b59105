//! The program dies between a payment's event and its credit, is started again, and the simulated Stripe sends the event again.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Api, Point, Sandbox, Shape, eventually};

use crate::crash::come_back;

/// What signs the simulated Stripe's events.
const SECRET: &str = "whsec_sandbox";
/// What the smallest pack is worth, in micro-credits.
const PACK: i64 = 1_000_000_000;
/// How often an event is sent, all at once.
const COPIES: u32 = 20;

/// Dies when it comes to the point for so many times. Says what was credited.
pub(crate) async fn crash(shape: Shape, time: u32) -> Result<String> {
    let sandbox = Sandbox::start().await?;
    let stripe = format!("{}/stripe", sandbox.base());
    let env = [
        ("AIO_ORDERS__STRIPE__BASE_URL", stripe.as_str()),
        ("STRIPE_API_KEY", "sk_simulated"),
        ("STRIPE_WEBHOOK_SECRET", SECRET),
    ];
    let mut aio = Aio::private_with(shape, &env).await?;
    let account = aio.account(0).await?;
    let (customer, _) = account.key("live", &["manage", "read"]).await?;
    let form = format!("url={}/api/v1/payments/stripe/webhook", aio.base());
    at_stripe(&aio, &format!("{stripe}/v1/webhook_endpoints"), form).await?;
    let (order, session) = order(&customer).await?;

    let point = Point::BillingMidPayment;
    aio.set("AIO_CRASH", &format!("{}:{time}", point.as_str()));
    aio.restart().await?;
    // As often as the point must be reached, since one event passes it once.
    for _ in 1..time {
        let (_, other) = self::order(&customer).await?;
        pay(&aio, &stripe, &other).await?;
    }
    pay(&aio, &stripe, &session).await?;
    come_back(&mut aio).await?;

    let orders = i64::from(time);
    let paid = eventually("everything is credited", async || {
        let order = customer.get(&format!("/orders/{order}")).await?.data(200)?;
        let is_paid = order.get("status").and_then(Value::as_str) == Some("paid");
        let posted = customer.credits().await?.posted;
        ensure!(
            posted <= orders.saturating_mul(PACK),
            "credited twice: {posted}"
        );
        Ok((is_paid && posted == orders.saturating_mul(PACK)).then_some(posted))
    });
    let posted = paid.await?;
    aio.finish().await?;
    Ok(format!(
        "{orders} paid orders, {COPIES} copies of each event: {posted} micro-credits given"
    ))
}

/// Orders the smallest pack: the order's id, and its session at Stripe.
async fn order(customer: &Api) -> Result<(String, String)> {
    let order = customer
        .post("/orders", &json!({ "pack": "small" }))
        .await?;
    let order = order.data(201)?;
    let text = |name: &str| order.get(name).and_then(Value::as_str).map(str::to_owned);
    let page = text("checkout_url").context("no page")?;
    let (_, session) = page.rsplit_once('/').context("no session")?;
    Ok((text("order_id").context("no order_id")?, session.to_owned()))
}

/// Pays; the event is sent until it is taken.
async fn pay(aio: &Aio, stripe: &str, session: &str) -> Result<()> {
    let url = format!("{stripe}/simulate/sessions/{session}/pay?copies={COPIES}");
    at_stripe(aio, &url, String::new()).await
}

async fn at_stripe(aio: &Aio, url: &str, form: String) -> Result<()> {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let someone = aio.api(Some("sk_simulated"));
    let reply = someone
        .send(testkit::Method::POST, url, &headers, form)
        .await?;
    ensure!(reply.status == 200, "{url}: {reply}");
    Ok(())
}
