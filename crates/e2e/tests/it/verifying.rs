//! Others check what we sign: Standard Webhooks' own libraries, unmodified, a real delivery; and what docs/api.md tells customers to do by
//! hand, its own vector.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{Aio, Answer, Received, Sink};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    say::image_calling,
    sdks::{NODE, PYTHON, installed},
};

const DOCS: &str = include_str!("../../../../docs/api.md");

fn program(name: &str) -> Result<PathBuf> {
    Ok(match name {
        NODE => PathBuf::from(NODE),
        python => installed()?.join(python),
    })
}

/// Runs a program over a file, with this as its input.
async fn run(name: &str, file: &std::path::Path, input: &str) -> Result<()> {
    let mut child = Command::new(program(name)?)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let ran = tokio::time::timeout(testkit::PATIENCE, child.wait_with_output()).await??;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "{}: {said}", file.display());
    Ok(())
}

/// What a library is given of a delivery.
fn given(secret: &str, kind: &str, received: &Received) -> Result<Value> {
    let header = |name: &str| received.header(name).to_owned();
    Ok(json!({
        "secret": secret,
        "type": kind,
        "body": std::str::from_utf8(&received.body)?,
        "headers": {
            "webhook-id": header("webhook-id"),
            "webhook-timestamp": header("webhook-timestamp"),
            "webhook-signature": header("webhook-signature"),
        },
    }))
}

#[tokio::test]
async fn the_libraries_of_standard_webhooks_take_a_delivery_and_no_forgery() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(204)).await?;
    let secret = api.get("/webhooks/secret").await?.data(200)?;
    let before = secret["secret"].as_str().context("no secret")?.to_owned();
    api.image(&image_calling("a föx [sandbox delay=0s]", &sink.url("/")))
        .await?;
    let first = sink.wait_for(1).await?.pop().context("nothing")?;
    // While two secrets sign, a library with either takes it.
    let rotated = api
        .post("/webhooks/secret/rotate", &json!({}))
        .await?
        .data(200)?;
    let after = rotated["secret"].as_str().context("no secret")?.to_owned();
    ensure!(rotated["old_secret_until"].is_string(), "both should sign");
    api.image(&image_calling("a bear [sandbox delay=0s]", &sink.url("/")))
        .await?;
    let second = sink.wait_for(2).await?.pop().context("nothing")?;
    let scripts = installed()?.join("scripts");
    for (secret, received) in [(&before, &first), (&before, &second), (&after, &second)] {
        Webhook::new(secret)?.verify(&received.body, &received.headers)?;
        let input = given(secret, "task.completed", received)?.to_string();
        run(PYTHON, &scripts.join("standardwebhooks_python.py"), &input).await?;
        run(NODE, &scripts.join("standardwebhooks_node.mjs"), &input).await?;
    }
    aio.finish().await
}

/// The first block of a language in the docs' part about verifying.
fn snippet(language: &str) -> Result<&'static str> {
    let part = DOCS.split_once("### Verifying").context("no such part")?.1;
    let begins = format!("```{language}\n");
    let block = part.split_once(&begins).context("no such block")?.1;
    Ok(block.split_once("```").context("it does not end")?.0)
}

/// A line of the docs' vector.
fn told(name: &str) -> Result<&'static str> {
    let begins = format!("{name}: ");
    let mut lines = DOCS.lines();
    lines
        .find_map(|line| line.strip_prefix(&begins))
        .with_context(|| format!("the docs tell no {name}"))
}

/// The vector, as programs are given it.
fn vector() -> Result<String> {
    let headers = json!({
        "webhook-id": told("webhook-id")?,
        "webhook-timestamp": told("webhook-timestamp")?,
        "webhook-signature": told("webhook-signature")?,
    });
    let at: i64 = told("webhook-timestamp")?.parse()?;
    Ok(
        json!({ "secret": told("secret")?, "headers": headers, "body": told("body")?, "now": at })
            .to_string(),
    )
}

#[tokio::test]
async fn the_python_of_the_docs_verifies_its_vector() -> Result<()> {
    let check = r#"
import json, sys
v = json.load(sys.stdin)
body, now, headers = v["body"].encode(), v["now"], v["headers"]
assert verify(v["secret"], headers, body, now)
assert verify(v["secret"], headers, body, now + 300)
assert not verify(v["secret"], headers, body, now + 301)
assert not verify(v["secret"], headers, body, now - 301)
assert not verify(v["secret"], headers, body + b" ", now)
two = {**headers, "webhook-signature": "v1,AAAA " + headers["webhook-signature"]}
assert verify(v["secret"], two, body, now)
assert not verify(v["secret"], {**headers, "webhook-signature": "v1,AAAA"}, body, now)
assert not verify(v["secret"], {**headers, "webhook-timestamp": "soon"}, body, now)
"#;
    let place = tempfile::tempdir()?;
    let file = place.path().join("snippet.py");
    std::fs::write(&file, format!("{}{check}", snippet("python")?))?;
    run(PYTHON, &file, &vector()?).await
}

#[tokio::test]
async fn the_javascript_of_the_docs_verifies_its_vector() -> Result<()> {
    let check = r#"
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
const v = JSON.parse(readFileSync(0, "utf8"));
const body = Buffer.from(v.body);
const verifies = (headers, bytes, now) => verify(v.secret, { ...v.headers, ...headers }, bytes, now);
assert(verifies({}, body, v.now));
assert(verifies({}, body, v.now + 300));
assert(!verifies({}, body, v.now + 301));
assert(!verifies({}, body, v.now - 301));
assert(!verifies({}, Buffer.concat([body, Buffer.from(" ")]), v.now));
assert(verifies({ "webhook-signature": `v1,AAAA ${v.headers["webhook-signature"]}` }, body, v.now));
assert(!verifies({ "webhook-signature": "v1,AAAA" }, body, v.now));
assert(!verifies({ "webhook-signature": "v1" }, body, v.now));
assert(!verifies({ "webhook-timestamp": "soon" }, body, v.now));
"#;
    let place = tempfile::tempdir()?;
    let file = place.path().join("snippet.mjs");
    std::fs::write(&file, format!("{}{check}", snippet("javascript")?))?;
    run(NODE, &file, &vector()?).await
}
