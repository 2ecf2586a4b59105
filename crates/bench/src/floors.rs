//! What the figures have to be: for each the goal we are after, and the floor below which a benchmark fails. The one
//! place for both. Where only a goal is set, the floor is half as good.

/// A figure's goal and floor.
pub(crate) struct Floor {
    bench: &'static str,
    figure: &'static str,
    better: Better,
    pub(crate) goal: f64,
    pub(crate) floor: f64,
}

enum Better {
    More,
    Less,
}

const FLOORS: [Floor; 52] = [
    Floor::new("chat", "requests_per_s", Better::More, 18_000.0, 10_000.0),
    Floor::new("chat", "cpu_ratio_to_bare_proxy", Better::Less, 2.5, 4.0),
    // Two group commits lie between a request and its answer.
    Floor::new("chat", "over_proxy_p50_us", Better::Less, 1_000.0, 2_000.0),
    Floor::new("chat", "over_proxy_p99_us", Better::Less, 3_000.0, 6_000.0),
    Floor::new(
        "chat",
        "prompt_cpu_ratio_to_bare_proxy",
        Better::Less,
        3.0,
        6.0,
    ),
    Floor::new(
        "chat",
        "chunk_cpu_ratio_to_bare_proxy",
        Better::Less,
        1.3,
        2.6,
    ),
    Floor::new(
        "chat",
        "first_token_over_proxy_p99_us",
        Better::Less,
        1_500.0,
        3_000.0,
    ),
    Floor::new("chat", "errors", Better::Less, 0.0, 0.0),
    Floor::new("chat", "rss_open_streams_mb", Better::Less, 400.0, 800.0),
    Floor::new("chat", "rss_after_burst_ratio", Better::Less, 1.3, 2.6),
    Floor::new("chat", "start_ms", Better::Less, 500.0, 1_000.0),
    Floor::new("chat", "rss_idle_mb", Better::Less, 40.0, 80.0),
    Floor::new("chat", "rss_1000_per_s_mb", Better::Less, 80.0, 160.0),
    Floor::new(
        "unbilled",
        "cpu_ratio_to_bare_proxy",
        Better::Less,
        1.5,
        3.0,
    ),
    Floor::new("unbilled", "over_proxy_p99_us", Better::Less, 100.0, 200.0),
    Floor::new("unbilled", "errors", Better::Less, 0.0, 0.0),
    // What a provider that hangs takes from the requests of another one's model.
    Floor::new("hanging", "p99_ratio", Better::Less, 1.1, 2.0),
    Floor::new("hanging", "errors", Better::Less, 0.0, 0.0),
    Floor::new("split", "requests_per_s", Better::More, 5_000.0, 2_500.0),
    Floor::new("split", "cpu_us_per_request", Better::Less, 250.0, 350.0),
    Floor::new("split", "added_p99_us", Better::Less, 10_000.0, 20_000.0),
    Floor::new("split", "errors", Better::Less, 0.0, 0.0),
    // From submit to webhook.
    Floor::new("media", "tasks_per_s", Better::More, 500.0, 200.0),
    Floor::new(
        "media",
        "beyond_poll_p99_ms",
        Better::Less,
        1_000.0,
        2_000.0,
    ),
    Floor::new("media", "errors", Better::Less, 0.0, 0.0),
    Floor::new("media_split", "tasks_per_s", Better::More, 300.0, 100.0),
    Floor::new(
        "media_split",
        "beyond_poll_p99_ms",
        Better::Less,
        1_000.0,
        2_000.0,
    ),
    Floor::new("media_split", "errors", Better::Less, 0.0, 0.0),
    Floor::new(
        "webhooks",
        "first_attempts_per_s",
        Better::More,
        1_000.0,
        500.0,
    ),
    // From on disk to told, at half of that rate.
    Floor::new(
        "webhooks",
        "first_attempt_p99_ms",
        Better::Less,
        1_000.0,
        2_000.0,
    ),
    // The same while three of ten origins hang: what is promised, and the floor is no lower.
    Floor::new(
        "webhooks",
        "hanging_p99_ms",
        Better::Less,
        10_000.0,
        10_000.0,
    ),
    Floor::new("webhooks", "lost", Better::Less, 0.0, 0.0),
    Floor::new("webhooks", "told_again", Better::Less, 0.0, 0.0),
    Floor::new("polls", "requests_per_s", Better::More, 20_000.0, 10_000.0),
    Floor::new("polls", "errors", Better::Less, 0.0, 0.0),
    // Each is answered although nobody is there who could ask a database about it.
    Floor::new("polls_split", "errors_media_away", Better::Less, 0.0, 0.0),
    Floor::new("open", "rss_mb", Better::Less, 300.0, 600.0),
    // Never more than the provider's limit, and the floor is no lower.
    Floor::new("open", "most_looks_per_s", Better::Less, 100.0, 100.0),
    Floor::new("open", "most_jobs_over_limit", Better::Less, 0.0, 0.0),
    Floor::new("open", "cpu_ratio_to_1000_open", Better::Less, 1.25, 2.0),
    Floor::new("open", "latency_ratio_to_1000_open", Better::Less, 1.5, 3.0),
    Floor::new("open", "errors", Better::Less, 0.0, 0.0),
    Floor::new("ledger", "pairs_per_s", Better::More, 40_000.0, 25_000.0),
    // At half of the pace that was reached.
    Floor::new(
        "ledger",
        "hold_p99_us_at_half",
        Better::Less,
        10_000.0,
        20_000.0,
    ),
    Floor::new(
        "ledger_postgres",
        "hold_p99_us_at_half",
        Better::Less,
        10_000.0,
        20_000.0,
    ),
    // Over a thousand accounts as over one: although a batch then writes 64 balances and as many sums of days, not one of each.
    Floor::new(
        "ledger",
        "pairs_per_s_1000_accounts",
        Better::More,
        40_000.0,
        20_000.0,
    ),
    Floor::new(
        "ledger_postgres",
        "pairs_per_s",
        Better::More,
        15_000.0,
        8_000.0,
    ),
    Floor::new(
        "ledger_postgres",
        "pairs_per_s_1000_accounts",
        Better::More,
        15_000.0,
        8_000.0,
    ),
    Floor::new("usage", "usage_p99_us", Better::Less, 100_000.0, 200_000.0),
    Floor::new("usage", "page_p99_us", Better::Less, 50_000.0, 200_000.0),
    // What is promised of the web pages; the floors are no lower.
    Floor::new(
        "pages",
        "worst_page_p99_us",
        Better::Less,
        50_000.0,
        50_000.0,
    ),
    Floor::new(
        "pages",
        "first_page_bytes",
        Better::Less,
        100_000.0,
        100_000.0,
    ),
];

/// The floor of a figure, if it has one.
pub(crate) fn floor(bench: &str, figure: &str) -> Option<&'static Floor> {
    let mut floors = FLOORS.iter();
    floors.find(|floor| floor.bench == bench && floor.figure == figure)
}

// === impl Floor ===

impl Floor {
    const fn new(
        bench: &'static str,
        figure: &'static str,
        better: Better,
        goal: f64,
        floor: f64,
    ) -> Self {
        Self {
            bench,
            figure,
            better,
            goal,
            floor,
        }
    }

    /// Whether `value` is good enough. What could not be measured (NaN) is not.
    pub(crate) fn is_met_by(&self, value: f64) -> bool {
        match self.better {
            Better::More => value >= self.floor,
            Better::Less => value <= self.floor,
        }
    }

    /// Whether `value` is what we are after.
    pub(crate) fn reaches_goal(&self, value: f64) -> bool {
        self.margin(value) >= 0.0
    }

    /// How much better than the goal `value` is; below 0, how much worse.
    pub(crate) fn margin(&self, value: f64) -> f64 {
        match self.better {
            Better::More => value - self.goal,
            Better::Less => self.goal - value,
        }
    }

    /// In a word, which values are better.
    pub(crate) const fn better(&self) -> &'static str {
        match self.better {
            Better::More => "more",
            Better::Less => "less",
        }
    }

    /// On which side of goal and floor a value should be.
    pub(crate) fn sign(&self) -> &'static str {
        match self.better {
            Better::More => "≥",
            Better::Less => "≤",
        }
    }
}
