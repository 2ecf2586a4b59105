//! What a program does over time: the memory it needs for many at once, whether it gives it back, and how fast it starts.

use crate::{
    Length,
    body::Body,
    figures::Figures,
    gateway::Gateway,
    phases::{Bench, Phase},
    procfs::{open_files, rss_mb},
    progress,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const STREAMS: u32 = 10_000;
/// From so many on, the memory of a stream tells that of many.
const LEAST_STREAMS: u32 = STREAMS / 10;
/// Files and connections of the gateway's that are none of a stream's two.
const OTHER_FILES: u32 = 500;
/// Seconds until all streams are open.
const OPENING: u32 = 15;
/// Seconds until the last one has ended, half a minute after it was opened.
const ENDING: u32 = 33;
/// What a burst is: more than anybody has been.
const BURST: u32 = 256;
/// How long memory may take to come back.
const RECOVERY: Duration = Duration::from_secs(60);
/// Memory that is this much of what it was has come back.
const RECOVERED: f64 = 1.3;
const LOOK: Duration = Duration::from_millis(250);

/// Many streams, a burst, a rest; then the program is started again.
pub(crate) async fn endure(
    gateway: &mut Gateway,
    bench: &Bench,
    idle_mb: f64,
) -> anyhow::Result<Figures> {
    let (streams, seconds) = match bench.length {
        Length::Full => (room(), 8),
        Length::Quick => (STREAMS / 10, 2),
    };
    anyhow::ensure!(
        streams >= LEAST_STREAMS,
        "{streams} streams tell nothing of many: let more files be open (ulimit -n)"
    );
    progress(&format!("chat: {streams} streams of half a minute"));
    let open = Phase {
        name: "open streams",
        connections: streams,
        rate: 0,
        body: Body::Open,
        warm_seconds: OPENING,
    };
    let open = bench.load(&bench.aio, &open, ENDING).await?;
    let burst = Phase {
        name: "a burst",
        connections: BURST,
        rate: 0,
        body: Body::Short,
        warm_seconds: 1,
    };
    let burst = bench.load(&bench.aio, &burst, seconds).await?;
    let rest = rest(gateway, idle_mb).await;
    progress("chat: starting aio up again");
    let start = gateway.restart().await?;
    Ok(vec![
        ("open_streams_tried", f64::from(streams)),
        ("open_streams", open.requests as f64),
        ("open_streams_errors", open.errors() as f64),
        (
            "rss_open_streams_mb",
            idle_mb + (open.rss_mb() - idle_mb) * f64::from(STREAMS) / f64::from(streams),
        ),
        ("rss_burst_mb", burst.rss_mb()),
        ("rss_after_burst_ratio", rest),
        ("start_ms", start.as_secs_f64() * 1e3),
    ])
}

/// As many streams as are wanted, or as the system lets a process have connections for: each is one to the customer and one to the
/// provider. Their memory is told as that of all that are wanted.
fn room() -> u32 {
    STREAMS.min(open_files().saturating_sub(OTHER_FILES) / 2)
}

/// Memory beside what it was at first, once it has come back or had a minute for it.
async fn rest(gateway: &Gateway, idle_mb: f64) -> f64 {
    progress("chat: at rest");
    let until = Instant::now() + RECOVERY;
    loop {
        let ratio = rss_mb(gateway.process.pid()) / idle_mb;
        if ratio <= RECOVERED || Instant::now() >= until {
            return ratio;
        }
        sleep(LOOK).await;
    }
}
