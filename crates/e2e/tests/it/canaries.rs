//! What is secret is nowhere but where it belongs: words that stand nowhere else are used as keys, passwords, secrets, prompts and addresses, with the
//! program at its most talkative and everything going wrong that can; then every byte that it left behind is searched for them, as they are and as
//! somebody might have written them: logs, spans, metrics, databases, Redis, RabbitMQ.

mod scan;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Collector, Role, Shape, Sink, eventually, servers::free_port};

use crate::say::SOON;
use scan::{Canary, Scan, forms};

/// What is asked for. Its letters are those that are written in different ways.
const PROMPT: &str = "canary/prompt+\"zeisig\" é";
/// What a provider says that is not for our logs.
const ANSWER: &str = "canary-answer-of-a-provider";
/// A provider's key, and what signs its callbacks.
const PROVIDER: &str = "canary-key-of-a-provider";
const PASSWORD: &str = "canary password of nobody";
/// What a customer's callback address ends with.
const CALLBACK: &str = "canary=callback&token=zeisig";

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name].as_str();
    Ok(text.with_context(|| format!("no {name}"))?.to_owned())
}

/// Whatever can go wrong with something that names the prompt, and what goes well.
async fn mishaps(api: &Api, live: &Api, sink: &Sink) -> Result<()> {
    let chat = |more: &str| json!({ "model": "gemini", "messages": [{ "role": "user", "content": format!("{PROMPT} {more}") }] });
    for outcome in [
        "success",
        "fail",
        "malformed",
        "moderated",
        "rate_limited",
        "cut",
    ] {
        let body = chat(&format!("[sandbox outcome={outcome} delay=0s]"));
        // Any answer will do.
        api.post("/chat/completions", &body).await?;
    }
    let cached = [("x-aio-cache", "on")];
    api.post_with("/chat/completions", &cached, &chat(""))
        .await?;
    let keyed = [("idempotency-key", "zeisig-1")];
    api.post_with("/chat/completions", &keyed, &chat(""))
        .await?;
    let kept = json!({ "model": "gemini", "input": PROMPT });
    api.post("/responses", &kept).await?;
    let embedded = json!({ "model": "text-embedding-3-small", "input": PROMPT });
    api.post("/embeddings", &embedded).await?;
    live.post("/chat/completions", &chat("")).await?;
    // Wrong requests that quote it, to every reader.
    for body in [
        format!("{{\"model\": {PROMPT}"),
        json!({ "model": PROMPT, "prompt": PROMPT, "messages": PROMPT, PROMPT: PROMPT })
            .to_string(),
    ] {
        for route in [
            "/chat/completions",
            "/images/generations",
            "/messages",
            "/quote",
            "/keys",
        ] {
            let headers = [("content-type", "application/json")];
            let reply = api
                .send(Method::POST, route, &headers, body.clone())
                .await?;
            ensure!((400..500).contains(&reply.status), "{route}: {reply}");
        }
    }
    let callback = sink.url(&format!("/hook?{CALLBACK}"));
    for outcome in ["success", "fail", "moderated"] {
        let prompt = format!("{PROMPT} [sandbox outcome={outcome} delay=0s]");
        let task = json!({ "model": "z-image", "prompt": prompt, "callback_url": callback });
        let task = api.image(&task).await?;
        api.ended(&task).await?;
    }
    Ok(())
}

/// Secrets that the program makes, and shows once.
async fn secrets(aio: &Aio, api: &Api, sink: &Sink) -> Result<Vec<Canary>> {
    let callbacks = api.get("/webhooks/secret").await?.data(200)?;
    let endpoint = json!({ "url": sink.url(&format!("/all?{CALLBACK}")) });
    let endpoint = api
        .post("/webhooks/endpoints", &endpoint)
        .await?
        .data(201)?;
    let key = json!({ "name": "another" });
    let key = api.post("/keys", &key).await?.data(201)?;
    let path = format!("/keys/{}/rotate", text(&key, "key_id")?);
    let rotated = api
        .post(&path, &json!({ "overlap": "1h" }))
        .await?
        .data(200)?;
    let code = json!({ "credits": 1, "mode": "live" });
    let codes = aio
        .admin()
        .post("/admin/redeem-codes", &code)
        .await?
        .json()?;
    let code = codes.pointer("/data/items/0/code");
    let code = code.and_then(Value::as_str).context("no code")?;
    Ok(vec![
        Canary::new("the secret of callbacks", &text(&callbacks, "secret")?),
        Canary::new("an endpoint's secret", &text(&endpoint, "secret")?),
        Canary::new("a key", &text(&key, "key")?),
        Canary::new("a key after its rotation", &text(&rotated, "key")?),
        Canary::new("a redeem code", code),
    ])
}

/// Somebody's password, and what their browser keeps.
async fn person(aio: &mut Aio) -> Result<Vec<Canary>> {
    let mut web = aio.browser().await?;
    web.sign_up("somebody", "somebody@example.com", PASSWORD)
        .await?;
    web.post(
        "/sign-in",
        &[("email", "nobody@example.com"), ("password", PASSWORD)],
    )
    .await?;
    let cookie = web.cookie();
    let session = cookie
        .split("; ")
        .find_map(|pair| pair.strip_prefix("aio_session="));
    Ok(vec![
        Canary::new("a password", PASSWORD),
        Canary::new("a session", session.context("no session")?),
    ])
}

#[tokio::test]
async fn nothing_secret_is_left_anywhere() -> Result<()> {
    let collector = Collector::start().await?;
    let [endpoint, interval] = collector.settings();
    let provider = Sink::start(Answer::Json(json!({ "error": { "message": ANSWER } }))).await?;
    let sink = Sink::start(Answer::Status(500)).await?;
    let (base, metrics) = (provider.url("/v1beta"), free_port()?);
    let metrics = format!("127.0.0.1:{metrics}");
    let mut settings = vec![
        ("AIO_TELEMETRY__LOG", "trace"),
        (endpoint.0, endpoint.1.as_str()),
        (interval.0, interval.1.as_str()),
        ("GEMINI_API_KEY", PROVIDER),
        ("AIO_PROVIDERS__GEMINI__BASE_URL", base.as_str()),
        SOON,
    ];
    let shape = Shape::of_this_run()?;
    let embedded = shape == Shape::Embedded;
    if embedded {
        settings.push(("AIO_SERVER__ADMIN_LISTEN", &metrics));
    }
    // Servers of its own, whose files can be read.
    let mut aio = if embedded {
        Aio::embedded_with(&settings).await?
    } else {
        Aio::private_with(shape, &settings).await?
    };
    let account = aio.account(1_000).await?;
    let live = account.live(100).await?;
    let mut canaries = vec![
        Canary::new("a prompt", PROMPT),
        Canary::new("a provider's answer", ANSWER),
        Canary::new("a provider's key", PROVIDER),
        Canary::new("a callback's query", CALLBACK),
        Canary::new("an account's key", &account.key),
    ];
    canaries.extend(secrets(&aio, &account.api, &sink).await?);
    canaries.extend(person(&mut aio).await?);
    mishaps(&account.api, &live, &sink).await?;
    // Deliveries that fail have been tried again.
    sink.wait_for(6).await?;
    // A crash, with something under way.
    let hangs = json!({ "model": "z-image", "prompt": format!("{PROMPT} [sandbox outcome=hang]") });
    account.api.image(&hangs).await?;
    aio.restart_role(Role::Media).await?;
    account.api.credits().await?;
    let mut scan = Scan::new(&canaries)?;
    if embedded {
        let told = account.api.get(&format!("http://{metrics}/metrics")).await;
        scan.bytes("the metrics", &told?.body)?;
    }
    spans(&collector, &mut scan).await?;
    everywhere(&mut aio, &mut scan).await?;
    // Statements are logged as well here, and what stands in them is no secret by how it begins.
    let audit = aio.audit().await?;
    ensure!(audit["ok"] == true, "{audit:#}");
    Ok(())
}

/// What was exported.
async fn spans(collector: &Collector, scan: &mut Scan) -> Result<()> {
    let bodies = eventually("spans", async || {
        let bodies = collector.bodies();
        Ok((!bodies.is_empty()).then_some(bodies))
    });
    for body in bodies.await? {
        scan.bytes("the spans", &body)?;
    }
    Ok(())
}

/// Every file of it and of its servers, once it has stopped.
async fn everywhere(aio: &mut Aio, scan: &mut Scan) -> Result<()> {
    let mut places = vec![aio.home().to_owned()];
    if let Ok(servers) = aio.servers() {
        servers.redis.save().await?;
        places.push(servers.redis.folder().to_owned());
        places.extend(servers.postgres.folder().map(ToOwned::to_owned));
        places.extend(servers.rabbit.folder().map(ToOwned::to_owned));
    }
    aio.stop().await?;
    for place in places {
        scan.folder(&place)?;
    }
    ensure!(scan.files() > 3, "only {} files were read", scan.files());
    Ok(())
}

#[test]
fn a_canary_is_found_however_it_is_written() -> Result<()> {
    let canary = Canary::new("a prompt", PROMPT);
    let written = forms(PROMPT);
    ensure!(written.len() > 8, "{} ways", written.len());
    for form in written {
        let mut scan = Scan::new(std::slice::from_ref(&canary))?;
        let text = [b"before ", form.as_slice(), b" behind"].concat();
        ensure!(scan.bytes("here", &text).is_err(), "{form:?} is not found");
        let mut scan = Scan::new(std::slice::from_ref(&canary))?;
        scan.bytes("here", b"before canary/prom behind")?;
    }
    // Wherever in a longer text it stands.
    for before in ["", "a", "ab", "abc"] {
        let text = STANDARD.encode(format!("{before}{PROMPT}, and more"));
        let mut scan = Scan::new(std::slice::from_ref(&canary))?;
        ensure!(scan.bytes("here", text.as_bytes()).is_err(), "{text}");
    }
    Ok(())
}
