//! HTTP/2, as nobody should speak it (RFC 9113). Frames are written by hand: a library would not send these.

use anyhow::{Result, ensure};
use testkit::{Aio, Role};

use super::raw::Raw;

/// What every connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET /healthz` by HPACK's table, with a host of one letter.
const GET: &[u8] = b"\x82\x86\x04\x08/healthz\x41\x01x";
/// How often a flood repeats itself, if nobody cuts it.
const FLOOD: u32 = 100_000;
/// Frames that are sent in one piece.
const TOGETHER: usize = 500;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let [_, length @ ..] = length.to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[..], &[kind, flags], &stream, payload].concat()
}

/// The id of a client's stream, counted from 0.
const fn stream(number: u32) -> u32 {
    number.wrapping_mul(2).wrapping_add(1)
}

/// What a flood consists of, one after another.
type Drops = fn(u32) -> Vec<u8>;

/// Requests that are taken back at once.
fn reset(number: u32) -> Vec<u8> {
    let id = stream(number);
    let cancel = 8_u32.to_be_bytes();
    let asked = frame(HEADERS, END_STREAM | END_HEADERS, id, GET);
    [asked, frame(RST_STREAM, 0, id, &cancel)].concat()
}

/// Requests, more than may be open.
fn request(number: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream(number), GET)
}

/// A head that does not end, of fields that HPACK is not asked to remember.
fn continuation(number: u32) -> Vec<u8> {
    if number == 0 {
        frame(HEADERS, END_STREAM, 1, GET)
    } else {
        let field = [&b"\x00\x03x-a\x64"[..], &[b'x'; 100]].concat();
        frame(CONTINUATION, 0, 1, &field)
    }
}

fn ping(number: u32) -> Vec<u8> {
    let [a, b, c, d] = number.to_be_bytes();
    frame(PING, 0, 0, &[a, b, c, d, 0, 0, 0, 0])
}

fn settings(_: u32) -> Vec<u8> {
    // The largest frame, as it is anyway.
    frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x40, 0])
}

/// Sends a flood to its end, or until the line is cut: whether it was. Nothing is read meanwhile.
async fn flood(base: &str, drop: Drops) -> Result<(Raw, bool)> {
    let mut raw = Raw::connect(base).await?;
    raw.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
        .await?;
    let mut piece = Vec::new();
    for number in 0..FLOOD {
        piece.extend(drop(number));
        let is_due = usize::try_from(number)?.is_multiple_of(TOGETHER);
        if is_due && !raw.say(&std::mem::take(&mut piece)).await? {
            return Ok((raw, true));
        }
    }
    Ok((raw, false))
}

/// Floods of every sort: none of them costs memory, and all others are served meanwhile.
pub(crate) async fn floods(aio: &Aio) -> Result<()> {
    let base = aio.base();
    let api = aio.account(1).await?.api;
    let floods: [(&str, Drops); 5] = [
        ("requests that are taken back", reset),
        ("more requests than may be open", request),
        ("a head without an end", continuation),
        ("pings", ping),
        ("settings", settings),
    ];
    let before = aio.memory(Role::Edge)?;
    for (what, drop) in floods {
        let (raw, cut) = flood(&base, drop).await?;
        api.credits().await?;
        // A head without an end is one request, so that nothing but a cut is its end.
        if !cut && what == "a head without an end" {
            raw.end().await?;
        }
        let grown = aio.memory(Role::Edge)?.saturating_sub(before);
        ensure!(grown < super::MOST_GROWN, "{what}: {grown} KiB more");
    }
    Ok(())
}
