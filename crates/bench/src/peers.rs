//! What others need for the same, where it was measured: in November 2026, each on one core of a two-core machine, with the same
//! requests, at the versions named. None of them checked a budget or wrote anything down for a request. Figures of another machine
//! at another time: they say how large something is, not how much larger than ours.

/// A figure of others.
struct Seen {
    figure: &'static str,
    text: &'static str,
}

/// TensorZero 2026.4, Portkey 1.15.2, LiteLLM 1.106 with one worker.
const SEEN: [Seen; 9] = [
    Seen::new(
        "requests_per_s",
        "TensorZero 1 399, Portkey 1 016, LiteLLM 113",
    ),
    Seen::new(
        "cpu_us_per_request",
        "TensorZero 334, Portkey 984, LiteLLM 8 425",
    ),
    Seen::new("added_p50_us", "TensorZero 442, others saturated"),
    Seen::new("added_p99_us", "TensorZero 1 026, others saturated"),
    Seen::new(
        "added_p50_us_c1",
        "TensorZero 43 983, Portkey 857, LiteLLM 8 801",
    ),
    Seen::new(
        "added_p99_us_c1",
        "TensorZero 45 265, Portkey 7 558, LiteLLM 16 940",
    ),
    Seen::new("prompt_cpu_us", "TensorZero 820"),
    Seen::new("cpu_us_per_chunk", "TensorZero 59"),
    Seen::new("rss_idle_mb", "TensorZero 60, Portkey 95, LiteLLM 329"),
];

/// What others need; empty where nobody looked.
pub(crate) fn peers(bench: &str, figure: &str) -> &'static str {
    let mut seen = SEEN.iter().filter(|_| bench == "chat");
    seen.find(|seen| seen.figure == figure)
        .map_or("", |seen| seen.text)
}

// === impl Seen ===

impl Seen {
    const fn new(figure: &'static str, text: &'static str) -> Self {
        Self { figure, text }
    }
}
