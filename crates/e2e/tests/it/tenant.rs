//! Somebody who has something of everything that pages show, all of it named by words that stand nowhere else; and the program with what
//! such a life needs: a simulated Stripe, and an endpoint that is told what happens.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Browser, Device, Sandbox, Sink, eventually};

/// What people here sign in by.
pub(crate) const PASSWORD: &str = "a sentence that nobody guesses";
/// What signs the simulated Stripe's events.
const SECRET: &str = "whsec_sandbox";
/// Credit that a tenant is given, of both kinds.
const CREDIT: i64 = 5_000;

/// The program.
pub(crate) struct Town {
    pub(crate) aio: Aio,
    /// Where the simulated Stripe is.
    pub(crate) stripe: String,
    /// Who is told what happens.
    pub(crate) sink: Sink,
    _sandbox: Sandbox,
}

/// Somebody with an account.
pub(crate) struct Tenant {
    pub(crate) web: Browser,
    pub(crate) account: String,
    /// With a key that may do everything in test mode.
    pub(crate) test: Api,
    /// And in live mode.
    pub(crate) live: Api,
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value[name].as_str().with_context(|| format!("no {name}"))
}

// === impl Tenant ===

impl Tenant {
    /// Adds a passkey of a device that is called so.
    pub(crate) async fn keep_passkey(&mut self, name: &str) -> Result<()> {
        let page = self.web.get("/settings").await?;
        let (_, origin) = page
            .text
            .split_once("data-origin=\"")
            .context("no passkeys")?;
        let origin = origin.split('"').next().unwrap_or_default();
        let path = "/settings/you/passkeys";
        let fields = [("name", name), ("password", PASSWORD)];
        let asked = self.web.post(&format!("{path}/begin"), &fields).await?;
        let (_, said) = Device::make(&serde_json::from_str(&asked.text)?, origin)?;
        let fields = [("name", name), ("credential", said.as_str())];
        let page = self.web.post(path, &fields).await?;
        ensure!(page.has("The passkey is added."), "{page}");
        Ok(())
    }
}

// === impl Town ===

impl Town {
    /// Starts `aio up`.
    pub(crate) async fn embedded() -> Result<Self> {
        let (sandbox, sink) = Self::around().await?;
        let stripe = format!("{}/stripe", sandbox.base());
        let aio = Aio::embedded_with(&settings(&stripe)).await?;
        Self::open(aio, stripe, (sandbox, sink)).await
    }

    /// Starts it in the shape of this run.
    pub(crate) async fn of_this_run() -> Result<Self> {
        let (sandbox, sink) = Self::around().await?;
        let stripe = format!("{}/stripe", sandbox.base());
        let aio = Aio::with(&settings(&stripe)).await?;
        Self::open(aio, stripe, (sandbox, sink)).await
    }

    async fn around() -> Result<(Sandbox, Sink)> {
        Ok((
            Sandbox::start().await?,
            Sink::start(Answer::Status(200)).await?,
        ))
    }

    async fn open(aio: Aio, stripe: String, (sandbox, sink): (Sandbox, Sink)) -> Result<Self> {
        // Its events come here.
        let form = format!("url={}/api/v1/payments/stripe/webhook", aio.base());
        let url = format!("{stripe}/v1/webhook_endpoints");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let someone = aio.api(Some("sk_anything"));
        let made = someone.send(Method::POST, &url, &headers, form).await?;
        ensure!(made.json()?["secret"] == SECRET, "{made}");
        Ok(Self {
            aio,
            stripe,
            sink,
            _sandbox: sandbox,
        })
    }

    /// Signs somebody up, whose name and address begin with `word`.
    pub(crate) async fn settle(&mut self, word: &str) -> Result<Tenant> {
        let (name, email) = (format!("{word} somebody"), format!("{word}@example.com"));
        let mut web = self.aio.browser().await?;
        web.sign_up(&name, &email, PASSWORD).await?;
        let admin = self.aio.admin();
        let accounts = admin.get("/admin/accounts?limit=100").await?.data(200)?;
        let accounts = accounts["items"].as_array().context("no accounts")?;
        let own = accounts.iter().find(|account| account["name"] == name);
        let account = text(own.context("no account of that name")?, "account_id")?.to_owned();
        let mut keys = Vec::new();
        for mode in ["test", "live"] {
            let path = format!("/admin/accounts/{account}/credits");
            let credits = json!({ "credits": CREDIT, "mode": mode, "reason": "a gift" });
            admin.post(&path, &credits).await?.data(200)?;
            let path = format!("/admin/accounts/{account}/keys");
            let scopes = ["inference", "read", "manage"];
            let key =
                json!({ "name": format!("{word}-{mode} key"), "mode": mode, "scopes": scopes });
            let key = admin.post(&path, &key).await?.data(201)?;
            keys.push(self.aio.api(Some(text(&key, "key")?)));
        }
        let (Some(live), Some(test)) = (keys.pop(), keys.pop()) else {
            anyhow::bail!("no keys");
        };
        Ok(Tenant {
            web,
            account,
            test,
            live,
        })
    }

    /// Lets an operator in, by a link of theirs.
    pub(crate) async fn operator(&mut self) -> Result<Browser> {
        let made = self.aio.command(&["accounts", "sign-in-link"]).await?;
        let link = String::from_utf8(made.stdout)?;
        let (_, token) = link.trim().split_once("token=").context("no link")?;
        let mut web = self.aio.browser().await?;
        let page = web.post("/sign-in/first", &[("token", token)]).await?;
        ensure!(page.status == 200, "no operator comes in: {page}");
        Ok(web)
    }

    /// Lets somebody in who may look at a tenant's account and no more.
    pub(crate) async fn viewer(&mut self, tenant: &mut Tenant, word: &str) -> Result<Browser> {
        let (name, email) = (format!("{word} somebody"), format!("{word}@example.com"));
        let invite = [("email", email.as_str()), ("role", "viewer")];
        let made = tenant.web.post("/settings/members/invite", &invite).await?;
        let link = made.shown();
        let (_, token) = link.split_once("token=").context("no invitation")?;
        let token = token.split(' ').next().unwrap_or_default();
        let mut web = self.aio.browser().await?;
        let fields = [
            ("invite", token),
            ("name", name.as_str()),
            ("email", email.as_str()),
            ("password", PASSWORD),
        ];
        let page = web.post("/sign-up", &fields).await?;
        ensure!(page.status == 200, "no viewer comes in: {page}");
        Ok(web)
    }

    /// Lets somebody do something of everything: in each mode, what is made there names it.
    pub(crate) async fn live_through(&self, tenant: &Tenant, word: &str) -> Result<()> {
        for (mode, api) in [("test", &tenant.test), ("live", &tenant.live)] {
            let endpoint = json!({
                "url": self.sink.url(&format!("/{word}-{mode}")),
                "description": format!("{word}-{mode} endpoint"),
            });
            api.post("/webhooks/endpoints", &endpoint)
                .await?
                .data(201)?;
        }
        let pack = json!({ "pack": "small" });
        tenant.live.post("/orders", &pack).await?.data(201)?;
        let named = format!("{word}-test prompt");
        let chat = json!({ "model": "gemini", "messages": [{ "role": "user", "content": named }] });
        let said = tenant.test.post("/chat/completions", &chat).await?;
        ensure!(said.status == 200, "{said}");
        let made = [
            (
                "/images/generations",
                json!({ "model": "z-image", "prompt": named }),
            ),
            (
                "/images/generations",
                json!({ "model": "z-image", "prompt": format!("{named} [sandbox outcome=fail]") }),
            ),
            (
                "/videos/generations",
                json!({ "model": "kling-3", "prompt": named }),
            ),
            (
                "/audio/music",
                json!({ "gpt_description_prompt": format!("{named} [sandbox delay=10ms]") }),
            ),
        ];
        for (route, body) in made {
            let task = tenant.test.post(route, &body).await?.data(202)?;
            tenant.test.ended(text(&task, "task_id")?).await?;
        }
        let hangs =
            json!({ "model": "z-image", "prompt": format!("{named} [sandbox outcome=hang]") });
        tenant.test.image(&hangs).await?;
        eventually("five operations are summed up", async || {
            let listed = tenant.test.get("/operations").await?.data(200)?;
            let count = listed["items"].as_array().map_or(0, Vec::len);
            Ok((count >= 5).then_some(()))
        })
        .await?;
        // Of what happens to tasks and of a test of it.
        self.sink.wait_for(3).await?;
        Ok(())
    }
}

fn settings(stripe: &str) -> [(&str, &str); 4] {
    [
        // All come out of one network.
        ("AIO_LIMITS__DOOR__NETWORK_PER_MINUTE", "1000"),
        ("AIO_ORDERS__STRIPE__BASE_URL", stripe),
        ("STRIPE_API_KEY", "canary-of-the-payments"),
        ("STRIPE_WEBHOOK_SECRET", SECRET),
    ]
}
