//! JSON that is a trap: too deep, too wide, of numbers and characters that are none, or no JSON at all. It is refused, or taken as what it says;
//! it is never a fault of ours, and what was refused holds nothing.

use anyhow::{Result, ensure};
use http::Method;
use testkit::{Aio, Api, Reply};

/// The routes that read a body, each by a reader of its own.
const ROUTES: [&str; 9] = [
    "/chat/completions",
    "/messages",
    "/responses",
    "/embeddings",
    "/images/generations",
    "/audio/speech",
    "/quote",
    "/keys",
    "/webhooks/endpoints",
];
/// How deep a trap is, and how wide.
const DEPTH: usize = 10_000;
const WIDTH: usize = 1_000_000;

/// What is wrong whoever reads it.
fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let wide = "1,".repeat(WIDTH);
    let utf16 = "{\"model\":\"gemini\"}".encode_utf16();
    let texts = [
        ("nothing", String::new()),
        ("blanks", " ".repeat(1 << 16)),
        ("arrays without an end", "[".repeat(DEPTH)),
        ("objects without an end", "{\"a\":".repeat(DEPTH)),
        ("deep arrays", nested("[", "]")),
        ("a million elements", format!("[{wide}1]")),
        ("a byte order mark", "\u{feff}{}".to_owned()),
        ("a number that is none", "{\"seed\":NaN}".to_owned()),
        ("two values", "{}{}".to_owned()),
        ("a zero behind it", "{}\0".to_owned()),
        ("one quote", "{'model':'gemini'}".to_owned()),
    ];
    let texts = texts
        .into_iter()
        .map(|(what, text)| (what, text.into_bytes()));
    let bytes = [
        ("UTF-16", utf16.flat_map(u16::to_le_bytes).collect()),
        ("no UTF-8", b"{\"model\":\"\xff\xfe\"}".to_vec()),
        (
            "a longer spelling of a zero",
            b"{\"model\":\"\xc0\x80\"}".to_vec(),
        ),
    ];
    texts.chain(bytes).collect()
}

fn nested(open: &str, close: &str) -> String {
    [open.repeat(DEPTH), close.repeat(DEPTH)].concat()
}

/// What stands in a request that is right but for this: text of JSON, in the place of a number, of a prompt, and of anything.
fn odd() -> Vec<(&'static str, String)> {
    let deep = nested("[", "]");
    let long = format!("\"{}\"", "\\u0000".repeat(10_000));
    let texts = [
        ("a number beyond all", "1e309"),
        ("a negative one", "-1"),
        ("a fraction of nothing", "1e-400"),
        ("minus zero", "-0"),
        (
            "a number of forty digits",
            "9999999999999999999999999999999999999999",
        ),
        ("half a character", r#""\ud800""#),
        ("half a character behind another", r#""\udfff\ud800 a fox""#),
        ("a zero in a text", r#""\u0000""#),
        ("an escape that is none", r#""\x41""#),
        ("nothing", "null"),
        ("an empty object", "{}"),
    ];
    let texts = texts
        .into_iter()
        .map(|(what, text)| (what, text.to_owned()));
    texts
        .chain([("a deep one", deep), ("many zeros", long)])
        .collect()
}

/// The requests that hold it. What is after the first is what is asked: the same name twice is one question or none.
fn requests(odd: &str) -> Vec<(&'static str, String)> {
    let chat = |rest: &str| {
        format!(r#"{{"model":"gemini","messages":[{{"role":"user","content":"a fox"}}]{rest}}}"#)
    };
    vec![
        (
            "/chat/completions",
            chat(&format!(r#","max_tokens":{odd}"#)),
        ),
        ("/chat/completions", chat(&format!(r#","seed":{odd}"#))),
        ("/chat/completions", chat(&format!(r#","model":{odd}"#))),
        ("/chat/completions", chat(&format!(r#","metadata":{odd}"#))),
        (
            "/chat/completions",
            format!(r#"{{"model":"gemini","messages":[{{"role":"user","content":{odd}}}]}}"#),
        ),
        (
            "/messages",
            format!(
                r#"{{"model":"gemini","max_tokens":{odd},"messages":[{{"role":"user","content":"a"}}]}}"#
            ),
        ),
        (
            "/messages",
            format!(
                r#"{{"model":"gemini","max_tokens":9,"messages":[{{"role":"user","content":{odd}}}]}}"#
            ),
        ),
        (
            "/responses",
            format!(r#"{{"model":"gemini","input":{odd}}}"#),
        ),
        (
            "/embeddings",
            format!(r#"{{"model":"text-embedding-3-small","input":{odd}}}"#),
        ),
        (
            "/images/generations",
            format!(r#"{{"model":"z-image","prompt":"a fox","seed":{odd}}}"#),
        ),
        (
            "/images/generations",
            format!(r#"{{"model":"z-image","prompt":{odd}}}"#),
        ),
        (
            "/images/generations",
            format!(r#"{{"model":"z-image","prompt":"a fox","callback_url":{odd}}}"#),
        ),
        (
            "/quote",
            format!(r#"{{"route":"images/generations","body":{odd}}}"#),
        ),
        ("/keys", format!(r#"{{"name":"a","caps":{{"day":{odd}}}}}"#)),
        ("/keys", format!(r#"{{"name":{odd},"rpm":{odd}}}"#)),
    ]
}

/// Sends every trap to every reader.
pub(crate) async fn traps(aio: &Aio) -> Result<()> {
    let account = aio.account(1_000).await?;
    let api = &account.api;
    for (what, body) in wrong() {
        for route in ROUTES {
            let reply = send(api, route, body.clone()).await?;
            let refused = (400..500).contains(&reply.status);
            ensure!(refused, "{what} at {route}: {reply}");
        }
    }
    ensure!(
        api.credits().await?.held == 0,
        "what was refused holds something"
    );
    for (what, odd) in odd() {
        for (route, body) in requests(&odd) {
            // A parameter that is null counts as not said, which the document does not promise: its check would refuse it.
            if odd == "null" && route == "/images/generations" {
                continue;
            }
            let reply = send(api, route, body.into_bytes()).await?;
            ensure!(reply.status < 500, "{what} at {route}: {reply}");
        }
    }
    api.settled().await?;
    Ok(())
}

async fn send(api: &Api, route: &str, body: Vec<u8>) -> Result<Reply> {
    let headers = [("content-type", "application/json")];
    api.send(Method::POST, route, &headers, body).await
}
