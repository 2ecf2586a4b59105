//! Buying credit at a simulated Stripe, and what takes it back; redeem codes; the test balance's reset.

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{Aio, Answer, Api, Sandbox, Sink, eventually};

/// Micro-credits in one credit.
const CREDIT: i64 = 1_000_000;
/// What signs the simulated Stripe's events.
const SECRET: &str = "whsec_sandbox";

/// The program with a simulated Stripe, and a live key of an account without credit.
struct Shop {
    aio: Aio,
    customer: Api,
    /// Where the simulated Stripe is.
    stripe: String,
    _sandbox: Sandbox,
}

// === impl Shop ===

impl Shop {
    async fn open() -> Result<Self> {
        let sandbox = Sandbox::start().await?;
        let stripe = format!("{}/stripe", sandbox.base());
        let env = [
            ("AIO_ORDERS__STRIPE__BASE_URL", stripe.as_str()),
            ("AIO_ORDERS__COLLECT_EVERY", "200ms"),
            ("STRIPE_API_KEY", "canary-of-the-payments"),
            ("STRIPE_WEBHOOK_SECRET", SECRET),
        ];
        let aio = Aio::with(&env).await?;
        let account = aio.account(0).await?;
        let (customer, _) = account
            .key("live", &["manage", "read", "inference"])
            .await?;
        let shop = Self {
            aio,
            customer,
            stripe,
            _sandbox: sandbox,
        };
        shop.point_events(&shop.aio.base()).await?;
        Ok(shop)
    }

    /// Has the simulated Stripe send its events here.
    async fn point_events(&self, base: &str) -> Result<()> {
        let form = format!("url={base}/api/v1/payments/stripe/webhook");
        let endpoint = self.at_stripe("v1/webhook_endpoints", &form).await?;
        assert_eq!(endpoint["secret"], SECRET);
        Ok(())
    }

    /// Does something at the simulated Stripe.
    async fn at_stripe(&self, path: &str, form: &str) -> Result<Value> {
        let url = format!("{}/{path}", self.stripe);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let someone = self.aio.api(Some("sk_anything"));
        let reply = someone
            .send(Method::POST, &url, &headers, form.to_owned())
            .await?;
        anyhow::ensure!(reply.status == 200, "{path}: {reply}");
        reply.json()
    }

    /// Orders the smallest pack: 1 000 credits for 1 000 cents. Gives the order and its session at Stripe.
    async fn order(&self) -> Result<(Value, String)> {
        let pack = json!({ "pack": "small" });
        let order = self.customer.post("/orders", &pack).await?.data(201)?;
        let page = order["checkout_url"].as_str().context("no page")?;
        let (_, session) = page.rsplit_once('/').context("no session")?;
        let session = session.to_owned();
        Ok((order, session))
    }

    /// Waits until an order has this status.
    async fn reaches(&self, order: &Value, status: &str) -> Result<Value> {
        let id = order["order_id"].as_str().context("no order_id")?;
        eventually(&format!("{id} is {status}"), async || {
            let order = self.customer.get(&format!("/orders/{id}")).await?;
            let order = order.data(200)?;
            Ok((order["status"] == status).then_some(order))
        })
        .await
    }

    async fn posted(&self) -> Result<i64> {
        Ok(self.customer.credits().await?.posted / CREDIT)
    }
}

#[tokio::test]
async fn a_pack_is_bought_and_given_back() -> Result<()> {
    let mut shop = Shop::open().await?;
    let packs = shop.customer.get("/orders/packs").await?.data(200)?;
    assert_eq!(packs["items"][0]["id"], "small");
    let (order, session) = shop.order().await?;
    assert_eq!(
        (&order["status"], &order["price"], &order["currency"]),
        (&json!("pending"), &json!(1000), &json!("usd"))
    );
    // The customer opens the page, pays, and is sent back.
    let page = order["checkout_url"].as_str().context("no page")?;
    let shown = shop.aio.api(None).get(page).await?;
    assert!(shown.to_string().contains("10.00 USD"), "{shown}");
    let paid = shop.aio.api(None).send(Method::POST, page, &[], "").await?;
    assert_eq!(paid.status, 303);
    let back = format!("/?order={}", order["order_id"].as_str().unwrap_or_default());
    assert!(paid.header("location").ends_with(&back), "{paid}");
    let paid = shop.reaches(&order, "paid").await?;
    assert_eq!(
        (&paid["credited_credits"], &paid["checkout_url"]),
        (&json!(1000), &Value::Null)
    );
    assert_eq!(shop.posted().await?, 1_000);
    // A part of it is given back; the event comes twenty times.
    let url = format!("{}/v1/checkout/sessions/{session}", shop.stripe);
    let someone = shop.aio.api(Some("sk_anything"));
    let payment = someone.get(&url).await?.json()?["payment_intent"].clone();
    let payment = payment.as_str().context("no payment")?;
    let refund = format!("payment_intent={payment}&amount=250");
    shop.at_stripe("v1/refunds?copies=20", &refund).await?;
    let part = shop.reaches(&order, "partly_refunded").await?;
    assert_eq!(part["reversed_credits"], 250);
    // The bank claims the rest, and loses.
    let dispute = format!("simulate/payments/{payment}/dispute?amount=750");
    let dispute = shop.at_stripe(&dispute, "").await?;
    shop.reaches(&order, "disputed").await?;
    assert_eq!(shop.posted().await?, 0);
    let id = dispute["id"].as_str().context("no dispute")?;
    let won = format!("simulate/disputes/{id}/won?copies=5");
    shop.at_stripe(&won, "").await?;
    shop.reaches(&order, "partly_refunded").await?;
    assert_eq!(shop.posted().await?, 750);
    shop.aio.restart().await?;
    let order = shop.reaches(&order, "partly_refunded").await?;
    let listed = shop.customer.get("/orders").await?.data(200)?;
    assert_eq!(listed, json!({ "items": [order], "next_cursor": null }));
    assert!(!shop.aio.stderr()?.contains("canary-of-the-payments"));
    shop.aio.finish().await
}

#[tokio::test]
async fn events_in_disorder_credit_once_and_reverse_once() -> Result<()> {
    let shop = Shop::open().await?;
    let (order, session) = shop.order().await?;
    let pay = format!("simulate/sessions/{session}/pay?hold=true");
    let paid = shop.at_stripe(&pay, "").await?;
    let payment = paid["payment_intent"].as_str().context("no payment")?;
    let refund = format!("payment_intent={payment}");
    shop.at_stripe("v1/refunds?hold=true", &refund).await?;
    let sent = shop.at_stripe("simulate/events?reverse=true&copies=100", "");
    assert_eq!(sent.await?["events"], 3);
    let refunded = shop.reaches(&order, "refunded").await?;
    assert_eq!(
        (&refunded["credited_credits"], &refunded["reversed_credits"]),
        (&json!(1000), &json!(1000))
    );
    assert_eq!(shop.posted().await?, 0);
    // A page that expires, and one whose payment is not what was asked for.
    let (late, session) = shop.order().await?;
    shop.at_stripe(&format!("simulate/sessions/{session}/expire"), "")
        .await?;
    shop.reaches(&late, "expired").await?;
    let (odd, session) = shop.order().await?;
    let pay = format!("simulate/sessions/{session}/pay?amount=1");
    shop.at_stripe(&pay, "").await?;
    shop.reaches(&odd, "review").await?;
    assert_eq!(shop.posted().await?, 0);
    shop.aio.finish().await
}

#[tokio::test]
async fn a_payment_and_its_refund_are_told_once_each() -> Result<()> {
    let shop = Shop::open().await?;
    let sink = Sink::start(Answer::Status(200)).await?;
    let wanted = json!({ "url": sink.url("/money"), "events": ["order.paid", "refund.issued"] });
    let endpoint = shop.customer.post("/webhooks/endpoints", &wanted).await?;
    let endpoint = endpoint.data(201)?;
    let (order, session) = shop.order().await?;
    let pay = format!("simulate/sessions/{session}/pay?copies=20");
    let paid = shop.at_stripe(&pay, "").await?;
    let payment = paid["payment_intent"].as_str().context("no payment")?;
    let mut shown = vec![shop.reaches(&order, "paid").await?];
    sink.wait_for(1).await?;
    let refund = format!("payment_intent={payment}&amount=250");
    shop.at_stripe("v1/refunds?copies=20", &refund).await?;
    shown.push(shop.reaches(&order, "partly_refunded").await?);
    sink.wait_for(2).await?;
    // By the time that a second refund is told, there is no copy of the first.
    let refund = format!("payment_intent={payment}&amount=750");
    shop.at_stripe("v1/refunds?copies=20", &refund).await?;
    shown.push(shop.reaches(&order, "refunded").await?);
    let told = sink.wait_for(3).await?;
    assert_eq!(told.len(), 3);
    let library = Webhook::new(endpoint["secret"].as_str().context("no secret")?)?;
    let without = |mut order: Value| {
        // Stripe tells of one refund by several events, of which the last was seen here; and of what is paid there is no page.
        for name in ["updated_at", "checkout_url"] {
            order.as_object_mut().map(|order| order.remove(name));
        }
        order
    };
    for ((told, shown), (kind, amount)) in told.iter().zip(shown).zip([
        ("order.paid", 1_000),
        ("refund.issued", 250),
        ("refund.issued", 750),
    ]) {
        library.verify(&told.body, &told.headers)?;
        let event = told.json()?;
        assert_eq!(event["type"], kind);
        let data = &event["data"];
        assert_eq!(data["order_id"], order["order_id"]);
        assert_eq!(
            (&data["amount"], &data["credits"]),
            (&json!(amount), &json!(amount))
        );
        assert_eq!(
            (&data["currency"], &data["mode"]),
            (&json!("usd"), &json!("live"))
        );
        assert_eq!(without(data["order"].clone()), without(shown));
    }
    shop.aio.finish().await
}

#[tokio::test]
async fn what_was_spent_before_a_refund_is_owed() -> Result<()> {
    let shop = Shop::open().await?;
    let (order, session) = shop.order().await?;
    let paid = shop
        .at_stripe(&format!("simulate/sessions/{session}/pay"), "")
        .await?;
    shop.reaches(&order, "paid").await?;
    let balance = shop.customer.get("/credits").await?.data(200)?;
    let account = balance["account_id"].as_str().context("no account")?;
    let credits = format!("/admin/accounts/{account}/credits");
    let book = async |credits_: i64| {
        let body = json!({ "credits": credits_, "mode": "live", "reason": "a test" });
        shop.aio.admin().post(&credits, &body).await?.data(200)
    };
    book(-400).await?;
    let payment = paid["payment_intent"].as_str().context("no payment")?;
    shop.at_stripe("v1/refunds", &format!("payment_intent={payment}"))
        .await?;
    let refunded = shop.reaches(&order, "refunded").await?;
    assert_eq!(
        (&refunded["reversed_credits"], &refunded["owed_credits"]),
        (&json!(600), &json!(400))
    );
    assert_eq!(shop.posted().await?, 0);
    // The next credit, whoever gives it, pays the debt first.
    book(500).await?;
    eventually("the debt is paid", async || {
        Ok((shop.posted().await? == 100).then_some(()))
    })
    .await?;
    let order = shop.reaches(&order, "refunded").await?;
    assert_eq!(order["owed_credits"], 0);
    shop.aio.finish().await
}

#[tokio::test]
async fn codes_are_made_redeemed_and_revoked() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(0).await?;
    let (customer, _) = account.key("live", &["manage", "read"]).await?;
    let command = async |arguments: &[&str]| -> Result<Value> {
        let output = aio.command(arguments).await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).context(told)
    };
    let create = [
        "credits",
        "codes",
        "create",
        "--count",
        "2",
        "--credits",
        "2.5",
        "--json",
    ];
    let made = command(&create).await?;
    let text = |place: usize, name: &str| made["items"][place][name].as_str().unwrap_or_default();
    let redeem = async |code: &str, customer: &Api| {
        customer
            .post("/credits/redeem", &json!({ "code": code }))
            .await
    };
    let tries = (0..100).map(|_| redeem(text(0, "code"), &customer));
    let mut firsts = 0;
    for answer in futures::future::try_join_all(tries).await? {
        let answer = answer.data(200)?;
        assert_eq!(answer["redeemed_credits"], 2.5);
        firsts += i32::from(answer["repeated"] == false);
    }
    assert_eq!(firsts, 1);
    assert_eq!(customer.credits().await?.posted, 2_500_000);
    let revoked = text(1, "code_id");
    command(&["credits", "codes", "revoke", revoked, "--json"]).await?;
    // A stranger, a revoked code, a test key: all the same.
    let (stranger, _) = aio.account(0).await?.key("live", &["manage"]).await?;
    for (code, who) in [
        (text(0, "code"), &stranger),
        (text(1, "code"), &customer),
        ("AIO-00000-00000-00000-00000", &customer),
        (text(1, "code"), &account.api),
    ] {
        redeem(code, who).await?.error(400, "invalid_redeem_code")?;
    }
    let listed = command(&["credits", "codes", "list", "--json"]).await?;
    let first = listed["items"].as_array().context("no list")?;
    let first = first
        .iter()
        .find(|code| code["code_id"] == text(0, "code_id"));
    let first = first.context("the code is not listed")?;
    assert_eq!((&first["uses"], &first["code"]), (&json!(1), &Value::Null));
    assert!(!aio.stderr()?.contains(text(0, "code")));
    aio.finish().await
}

#[tokio::test]
async fn without_stripe_nothing_is_sold_and_test_credit_is_free() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(3).await?;
    let (customer, _) = account.key("live", &["manage", "read"]).await?;
    let body = json!({ "pack": "small" });
    let refused = customer.post("/orders", &body).await?;
    let error = refused.error(503, "payments_not_configured")?;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("orders.stripe.api_key"), "{message}");
    let refused = account.api.post("/orders", &body).await?;
    refused.error(403, "live_key_needed")?;
    let event = json!({ "id": "evt_1" });
    let refused = aio
        .api(None)
        .post("/payments/stripe/webhook", &event)
        .await?;
    refused.error(503, "payments_not_configured")?;
    let reset = account
        .api
        .post("/credits/test/reset", &Value::Null)
        .await?;
    assert_eq!(reset.data(200)?["posted_credits"], 10_000);
    assert_eq!(account.api.credits().await?.posted, 10_000 * CREDIT);
    aio.finish().await
}
