//! How long requests and calls to providers take, and what they use: the metrics of OpenTelemetry's conventions for generative models, in
//! Prometheus' form. `gen_ai_client_…` is about our calls, `gen_ai_server_…` about the requests that we serve; what the program itself adds
//! to them stands beside. Labels come from the catalogue and from words of ours.
//!
//! What is counted of one model at one provider is looked up once a request, without building a label.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use domain::{
    Catalogue, Usage,
    catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, Model},
    conventional_name,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

/// What chat is called by the conventions.
pub(crate) const CHAT: &str = "chat";
/// What embeddings are.
pub(crate) const EMBEDDINGS: &str = "embeddings";

/// The conventions' upper bounds of the buckets of durations, in seconds.
const DURATIONS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// Of tokens: powers of four.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Of the time to the first token, in seconds.
const FIRST_TOKEN: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Of the time for each token after it.
const PER_TOKEN: [f64; 13] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// Of what we add, in seconds: ours, from fifty microseconds on.
const OVERHEAD: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0,
];

/// Every figure. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    families: Families,
    /// By model, and by provider.
    series: Arc<HashMap<String, HashMap<String, Slot>>>,
    /// From a request's arrival here until a provider is asked.
    before: Histogram,
    /// From a provider's last byte until ours.
    after: Histogram,
}

#[derive(Clone, Debug)]
struct Families {
    tokens: Histograms<Counted>,
    operations: Histograms<Ended>,
    requests: Histograms<Ended>,
    first_token: Histograms<Whom>,
    per_token: Histograms<Whom>,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// A series that exists once something was counted.
#[derive(Debug)]
struct Slot {
    asked: Whom,
    served: Whom,
    series: OnceLock<Series>,
}

/// The figures of one model at one provider.
#[derive(Debug)]
pub(crate) struct Series {
    families: Families,
    asked: Whom,
    served: Whom,
    input: Histogram,
    output: Histogram,
    operation: Histogram,
    request: Histogram,
    first_token: Histogram,
    per_token: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Whom {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Counted {
    #[prometheus(flatten)]
    whom: Whom,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    #[prometheus(flatten)]
    whom: Whom,
    /// Empty, which is no label, where all went well.
    error_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

// === impl Figures ===

impl Figures {
    /// Makes them known to the registry, for every model of the catalogue that is charged by the token.
    pub(crate) fn register(registry: &mut Registry, catalogue: &Catalogue) -> Self {
        let overhead = Histograms::<Phase>::new_with_constructor(|| Histogram::new(OVERHEAD));
        registry.register(
            "aio_chat_overhead_seconds",
            "What this program adds to a request: before a provider is asked, the hold included, and after its last byte, the charge \
             included",
            overhead.clone(),
        );
        let phase = |phase| overhead.get_or_create(&Phase { phase }).clone();
        let models = catalogue.models().iter().filter_map(slots);
        Self {
            families: Families::register(registry),
            series: Arc::new(models.collect()),
            before: phase("before"),
            after: phase("after"),
        }
    }

    /// Those of a model at a provider.
    pub(crate) fn of(&self, model: &str, provider: &str) -> Option<&Series> {
        let slot = self.series.get(model)?.get(provider)?;
        Some(slot.series.get_or_init(|| slot.begin(&self.families)))
    }

    /// A provider is asked, so long after the request came.
    pub(crate) fn asks(&self, since: Duration) {
        self.before.observe(since.as_secs_f64());
    }

    /// An answer has left, so long after its provider's last byte came.
    pub(crate) fn has_left(&self, since: Duration) {
        self.after.observe(since.as_secs_f64());
    }
}

/// A model's slug, and an empty slot for each of its providers.
fn slots(model: &Model) -> Option<(String, HashMap<String, Slot>)> {
    let operation = match model.route.as_str() {
        CHAT_ROUTE => CHAT,
        EMBEDDINGS_ROUTE => EMBEDDINGS,
        _ => return None,
    };
    let slots = model.providers.iter().map(|route| {
        let whom = |model: &str| Whom {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: conventional_name(&route.provider).to_owned(),
            gen_ai_request_model: model.to_owned(),
        };
        let slot = Slot {
            asked: whom(&route.model),
            served: whom(&model.slug),
            series: OnceLock::new(),
        };
        (route.provider.clone(), slot)
    });
    Some((model.slug.clone(), slots.collect()))
}

// === impl Families ===

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            tokens: Family::new_with_constructor(|| Histogram::new(TOKENS)),
            operations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            requests: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            first_token: Family::new_with_constructor(|| Histogram::new(FIRST_TOKEN)),
            per_token: Family::new_with_constructor(|| Histogram::new(PER_TOKEN)),
        };
        registry.register(
            "gen_ai_client_token_usage",
            "Tokens that are charged for an answer, by the model that the provider was asked for",
            families.tokens.clone(),
        );
        registry.register(
            "gen_ai_client_operation_duration_seconds",
            "A call to a provider, to the end of its answer",
            families.operations.clone(),
        );
        registry.register(
            "gen_ai_server_request_duration_seconds",
            "A request that a provider was asked for, to the end of our answer",
            families.requests.clone(),
        );
        registry.register(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's arrival to the first text of a stream that was completed",
            families.first_token.clone(),
        );
        registry.register(
            "gen_ai_server_time_per_output_token_seconds",
            "The time for each token after the first of a stream that was completed",
            families.per_token.clone(),
        );
        families
    }
}

// === impl Slot ===

impl Slot {
    fn begin(&self, families: &Families) -> Series {
        let tokens = |gen_ai_token_type| {
            let whom = self.asked.clone();
            let counted = Counted {
                whom,
                gen_ai_token_type,
            };
            families.tokens.get_or_create(&counted).clone()
        };
        let well = |whom: &Whom| Ended {
            whom: whom.clone(),
            error_type: "",
        };
        Series {
            input: tokens("input"),
            output: tokens("output"),
            operation: families
                .operations
                .get_or_create(&well(&self.asked))
                .clone(),
            request: families.requests.get_or_create(&well(&self.served)).clone(),
            first_token: families.first_token.get_or_create(&self.served).clone(),
            per_token: families.per_token.get_or_create(&self.served).clone(),
            families: families.clone(),
            asked: self.asked.clone(),
            served: self.served.clone(),
        }
    }
}

// === impl Series ===

impl Series {
    /// A call to the provider has ended, with an error or without.
    pub(crate) fn called(&self, took: Duration, error: Option<&'static str>) {
        let took = took.as_secs_f64();
        match error {
            None => self.operation.observe(took),
            Some(error) => failed(&self.families.operations, &self.asked, error).observe(took),
        }
    }

    /// A request has ended, with an error or without.
    pub(crate) fn served(&self, took: Duration, error: Option<&'static str>) {
        let took = took.as_secs_f64();
        match error {
            None => self.request.observe(took),
            Some(error) => failed(&self.families.requests, &self.served, error).observe(took),
        }
    }

    /// This is charged.
    pub(crate) fn used(&self, usage: Usage) {
        self.input.observe(f64::from(small(input_of(usage))));
        let output = output_of(usage);
        if output > 0 {
            self.output.observe(f64::from(small(output)));
        }
    }

    /// The first text of a stream came so long after its request, and the others, so many tokens in all, until so long after that.
    pub(crate) fn streamed(&self, first: Duration, (rest, tokens): (Duration, u64)) {
        self.first_token.observe(first.as_secs_f64());
        if let Some(each) = rest.checked_div(small(tokens.saturating_sub(1))) {
            self.per_token.observe(each.as_secs_f64());
        }
    }
}

fn failed(family: &Histograms<Ended>, whom: &Whom, error_type: &'static str) -> Histogram {
    let whom = whom.clone();
    family.get_or_create(&Ended { whom, error_type }).clone()
}

/// All tokens that were read: by the conventions those from a cache are among them.
pub(crate) fn input_of(usage: Usage) -> u64 {
    usage
        .input
        .saturating_add(usage.cached)
        .saturating_add(usage.audio_input)
}

/// All that were written, thoughts among them.
pub(crate) fn output_of(usage: Usage) -> u64 {
    usage
        .output
        .saturating_add(usage.reasoning)
        .saturating_add(usage.audio_output)
}

/// A count of tokens; more than any answer has is as many as fit.
fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
