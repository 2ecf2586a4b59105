//! `/credits`: credit bought and redeemed in a browser, and a ledger whose running balance adds up.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Browser, Sandbox, WebPage, eventually, micros};

const PASSWORD: &str = "correct horse battery";
/// What signs the simulated Stripe's events.
const SECRET: &str = "whsec_sandbox";

/// The program with a simulated Stripe, and somebody who has signed up.
struct Shop {
    aio: Aio,
    web: Browser,
    _sandbox: Sandbox,
}

// === impl Shop ===

impl Shop {
    async fn open() -> Result<Self> {
        let sandbox = Sandbox::start().await?;
        let stripe = format!("{}/stripe", sandbox.base());
        let env = [
            ("AIO_ORDERS__STRIPE__BASE_URL", stripe.as_str()),
            ("STRIPE_API_KEY", "canary-of-the-payments"),
            ("STRIPE_WEBHOOK_SECRET", SECRET),
        ];
        let mut aio = Aio::with(&env).await?;
        let form = format!("url={}/api/v1/payments/stripe/webhook", aio.base());
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let endpoints = format!("{stripe}/v1/webhook_endpoints");
        let someone = aio.api(Some("sk_anything"));
        let pointed = someone
            .send(Method::POST, &endpoints, &headers, form)
            .await?;
        ensure!(pointed.status == 200, "{pointed}");
        let mut web = aio.browser().await?;
        web.sign_up("Ann", "ann@example.com", PASSWORD).await?;
        Ok(Self {
            aio,
            web,
            _sandbox: sandbox,
        })
    }

    async fn look_at(&mut self, mode: &str) -> Result<WebPage> {
        let fields = [("mode", mode), ("back", "/credits")];
        self.web.post("/mode", &fields).await
    }

    /// Waits until a page says so.
    async fn says(&mut self, path: &str, words: &str) -> Result<WebPage> {
        let web = &mut self.web;
        eventually(&format!("{path} says {words:?}"), async || {
            let page = web.get(path).await?;
            Ok(page.has(words).then_some(page))
        })
        .await
    }

    async fn new_code(&self) -> Result<String> {
        let create = ["credits", "codes", "create", "--credits", "2.5", "--json"];
        let made = self.aio.command(&create).await?;
        let told = String::from_utf8_lossy(&made.stderr).into_owned();
        let made: Value = serde_json::from_slice(&made.stdout).context(told)?;
        let code = made["items"][0]["code"].as_str();
        Ok(code.context("no code")?.to_owned())
    }
}

/// Amount and balance of each line of the ledger, in micro-credits.
fn lines(page: &WebPage) -> Result<Vec<(i64, i64)>> {
    let (_, table) = page.text.split_once("<tbody>").context("no table")?;
    let (table, _) = table.split_once("</tbody>").context("no end of it")?;
    let number = |cell: &str| -> Result<i64> {
        let text = cell.split('<').next().unwrap_or_default();
        let text = text.replace([',', '+'], "").replace('−', "-");
        micros(&serde_json::from_str(&text)?)
    };
    table
        .split("</tr>")
        .filter(|row| row.contains("<td"))
        .map(|row| {
            let mut cells = row.split("<td class=\"number").skip(1);
            let mut next = || -> Result<i64> {
                let cell = cells.next().context("no number")?;
                number(cell.split_once('>').context("no cell")?.1)
            };
            Ok((next()?, next()?))
        })
        .collect()
}

/// Each balance is the one before and what moved it.
fn adds_up(lines: &[(i64, i64)]) {
    let before = lines.iter().skip(1).map(|(_, balance)| *balance).chain([0]);
    for ((amount, balance), before) in lines.iter().zip(before) {
        assert_eq!(before + amount, *balance, "{lines:?}");
    }
}

#[tokio::test]
async fn credit_is_bought_redeemed_and_accounted_for() -> Result<()> {
    let mut shop = Shop::open().await?;
    let page = shop.look_at("live").await?;
    assert!(page.has("Buy credits") && page.has("10.00 USD"), "{page}");
    // The form leads to a page of ours, and that one to the payment: also where it is sent twice.
    let request = page.field("request").context("no id of the request")?;
    let fields = [("pack", "small"), ("request", request.as_str())];
    let order = shop.web.post("/credits/orders", &fields).await?;
    let path = order.path.trim_end_matches("?go=1").to_owned();
    assert!(path.starts_with("/credits/orders/ord_"), "{path}");
    let checkout = order.link("Pay 10.00 USD").context("no link to pay")?;
    assert_eq!(order.header("refresh"), format!("0; url={checkout}"));
    let again = shop.web.post("/credits/orders", &fields).await?;
    assert_eq!(again.path, order.path);
    assert!(shop.web.get(&format!("{path}/invoice")).await?.status == 404);
    let paid = shop.web.post(&checkout, &[]).await?;
    assert_eq!(paid.status, 303);
    let back = format!("{path}?paid=1");
    assert!(paid.header("location").ends_with(&back), "{paid}");
    let page = shop.says(&back, "It is paid").await?;
    assert_eq!(page.header("refresh"), "");
    let invoice = shop.web.get(&format!("{path}/invoice?to=Ann+Ltd")).await?;
    let number = path.trim_start_matches("/credits/orders/");
    for words in ["Ann Ltd", "10.00 USD", number] {
        assert!(invoice.has(words), "{words}: {invoice}");
    }

    let code = shop.new_code().await?;
    let wrong = shop
        .web
        .post("/credits/redeem", &[("code", "AIO-1")])
        .await?;
    assert!(wrong.status == 400 && wrong.has("Redeem a code"), "{wrong}");
    let fields = [("code", code.as_str())];
    for words in [
        "The code is redeemed.",
        "You had redeemed this code before.",
    ] {
        let page = shop.web.post("/credits/redeem", &fields).await?;
        assert!(page.has(words), "{words}: {page}");
    }
    let page = shop.says("/credits/ledger", "Code code_").await?;
    let bought = [(2_500_000, 1_002_500_000), (1_000_000_000, 1_000_000_000)];
    assert_eq!(lines(&page)?, bought);

    strangers_see_nothing(&mut shop.aio, &path).await?;
    a_mixed_history_adds_up(&mut shop).await?;
    shop.aio.finish().await
}

/// Charges of chats and tasks, what was free, what is held, and a reset.
async fn a_mixed_history_adds_up(shop: &mut Shop) -> Result<()> {
    shop.look_at("test").await?;
    let made = shop.web.post("/keys", &[("name", "all")]).await?;
    let words = made.shown();
    let key = words.split(' ').find(|word| word.starts_with("aio_test_"));
    let api = shop.aio.api(Some(key.context("no key")?));
    let chat = json!({ "model": "gemini", "messages": [{ "role": "user", "content": "Hello" }] });
    for _ in 0..3 {
        assert_eq!(api.post("/chat/completions", &chat).await?.status, 200);
    }
    for prompt in ["a fox", "a hare [sandbox outcome=fail]"] {
        let id = api
            .image(&json!({ "model": "z-image", "prompt": prompt }))
            .await?;
        api.ended(&id).await?;
    }
    let slow = json!({ "model": "z-image", "prompt": "a snail [sandbox outcome=hang]" });
    let slow = api.image(&slow).await?;
    let page = shop.says("/credits", "Held at this moment").await?;
    assert_eq!(page.link(&slow), Some(format!("/tasks/{slow}")));
    // Three chats, an image, and the welcome; what failed moved nothing.
    let page = shop.says("/credits/ledger", "Charge z-image").await?;
    let before = lines(&page)?;
    adds_up(&before);
    let credits = api.credits().await?;
    assert_eq!(before.len(), 5, "{page}");
    assert_eq!(before.first().map(|line| line.1), Some(credits.posted));
    let page = shop.web.post("/credits/reset", &[]).await?;
    assert!(page.has("back at its default"), "{page}");
    let page = shop
        .says("/credits/ledger", "Reset of the test balance")
        .await?;
    let after = lines(&page)?;
    adds_up(&after);
    assert_eq!((after.len(), after[0].1), (6, 10_000_000_000));
    let page = shop.web.post("/credits/alert", &[("below", "500")]).await?;
    assert_eq!(page.field("below").as_deref(), Some("500"), "{page}");
    api.post(&format!("/tasks/{slow}/cancel"), &json!({}))
        .await?;
    Ok(())
}

/// Somebody else's order is as unknown as one that nobody has.
async fn strangers_see_nothing(aio: &mut Aio, path: &str) -> Result<()> {
    let mut other = aio.browser().await?;
    other.sign_up("Bob", "bob@example.com", PASSWORD).await?;
    let live = [("mode", "live"), ("back", "/credits")];
    let page = other.post("/mode", &live).await?;
    assert!(page.has("Nothing has moved this balance yet."), "{page}");
    for path in [path.to_owned(), format!("{path}/invoice")] {
        assert_eq!(other.get(&path).await?.status, 404, "{path}");
    }
    Ok(())
}
