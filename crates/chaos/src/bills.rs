//! No fault, but every outcome: many operations over every paid route, and then for each one that its receipt computes again, says what
//! the list says, and that all of them together are what the balance lost.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testkit::{Aio, Api, Shape, eventually};

use crate::{Length, customer::chat, progress};

/// Operations.
const FULL: usize = 100_000;
const QUICK: usize = 1_000;
/// How many are on their way at once.
const AT_ONCE: usize = 64;
/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 10_000_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// Of so many operations one is an image, one is an embedding, and one is a stream that is left early.
const IMAGE_EACH: usize = 10;
const EMBEDDING_EACH: usize = 7;
const LEFT_EACH: usize = 14;

/// What chats come to.
const CHATS: [&str; 6] = [
    "Hello [sandbox tokens=8]",
    "Hello [sandbox outcome=overreport tokens=8]",
    "Hello [sandbox outcome=fail]",
    "Hello [sandbox outcome=moderated]",
    "Hello [sandbox outcome=malformed]",
    "Hello [sandbox outcome=out_of_balance]",
];
/// What streams come to.
const STREAMS: [&str; 4] = [
    "Hello [sandbox tokens=8]",
    "Hello [sandbox outcome=cut tokens=8]",
    "Hello [sandbox outcome=overreport tokens=8]",
    "Hello [sandbox outcome=overloaded]",
];
/// What embeddings come to.
const EMBEDDINGS: [&str; 4] = [
    "a fox",
    "a fox [sandbox outcome=overreport]",
    "a fox [sandbox outcome=fail]",
    "a fox [sandbox outcome=malformed]",
];
/// What images come to.
const IMAGES: [&str; 3] = [
    "a fox [sandbox delay=0s]",
    "a fox [sandbox outcome=fail delay=0s]",
    "a fox [sandbox outcome=moderated delay=0s]",
];

pub(crate) async fn bills(length: Length) -> Result<String> {
    let count = match length {
        Length::Full => FULL,
        Length::Quick => QUICK,
    };
    let aio = Aio::private_with(
        Shape::Embedded,
        &[("AIO_LIMITS__RATES__PER_MINUTE", "100000000")],
    )
    .await?;
    let api = aio.account(CREDITS).await?.api;
    let next = AtomicUsize::new(0);
    try_join_all((0..AT_ONCE).map(|_| ask(&api, &next, count))).await?;
    let posted = api.settled().await?.posted;
    progress(&format!(
        "up/bills: {count} operations have ended; reading their receipts"
    ));
    let operations = operations(&api, count).await?;
    let mut receipts = tempfile::NamedTempFile::new()?;
    let mut charged = 0_i64;
    for some in operations.chunks(AT_ONCE) {
        for (receipt, cost) in try_join_all(some.iter().map(|row| receipt(&api, row))).await? {
            writeln!(receipts, "{receipt}")?;
            charged = charged.saturating_add(cost);
        }
    }
    let lost = CREDIT.saturating_sub(posted);
    ensure!(
        charged == lost,
        "the receipts come to {charged}, the balance lost {lost}"
    );
    sums(&api, operations.len(), charged).await?;
    let file = receipts.path().to_string_lossy().into_owned();
    let verified = aio.command(&["receipt", "verify", &file]).await?;
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    ensure!(verified.status.success(), "{said}");
    aio.finish().await?;
    Ok(format!(
        "{} receipts compute again and come to the {charged} micro-credits that the balance lost",
        operations.len()
    ))
}

/// Asks for one thing after another until there were enough. Whatever comes of one: credit was held for it.
async fn ask(api: &Api, next: &AtomicUsize, count: usize) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        if number.is_multiple_of(IMAGE_EACH) {
            image(api, pick(&IMAGES, number / IMAGE_EACH)).await?;
        } else if number.is_multiple_of(2) {
            let most = if number.is_multiple_of(LEFT_EACH) {
                3
            } else {
                usize::MAX
            };
            stream(api, pick(&STREAMS, number / 2), most).await;
        } else {
            let (path, body) = if number.is_multiple_of(EMBEDDING_EACH) {
                let text = pick(&EMBEDDINGS, number / EMBEDDING_EACH);
                let body = json!({ "model": "text-embedding-3-small", "input": text });
                ("/embeddings", body)
            } else {
                ("/chat/completions", whole(pick(&CHATS, number / 2)))
            };
            let reply = api.post(path, &body).await?;
            ensure!(!matches!(reply.status, 400..=403 | 429 | 503), "{reply}");
        }
    }
}

fn pick<'a>(texts: &[&'a str], number: usize) -> &'a str {
    let at = number.checked_rem(texts.len()).unwrap_or_default();
    texts.get(at).copied().unwrap_or_default()
}

/// A chat that is answered in one piece.
pub(crate) fn whole(text: &str) -> Value {
    let mut body = chat(text);
    if let Value::Object(fields) = &mut body {
        fields.remove("stream_options");
    }
    body
}

/// Reads a stream to its end, or leaves after so many events. It may be refused before the first one.
async fn stream(api: &Api, text: &str, most: usize) {
    let Ok(mut events) = api.stream(&chat(text)).await else {
        return;
    };
    let mut seen = 0_usize;
    while seen < most && matches!(events.next().await, Ok(Some(_))) {
        seen = seen.saturating_add(1);
    }
}

async fn image(api: &Api, prompt: &str) -> Result<()> {
    let body = json!({ "model": "flux-2", "prompt": prompt, "user": "chaos" });
    let reply = api.post("/images/generations", &body).await?;
    ensure!(reply.status == 202, "{reply}");
    Ok(())
}

/// Every operation that has ended, once there are so many.
async fn operations(api: &Api, count: usize) -> Result<Vec<Value>> {
    let last = eventually("all operations are summed up", async || {
        let usage = api.get("/usage?group_by=").await?.data(200)?;
        let sum = usage.pointer("/items/0/operations").and_then(Value::as_u64);
        let all = sum.is_some_and(|sum| usize::try_from(sum).is_ok_and(|sum| sum >= count));
        Ok(all.then_some(()))
    });
    last.await?;
    let mut found: Vec<Value> = Vec::new();
    let mut path = "/operations?limit=1000".to_owned();
    loop {
        let page = api.get(&path).await?.data(200)?;
        let items = page.get("items").and_then(Value::as_array);
        found.extend(items.context("no list")?.iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("/operations?limit=1000&cursor={cursor}"),
            None => break,
        }
    }
    ensure!(
        found.len() == count,
        "{} operations, not {count}",
        found.len()
    );
    Ok(found)
}

/// An operation's receipt, and what it cost: the list and the receipt say the same.
async fn receipt(api: &Api, operation: &Value) -> Result<(Value, i64)> {
    let id = operation.get("operation_id").and_then(Value::as_str);
    let path = format!("/operations/{}/receipt", id.context("no operation_id")?);
    let shown = api.get(&path).await?.data(200)?;
    let amount = |value: &Value, name: &str| value.pointer(name).and_then(Value::as_i64);
    let charged = amount(operation, "/charged_microcredits").context("no charge")?;
    let held = amount(operation, "/held_microcredits").context("no hold")?;
    ensure!((0..=held).contains(&charged), "{operation}");
    ensure!(
        amount(&shown, "/charged_microcredits") == Some(charged),
        "{shown}"
    );
    ensure!(
        amount(&shown, "/receipt/total_microcredits") == Some(charged),
        "{shown}"
    );
    Ok((shown, charged))
}

/// The sums of days say the same as the operations.
async fn sums(api: &Api, operations: usize, charged: i64) -> Result<()> {
    let usage = api
        .get("/usage?group_by=day,key,model,route")
        .await?
        .data(200)?;
    let items = usage
        .get("items")
        .and_then(Value::as_array)
        .context("no list")?;
    let total = |name: &str| {
        let figures = items
            .iter()
            .filter_map(|item| item.get(name).and_then(Value::as_i64));
        figures.fold(0_i64, i64::saturating_add)
    };
    ensure!(total("microcredits") == charged, "{usage}");
    ensure!(
        usize::try_from(total("operations"))? == operations,
        "{usage}"
    );
    Ok(())
}
