//! The operator's pages: nobody else sees them, what is done there is done, and no secret stands on any.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use testkit::{Aio, Browser, Shape, WebPage, eventually};

const PASSWORD: &str = "a long way to the sea";

/// What no page may hold: a provider's key, a token in an address, and part of a session.
const SECRETS: [&str; 2] = ["canary-of-the-provider", "canary-of-the-alerts"];

/// Every page that is asked for without an id.
const PAGES: [&str; 11] = [
    "/operator",
    "/operator/providers",
    "/operator/models",
    "/operator/models/gemini",
    "/operator/prices",
    "/operator/accounts",
    "/operator/codes",
    "/operator/audit",
    "/operator/tasks",
    "/operator/webhooks",
    "/operator/log",
];

/// Makes somebody an operator, behind the pages' back.
async fn promote(aio: &Aio, email: &str) -> Result<()> {
    let file = aio.data_dir().join("dashboard.db");
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(Duration::from_secs(10));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let done = sqlx::query("update person set operator = 1 where email = $1")
        .bind(email)
        .execute(&mut connection)
        .await?;
    ensure!(done.rows_affected() == 1, "nobody is {email}");
    connection.close().await?;
    Ok(())
}

/// A page that is there, and tells no secret.
async fn open(web: &mut Browser, path: &str) -> Result<WebPage> {
    let page = web.get(path).await?;
    ensure!(page.status == 200, "{page}");
    for secret in SECRETS {
        ensure!(!page.text.contains(secret), "{path} tells {secret}");
    }
    Ok(page)
}

#[tokio::test]
async fn operators_see_and_do_and_nobody_else_does() -> Result<()> {
    let env = [
        ("BFL_API_KEY", SECRETS[0]),
        (
            "AIO_WEBHOOKS__ALERT_URL",
            "http://127.0.0.1:9/canary-of-the-alerts",
        ),
    ];
    let mut aio = Aio::private_with(Shape::Embedded, &env).await?;
    let customer = aio.account(10).await?;
    let mut ann = aio.browser().await?;
    ann.sign_up("Ann", "ann@example.com", PASSWORD).await?;
    let mut olga = aio.browser().await?;
    olga.sign_up("Olga", "olga@example.com", PASSWORD).await?;
    promote(&aio, "olga@example.com").await?;

    let chat = json!({ "model": "gemini", "messages": [{ "role": "user", "content": "hello" }] });
    let answer = customer.api.post("/chat/completions", &chat).await?;
    assert_eq!(answer.status, 200, "{answer}");
    let image = json!({ "model": "z-image", "prompt": "a fox" });
    let task = customer.api.image(&image).await?;
    customer.api.reaches(&task, "completed").await?;

    nobody_else_sees_any(&mut aio, &mut ann, (&customer.id, &task)).await?;
    for path in PAGES {
        open(&mut olga, path).await?;
    }
    let settings = open(&mut olga, "/operator/settings").await?;
    assert!(settings.has("providers.bfl.api_key ••••••"), "{settings}");
    assert!(settings.has("webhooks.alert_url"), "{settings}");
    let providers = open(&mut olga, "/operator/providers").await?;
    assert!(
        providers.has("bfl configured 1 credential api.bfl.ai"),
        "{providers}"
    );
    eventually("work that ended is summed up", async || {
        let seen = open(&mut olga, "/operator").await?;
        let both = seen.has("gemini test 1") && seen.has("z-image test 1");
        Ok((both && seen.has("billing answers")).then_some(()))
    })
    .await?;

    credit_is_given_once(&mut olga, &customer).await?;
    a_stopped_account_holds_nothing(&mut olga, &customer, &chat).await?;
    the_ledger_is_replayed(&mut olga).await?;
    let found = open(&mut olga, "/operator/tasks?status=completed&model=z-image").await?;
    assert!(found.text.contains(&task), "{found}");
    let page = open(&mut olga, &format!("/operator/tasks/{task}")).await?;
    assert!(
        page.has("completed") && !page.text.contains("a fox"),
        "{page}"
    );
    let ended = olga
        .post(&format!("/operator/tasks/{task}/stop"), &[])
        .await?;
    assert!(
        ended.status == 409 && ended.has("the task has ended"),
        "{ended}"
    );
    codes_are_shown_once(&mut olga).await?;
    aio.finish().await
}

/// Neither a customer nor somebody who is not signed in, by no method.
async fn nobody_else_sees_any(
    aio: &mut Aio,
    ann: &mut Browser,
    (account, task): (&str, &str),
) -> Result<()> {
    let mut stranger = aio.browser().await?;
    let account = format!("/operator/accounts/{account}");
    let own = [
        account.clone(),
        format!("/operator/tasks/{task}"),
        "/operator/settings".to_owned(),
        format!("/operator/webhooks/dlv_{}", "0".repeat(26)),
    ];
    let pages = PAGES.iter().map(|path| (*path).to_owned()).chain(own);
    for path in pages {
        let page = ann.get(&path).await?;
        assert_eq!(page.status, 403, "{path}");
        assert!(page.has("for the operators of this installation"), "{page}");
        assert!(!page.text.contains("op-tabs") && !page.text.contains("op-table"));
        let page = stranger.get(&path).await?;
        assert_eq!(page.status, 303, "{path}");
    }
    let acts = [
        format!("{account}/credits"),
        format!("{account}/standing"),
        format!("{account}/factor"),
        format!("{account}/retention"),
        format!("{account}/keys"),
        "/operator/codes".to_owned(),
        "/operator/codes/revoke".to_owned(),
        "/operator/audit".to_owned(),
        format!("/operator/tasks/{task}/requeue"),
        format!("/operator/tasks/{task}/stop"),
        "/operator/webhooks/recover".to_owned(),
        "/operator/webhooks/secret".to_owned(),
        format!("/operator/webhooks/dlv_{}/replay", "0".repeat(26)),
    ];
    for path in acts {
        let fields = [("frozen", "true"), ("credits", "5"), ("mode", "test")];
        let page = ann.post(&path, &fields).await?;
        assert_eq!(page.status, 403, "{path}: {page}");
    }
    Ok(())
}

/// However often the form is sent; and it is in the log, with who did it.
async fn credit_is_given_once(olga: &mut Browser, customer: &testkit::Account) -> Result<()> {
    let before = customer.api.credits().await?.posted;
    let found = open(olga, "/operator/accounts?q=SOMEBODY").await?;
    let path = found.link("somebody").context("the account is not found")?;
    assert_eq!(path, format!("/operator/accounts/{}", customer.id));
    let form = open(olga, &path).await?;
    let once = form.field("once").context("no id")?;
    let fields = [
        ("credits", "25.5"),
        ("mode", "test"),
        ("reason", "they waited"),
        ("expires", ""),
        ("once", &once),
    ];
    for _ in 0..2 {
        let page = olga.post(&format!("{path}/credits"), &fields).await?;
        ensure!(page.has("The credit is booked."), "{page}");
    }
    let after = customer.api.credits().await?.posted;
    assert_eq!(after - before, 25_500_000);
    // Her id stands with her account, and with what she did.
    let own = open(olga, "/operator/accounts?q=Olga%40example.com").await?;
    let own = own.link("Olga").context("her account is not found")?;
    let own = open(olga, &own).await?;
    let person = own.text.split("<small>usr_").nth(1);
    let person = person.and_then(|rest| rest.split('<').next());
    let person = format!("usr_{}", person.context("no person")?);
    let page = open(olga, &path).await?;
    assert!(
        page.has("credits.add") && page.text.contains(&person),
        "{page}"
    );
    let log = open(olga, "/operator/log").await?;
    assert!(
        log.has("they waited") && log.text.contains(&person),
        "{log}"
    );
    // What cannot be is said beside the form.
    let fields = [
        ("credits", "-1000"),
        ("mode", "test"),
        ("reason", "x"),
        ("once", &once),
    ];
    let page = olga.post(&format!("{path}/credits"), &fields).await?;
    assert!(
        page.status >= 400 && page.text.contains("role=\"alert\""),
        "{page}"
    );
    Ok(())
}

async fn a_stopped_account_holds_nothing(
    olga: &mut Browser,
    customer: &testkit::Account,
    chat: &Value,
) -> Result<()> {
    let path = format!("/operator/accounts/{}", customer.id);
    let set = async |olga: &mut Browser, frozen: &str| {
        olga.post(&format!("{path}/standing"), &[("frozen", frozen)])
            .await
    };
    let page = set(olga, "true").await?;
    assert!(page.has("stopped"), "{page}");
    let refused = customer.api.post("/chat/completions", chat).await?;
    refused.error(403, "account_frozen")?;
    let page = set(olga, "false").await?;
    assert!(page.has("in good standing"), "{page}");
    let served = customer.api.post("/chat/completions", chat).await?;
    assert_eq!(served.status, 200, "{served}");
    let page = olga
        .post(&format!("{path}/factor"), &[("factor", "0.5")])
        .await?;
    assert!(page.has("pays 0.5 of each price"), "{page}");
    let fields = [("outputs", "3"), ("files", "")];
    let page = olga.post(&format!("{path}/retention"), &fields).await?;
    assert_eq!(page.field("outputs").as_deref(), Some("3"), "{page}");
    let wrong = olga
        .post(&format!("{path}/factor"), &[("factor", "0")])
        .await?;
    assert!(wrong.status == 400 && wrong.has("above 0"), "{wrong}");
    Ok(())
}

async fn the_ledger_is_replayed(olga: &mut Browser) -> Result<()> {
    olga.post("/operator/audit", &[]).await?;
    let found = eventually("the audit ends", async || {
        let page = open(olga, "/operator/audit").await?;
        let runs = page.header("refresh") == "1";
        assert_eq!(runs, page.has("It runs"), "{page}");
        Ok(page.has("The ledger holds.").then_some(page))
    });
    let found = found.await?;
    assert!(found.has("Entries sum to zero holds 0"), "{found}");
    Ok(())
}

async fn codes_are_shown_once(olga: &mut Browser) -> Result<()> {
    let fields = [
        ("count", "1"),
        ("credits", "7"),
        ("mode", "test"),
        ("uses", "1"),
        ("expires", ""),
    ];
    let page = olga.post("/operator/codes", &fields).await?;
    let code = page.text.split("<code class=\"secret\">").nth(1);
    let code = code.and_then(|rest| rest.split('<').next());
    let code = code.context("no code")?.to_owned();
    let list = open(olga, "/operator/codes").await?;
    assert!(!list.text.contains(&code) && list.has("0 of 1"), "{list}");
    let id = list.field("code");
    let id = id.or_else(|| {
        let value = list.text.split("<option value=\"code_").nth(1)?;
        Some(format!("code_{}", value.split('"').next()?))
    });
    let id = id.context("no code can be revoked")?;
    let page = olga
        .post("/operator/codes/revoke", &[("code", &id)])
        .await?;
    assert!(page.has("The code is revoked."), "{page}");
    Ok(())
}
