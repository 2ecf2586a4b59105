//! What was seen of chat completions, turn by turn, and the figures that it comes to.

use crate::{body, figures::Figures, load::Sample};
use report::median;

/// What was seen in every phase.
pub(crate) struct Phases {
    /// One connection, closed loop.
    pub(crate) one: Beside,
    /// 64 connections, closed loop.
    pub(crate) many: Beside,
    /// 1 000 requests per second, open loop.
    pub(crate) steady: Beside,
    /// Long prompts on 16 connections, closed loop.
    pub(crate) prompts: Beside,
    /// 64 streams at a time.
    pub(crate) streams: Beside,
}

/// One phase, turn after turn.
pub(crate) struct Beside {
    pub(super) turns: Vec<Turn>,
}

/// One phase on every target, once.
pub(crate) struct Turn {
    pub(crate) direct: Sample,
    pub(crate) proxy: Sample,
    pub(crate) aio: Sample,
}

// === impl Turn ===

impl Turn {
    /// What others took of the machine, at worst.
    pub(super) fn noise(&self) -> f64 {
        let Self { direct, proxy, aio } = self;
        let noise = [direct, proxy, aio].map(|sample| sample.noise);
        noise.into_iter().fold(0.0, f64::max)
    }
}

// === impl Beside ===

impl Beside {
    /// The median over the turns of what is computed within each.
    pub(crate) fn median(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(of).collect())
    }

    /// CPU time of the gateway for a request, beside the bare proxy's.
    pub(crate) fn cpu_ratio(&self) -> f64 {
        self.median(|turn| turn.aio.cpu_us() / turn.proxy.cpu_us())
    }

    /// Answers of the gateway's that were not what they should be, or never came, in all turns.
    pub(crate) fn errors(&self) -> f64 {
        let errors = self.turns.iter().map(|turn| turn.aio.errors() as f64);
        errors.sum()
    }

    fn requests(&self) -> f64 {
        let requests = self.turns.iter().map(|turn| turn.aio.requests as f64);
        requests.sum()
    }
}

// === impl Phases ===

impl Phases {
    /// What the gateway does to latency.
    pub(crate) fn latencies(&self) -> Figures {
        let Self {
            one, many, steady, ..
        } = self;
        let added_p50 = |turn: &Turn| turn.aio.p50_us - turn.direct.p50_us;
        let added_p99 = |turn: &Turn| turn.aio.p99_us - turn.direct.p99_us;
        vec![
            ("added_p50_us", steady.median(added_p50)),
            ("added_p99_us", steady.median(added_p99)),
            (
                "over_proxy_p50_us",
                steady.median(|turn| turn.aio.p50_us - turn.proxy.p50_us),
            ),
            (
                "over_proxy_p99_us",
                steady.median(|turn| turn.aio.p99_us - turn.proxy.p99_us),
            ),
            ("p50_us_c64", many.median(|turn| turn.aio.p50_us)),
            ("p99_us_c64", many.median(|turn| turn.aio.p99_us)),
            ("added_p50_us_c1", one.median(added_p50)),
            ("added_p99_us_c1", one.median(added_p99)),
        ]
    }

    /// What long prompts and streams cost.
    pub(crate) fn bodies(&self) -> Figures {
        let Self {
            prompts, streams, ..
        } = self;
        let events = f64::from(body::EVENTS);
        vec![
            ("prompt_cpu_us", prompts.median(|turn| turn.aio.cpu_us())),
            ("prompt_cpu_ratio_to_bare_proxy", prompts.cpu_ratio()),
            (
                "cpu_us_per_chunk",
                streams.median(|turn| turn.aio.cpu_us() / events),
            ),
            ("chunk_cpu_ratio_to_bare_proxy", streams.cpu_ratio()),
            (
                "first_token_over_proxy_p50_us",
                streams.median(|turn| turn.aio.first_p50_us - turn.proxy.first_p50_us),
            ),
            (
                "first_token_over_proxy_p99_us",
                streams.median(|turn| turn.aio.first_p99_us - turn.proxy.first_p99_us),
            ),
        ]
    }

    /// How many requests the gateway answered, and how many it did not.
    pub(crate) fn counts(&self) -> Figures {
        let requests = self.all().map(Beside::requests);
        let errors = self.all().map(Beside::errors);
        vec![
            ("requests", requests.into_iter().sum()),
            ("errors", errors.into_iter().sum()),
        ]
    }

    /// What the bare proxy and the upstream did in the same run, and who disturbed it.
    pub(crate) fn surroundings(&self) -> Figures {
        let Self {
            one, many, steady, ..
        } = self;
        let turns = self.all().into_iter().flat_map(|phase| &phase.turns);
        let noise = turns.map(Turn::noise).fold(0.0, f64::max);
        let added_p50 = |turn: &Turn| turn.proxy.p50_us - turn.direct.p50_us;
        let added_p99 = |turn: &Turn| turn.proxy.p99_us - turn.direct.p99_us;
        vec![
            (
                "proxy_requests_per_s",
                many.median(|turn| turn.proxy.requests_per_s),
            ),
            (
                "proxy_cpu_us_per_request",
                many.median(|turn| turn.proxy.cpu_us()),
            ),
            ("proxy_added_p50_us", steady.median(added_p50)),
            ("proxy_added_p99_us", steady.median(added_p99)),
            ("proxy_added_p50_us_c1", one.median(added_p50)),
            ("proxy_added_p99_us_c1", one.median(added_p99)),
            (
                "direct_requests_per_s",
                many.median(|turn| turn.direct.requests_per_s),
            ),
            ("noise_cores", noise),
        ]
    }

    const fn all(&self) -> [&Beside; 5] {
        [
            &self.one,
            &self.many,
            &self.steady,
            &self.prompts,
            &self.streams,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sample(requests: u64, p99_us: f64) -> Sample {
        Sample {
            requests,
            requests_per_s: 100.0,
            failed: 1,
            refused: 2,
            first_error: None,
            p50_us: p99_us / 2.0,
            p99_us,
            first_p50_us: p99_us / 4.0,
            first_p99_us: p99_us / 2.0,
            under_test: BTreeMap::new(),
            beside: BTreeMap::new(),
            noise: p99_us / 1e3,
        }
    }

    fn turn(requests: u64, slowness: f64) -> Turn {
        Turn {
            direct: sample(requests, 100.0 * slowness),
            proxy: sample(requests, 150.0 * slowness),
            aio: sample(requests, 300.0 * slowness),
        }
    }

    fn beside(requests: u64) -> Beside {
        let turns = vec![turn(requests, 1.0)];
        Beside { turns }
    }

    #[test]
    fn a_slow_turn_judges_nobody() {
        let turns = vec![turn(1, 1.0), turn(1, 10.0), turn(1, 1.1)];
        let beside = Beside { turns };
        let over = beside.median(|turn| turn.aio.p99_us - turn.proxy.p99_us);
        assert!((over - 165.0).abs() < 1e-9, "{over}");
        assert!((beside.errors() - 9.0).abs() < 1e-9);
    }

    fn value(figures: &Figures, name: &str) -> f64 {
        let found = figures.iter().find(|(figure, _)| *figure == name);
        found.unwrap().1.round()
    }

    #[test]
    fn added_latency_is_what_is_more_than_without_a_gateway() {
        let phases = Phases {
            one: beside(1),
            many: beside(20),
            steady: beside(300),
            prompts: beside(4_000),
            streams: beside(50_000),
        };
        let latencies = phases.latencies();
        assert_eq!(value(&latencies, "added_p99_us"), 200.0);
        assert_eq!(value(&latencies, "over_proxy_p99_us"), 150.0);
        assert_eq!(value(&phases.surroundings(), "proxy_added_p50_us"), 25.0);
        let counts = phases.counts();
        assert_eq!(value(&counts, "requests"), 54_321.0);
        assert_eq!(value(&counts, "errors"), 15.0);
        let bodies = phases.bodies();
        assert_eq!(value(&bodies, "first_token_over_proxy_p99_us"), 75.0);
    }
}
