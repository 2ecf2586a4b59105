//! The table of charges, as docs/api.md prints it, driven class by class as far as the sandbox can cause it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{Aio, Api, eventually};

use crate::say::{IMAGE, chat, image};

const FULL: i64 = 1_000_000_000;

/// How something is asked for: the column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    Stream,
    Task,
}

/// What the docs say of a class.
fn promised(class: &str, kind: Kind) -> Result<String> {
    let docs = include_str!("../../../../docs/api.md");
    let row = docs
        .lines()
        .find(|line| line.starts_with("| ") && line.contains(&format!("| `{class}` |")))
        .with_context(|| format!("docs/api.md has no class {class}"))?;
    let column = match kind {
        Kind::Whole => 3,
        Kind::Stream => 4,
        Kind::Task => 5,
    };
    let field = row.split('|').nth(column).context("a short row")?;
    Ok(field.trim().to_owned())
}

/// Does something to its end, and says what it cost.
async fn spent(api: &Api, work: impl Future<Output = Result<()>>) -> Result<i64> {
    let before = api.settled().await?.posted;
    work.await?;
    let paid = before - api.settled().await?.posted;
    ensure!(paid >= 0, "{paid}");
    Ok(paid)
}

fn check(class: &str, kind: Kind, paid: i64) -> Result<()> {
    let promised = promised(class, kind)?;
    match promised.as_str() {
        "nothing" => ensure!(paid == 0, "{class} {kind:?}: {paid} were charged"),
        "in full" | "what had arrived" => ensure!(paid > 0, "{class} {kind:?} was free"),
        other => anyhow::bail!("{class} {kind:?}: the docs say {other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn chat_is_charged_as_the_docs_say() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(FULL / 1_000_000).await?.api;
    for (outcome, class) in [
        ("success", "completed"),
        ("fail", "overloaded"),
        ("rate_limited", "rate_limited"),
        ("overloaded", "overloaded"),
        ("out_of_balance", "balance"),
        ("malformed", "malformed"),
    ] {
        for kind in [Kind::Whole, Kind::Stream] {
            let mut body = chat(&format!("Hello [sandbox outcome={outcome} tokens=20]"));
            body["stream"] = (kind == Kind::Stream).into();
            let paid = spent(&api, async {
                api.post("/chat/completions", &body).await.map(drop)
            });
            check(class, kind, paid.await?)?;
        }
    }
    aio.finish().await
}

#[tokio::test]
async fn a_chat_that_is_cut_is_charged_as_the_docs_say() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(FULL / 1_000_000).await?.api;
    let cut = chat("Hello [sandbox outcome=cut tokens=100]");
    let paid = spent(&api, async {
        api.stream(&cut).await?.rest().await.map(drop)
    });
    check("upstream_cut", Kind::Stream, paid.await?)?;

    let long = chat("Hello [sandbox tokens=6000 chunk_delay=100ms]");
    let paid = spent(&api, async {
        let mut events = api.stream(&long).await?;
        let mut text = String::new();
        while text.len() < 12 {
            text += &events.next().await?.context("no event")?.content()?;
        }
        Ok(())
    });
    check("client_left", Kind::Stream, paid.await?)?;

    let hang = chat("Hello [sandbox outcome=hang]");
    let paid = spent(&api, async {
        let held = eventually("a hold", async || {
            Ok((api.credits().await?.open_holds == 1).then_some(()))
        });
        tokio::select! {
            reply = api.post("/chat/completions", &hang) => anyhow::bail!("a provider that hangs answers {}", reply?),
            held = held => held,
        }
    });
    check("client_left", Kind::Whole, paid.await?)?;
    aio.finish().await
}

/// Submits an image and waits for its end.
async fn made(api: &Api, prompt: &str) -> Result<Value> {
    let task = api.image(&image(prompt)).await?;
    api.ended(&task).await
}

#[tokio::test]
async fn tasks_are_charged_as_the_docs_say() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(FULL / 1_000_000).await?.api;
    for (outcome, class) in [
        ("success", "completed"),
        ("fail", "overloaded"),
        ("moderated", "moderated"),
        ("out_of_balance", "balance"),
    ] {
        let prompt = format!("a fox [sandbox outcome={outcome} delay=100ms]");
        let paid = spent(&api, async { made(&api, &prompt).await.map(drop) }).await?;
        check(class, Kind::Task, paid)?;
        assert_eq!(paid == IMAGE, outcome == "success", "{outcome}");
    }
    aio.finish().await
}
