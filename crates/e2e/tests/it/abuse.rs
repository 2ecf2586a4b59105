//! Clients that mean no good, at the sockets of the real program: those that say nothing, or a byte now and then; heads and bodies that lie about
//! themselves; JSON that is a trap; floods of HTTP/2; more connections than there are files. Each is refused or cut within its time, none costs
//! memory, and whoever asks properly beside it is served.

mod frames;
mod heads;
mod json;
mod raw;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use testkit::{Aio, Role, eventually};

use raw::Raw;

/// Patience that a test can wait for.
const IMPATIENT: [(&str, &str); 4] = [
    ("AIO_SERVER__CONNECTIONS__FIRST_BYTE_TIMEOUT", "500ms"),
    ("AIO_SERVER__CONNECTIONS__HEADER_TIMEOUT", "500ms"),
    ("AIO_SERVER__CONNECTIONS__WRITE_TIMEOUT", "2s"),
    ("AIO_LIMITS__BODIES__TIMEOUT", "500ms"),
];
/// KiB that a crowd of such clients may cost all together.
const MOST_GROWN: u64 = 64 << 10;
/// How many clients do the same.
const CROWD: usize = 60;
/// Files that the program may have open beside those it has; and how many clients want one.
const SPARE: u64 = 40;
const TOO_MANY: usize = 150;

#[tokio::test]
async fn who_is_slow_is_cut_and_costs_nobody_anything() -> Result<()> {
    let aio = Aio::with(&IMPATIENT).await?;
    let account = aio.account(1).await?;
    let base = aio.base();
    let body = format!(
        "POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{{",
        account.key
    );
    let beginnings = [
        "",
        "G",
        "P",
        "PRI * HTTP/2.0\r\n\r\nSM",
        "GET / HTTP/1.1\r\nhost: x\r\nx-a: ",
        &body,
    ];
    let before = aio.memory(Role::Edge)?;
    let mut crowd = Vec::new();
    for beginning in beginnings {
        for _ in 0..CROWD {
            let mut raw = Raw::connect(&base).await?;
            raw.say(beginning.as_bytes()).await?;
            crowd.push(raw);
        }
    }
    account.api.credits().await?;
    let grown = aio.memory(Role::Edge)?.saturating_sub(before);
    ensure!(
        grown < MOST_GROWN,
        "{grown} KiB more for {} clients",
        crowd.len()
    );
    for answer in try_join_all(crowd.into_iter().map(Raw::end)).await? {
        // Who has sent a head is told.
        let told = answer.is_empty()
            || answer.starts_with("HTTP/1.1 408 ")
            || answer.starts_with("HTTP/1.1 504 ");
        ensure!(told, "{answer}");
    }
    let mut dripping = Vec::new();
    for _ in 0..CROWD {
        let mut raw = Raw::connect(&base).await?;
        raw.say(b"GET / HTTP/1.1\r\nhost: x\r\n").await?;
        dripping.push(raw.drip("x-a: b\r\n"));
    }
    try_join_all(dripping).await?;
    account.api.credits().await?;
    aio.finish().await
}

#[tokio::test]
async fn what_lies_about_itself_is_refused_and_never_a_fault_of_ours() -> Result<()> {
    let aio = Aio::with(&IMPATIENT).await?;
    heads::lies(&aio).await?;
    json::traps(&aio).await?;
    frames::floods(&aio).await?;
    aio.finish().await
}

#[tokio::test]
async fn who_takes_all_connections_has_them_for_a_moment_only() -> Result<()> {
    let mut aio = Aio::with(&IMPATIENT).await?;
    let api = aio.account(1).await?.api;
    aio.spare_files(Role::Edge, SPARE)?;
    let base = aio.base();
    let crowd = try_join_all((0..TOO_MANY).map(|_| Raw::connect(&base))).await?;
    eventually("it serves again", async || Ok(api.credits().await.ok())).await?;
    drop(crowd);
    ensure!(!aio.has_lost_one()?, "a process did not survive it");
    aio.finish().await
}
