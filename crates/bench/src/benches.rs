//! The list of the benchmarks: what each is called, the command that runs it, what it is, and where it is.

use crate::{
    Length, chat, figures::Found, growth, hanging, ledger, media, open, pages, peers, polls, split,
    usage, webhooks,
};

/// A benchmark with figures of its own.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    /// Its name on the command line, which may be that of several.
    pub(crate) command: &'static str,
    pub(crate) about: &'static str,
}

/// All of them, in the order in which they run and are reported.
pub(crate) const BENCHES: [Bench; 16] = [
    Bench::new(
        "chat",
        "chat",
        "chat completions through `aio up` with money on: key check, limits, a durable hold before and a durable capture after each",
    ),
    Bench::new("unbilled", "unbilled", "the same without the ledger"),
    Bench::new(
        "peers",
        "peers",
        "the same load on other gateways and on nginx, none of which has money on",
    ),
    Bench::new(
        "hanging",
        "hanging",
        "one model's latency while another one's provider hangs",
    ),
    Bench::new(
        "split",
        "split",
        "chat completions through edge, chat and billing on PostgreSQL and Redis, all on both cores",
    ),
    Bench::new("media", "media", "tasks from submit to webhook, `aio up`"),
    Bench::new(
        "media_split",
        "media",
        "the same through roles, on PostgreSQL, Redis and RabbitMQ",
    ),
    Bench::new(
        "webhooks",
        "webhooks",
        "events from publish to first attempt, on PostgreSQL",
    ),
    Bench::new(
        "polls",
        "polls",
        "`GET /tasks/{id}` through `aio up`, one core",
    ),
    Bench::new("polls_split", "polls", "the same through roles"),
    Bench::new("open", "open", "what a hundred thousand open tasks cost"),
    Bench::new(
        "ledger",
        "ledger",
        "hold and capture in SQLite, every answer on disk",
    ),
    Bench::new("ledger_postgres", "ledger", "the same on PostgreSQL"),
    Bench::new(
        "usage",
        "usage",
        "sums and pages over ten million operations of one account",
    ),
    Bench::new(
        "pages",
        "pages",
        "every web page of an account with as many",
    ),
    Bench::new(
        "growth",
        "growth",
        "how cost grows with accounts, connections and replicas",
    ),
];

/// Their names on the command line.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = BENCHES.iter().map(|bench| bench.command).collect();
    names.dedup();
    names
}

/// Runs the benchmark of this name.
pub(crate) async fn measure(name: &str, length: Length) -> anyhow::Result<Found> {
    Ok(match name {
        "chat" => chat::chat(length).await?.into(),
        "unbilled" => chat::unbilled(length).await?.into(),
        "hanging" => hanging::hanging(length).await?.into(),
        "split" => split::split(length).await?.into(),
        "media" => media::in_one(length).await?.into(),
        "media_split" => media::split(length).await?.into(),
        "webhooks" => webhooks::webhooks(length).await?.into(),
        "polls" => polls::in_one(length).await?.into(),
        "polls_split" => polls::split(length).await?.into(),
        "open" => open::open(length).await?,
        "ledger" => ledger::sqlite(length).await?.into(),
        "ledger_postgres" => ledger::postgres(length).await?.into(),
        "usage" => usage::usage(length).await?.into(),
        "pages" => pages::pages(length).await?.into(),
        "growth" => growth::growth(length).await?,
        "peers" => peers::measured(length).await?,
        other => anyhow::bail!("there is no benchmark {other}"),
    })
}

// === impl Bench ===

impl Bench {
    const fn new(name: &'static str, command: &'static str, about: &'static str) -> Self {
        Self {
            name,
            command,
            about,
        }
    }
}
