//! Heads of HTTP/1 that lie, and bodies that are not as their heads say. Where two readers of one text could disagree about where a request ends,
//! one could be hidden in another: so each is refused, or read in one way and the line cut behind it.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use testkit::Aio;

use super::raw::Raw;

/// The line is cut, and nothing said.
const CUT: u16 = 0;

/// What is sent, and how it may be answered, first and last.
struct Lie {
    what: &'static str,
    sent: String,
    answers: &'static [u16],
}

fn lie(what: &'static str, sent: impl Into<String>, answers: &'static [u16]) -> Lie {
    Lie {
        what,
        sent: sent.into(),
        answers,
    }
}

/// Heads that no server may take.
fn heads() -> Vec<Lie> {
    let get = |fields: &str| format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
    let long = format!("x-a: {}\r\n", "b".repeat(1 << 20));
    vec![
        lie("as it should be", get("connection: close\r\n"), &[200]),
        lie(
            "10 000 fields",
            get(&"x-a: b\r\n".repeat(10_000)),
            &[431, CUT],
        ),
        lie("a field of 1 MB", get(&long), &[431, CUT]),
        lie("a field of two lines", get("x-a: b\r\n c: d\r\n"), &[400]),
        lie("a blank before the colon", get("x-a : b\r\n"), &[400]),
        lie("a field without a name", get(": b\r\n"), &[400]),
        lie("a zero in a value", get("x-a: b\0c\r\n"), &[400]),
        lie("a return alone", get("x-a: b\rc: d\r\n"), &[400]),
        lie(
            "another version",
            "GET / HTTP/3.9\r\nhost: x\r\n\r\n",
            &[400],
        ),
        lie("no version", "GET /\r\nhost: x\r\n\r\n", &[400]),
        lie("no method", "G\x01T / HTTP/1.1\r\nhost: x\r\n\r\n", &[400]),
        lie(
            "a zero in the path",
            "GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
            &[400],
        ),
        lie(
            "another protocol",
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03",
            &[400, CUT],
        ),
        lie(
            "a tunnel",
            "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            &[400, 404, 405],
        ),
    ]
}

/// Bodies whose length is said wrongly, or in two ways.
fn bodies(key: &str) -> Vec<Lie> {
    let post = |fields: &str, body: &str| {
        format!("POST /api/v1/quote HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n{fields}\r\n{body}")
    };
    let length = |text: &str| post(&format!("content-length: {text}\r\n"), "{}");
    let chunked = |body: &str| post("transfer-encoding: chunked\r\n", body);
    let two = "content-length: 2\r\ncontent-length: 3\r\n";
    let both = "content-length: 3\r\ntransfer-encoding: chunked\r\n";
    let hidden = "2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "e".repeat(1 << 16));
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x-a: b\r\n".repeat(10_000));
    let old = post("", "").replace("HTTP/1.1", "HTTP/1.0");
    let old = old.replace("host: x", "transfer-encoding: chunked");
    vec![
        lie("a length with a sign", length("+2"), &[400]),
        lie("a negative length", length("-2"), &[400]),
        lie("two lengths in one", length("2, 3"), &[400]),
        lie("a length in hex", length("0x2"), &[400]),
        lie(
            "a length beyond all numbers",
            length("18446744073709551616"),
            &[400],
        ),
        lie("two lengths", post(two, "{}"), &[400]),
        lie("more promised than sent", length("9"), &[504]),
        lie(
            "an unknown coding",
            post("transfer-encoding: gzip\r\n", "{}"),
            &[400],
        ),
        lie(
            "chunks that are not last",
            post(
                "transfer-encoding: chunked, gzip\r\n",
                "2\r\n{}\r\n0\r\n\r\n",
            ),
            &[400],
        ),
        lie("chunks in HTTP/1.0", old, &[400]),
        // The chunks count, and what is behind them is never read.
        lie("chunks and a length", post(both, hidden), &[400]),
        lie(
            "a chunk beyond all numbers",
            chunked("FFFFFFFFFFFFFFFFFF\r\n{}"),
            &[400],
        ),
        lie(
            "a chunk of no length",
            chunked("zz\r\n{}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie(
            "a chunk longer than it says",
            chunked("1\r\n{}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie("an extension of 64 KiB", chunked(&extension), &[400, CUT]),
        lie("10 000 trailers", chunked(&trailers), &[400, CUT]),
    ]
}

// === impl Lie ===

impl Lie {
    /// Tells it, on a line of its own.
    async fn told(self, base: &str) -> Result<()> {
        let Self {
            what,
            sent,
            answers,
        } = self;
        let mut raw = Raw::connect(base).await?;
        raw.say(sent.as_bytes()).await?;
        let answer = raw.end().await?;
        let statuses: Vec<&str> = answer
            .split("HTTP/1.1 ")
            .chain(answer.split("HTTP/1.0 "))
            .filter_map(|answer| answer.get(..3))
            .filter(|status| status.bytes().all(|digit| digit.is_ascii_digit()))
            .collect();
        ensure!(statuses.len() <= 1, "{what} is {} requests", statuses.len());
        let status = statuses.first().map_or(Ok(CUT), |status| status.parse())?;
        ensure!(answers.contains(&status), "{what}: {answer}");
        Ok(())
    }
}

/// All of them, at once.
pub(crate) async fn lies(aio: &Aio) -> Result<()> {
    let account = aio.account(1).await?;
    let base = aio.base();
    let all = heads().into_iter().chain(bodies(&account.key));
    try_join_all(all.map(|lie| lie.told(&base))).await?;
    byte_by_byte(&base, &account.key).await?;
    account.api.settled().await?;
    Ok(())
}

/// A body of chunks of one byte is slow, and no lie.
async fn byte_by_byte(base: &str, key: &str) -> Result<()> {
    let body = json!({ "model": "flux-2", "prompt": "a fox ".repeat(500) });
    let body = json!({ "route": "images/generations", "body": body }).to_string();
    let chunks: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let head = format!(
        "POST /api/v1/quote HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut raw = Raw::connect(base).await?;
    raw.say(format!("{head}{chunks}0\r\n\r\n").as_bytes())
        .await?;
    let answer = raw.end().await?;
    let status = answer.lines().next().context("no answer")?;
    ensure!(status.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}
