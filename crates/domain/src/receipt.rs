//! What explains a charge: everything the arithmetic needs and no content. Chat and media write it, billing keeps it, customers read it,
//! and with the price list that it names anybody can compute it again ([`recompute`]).

mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use verify::{Arithmetic, recompute};

use crate::{
    Micros, Tags, TokenClass, Usage,
    charge::{Charge, Ending, Kind},
    price::{Applied, Cost, Line},
};

/// The form of receipts that is written now.
const FORM: u32 = 1;

/// What a charge was for: what is known before anybody was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The route, below `/api/v1/`.
    pub route: String,
    /// How it was asked for.
    pub kind: Kind,
    /// The model's slug.
    pub model: String,
    /// The price list.
    pub price_version: String,
    /// Which price of it, and how.
    pub applied: Applied,
    /// The customer's own labels.
    pub tags: Tags,
}

/// A receipt: the wire form, as it is kept and given out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Receipt {
    /// The form it is written in.
    pub receipt: u32,
    /// The route, below `/api/v1/`.
    pub route: String,
    /// How it was asked for.
    pub kind: Kind,
    /// The slug of the model that answered, or was asked last.
    pub model: String,
    /// The slug of the model that was asked for first, where the request named several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_model: Option<String>,
    /// The price list.
    pub price_version: String,
    /// Which price of it, and how.
    #[serde(flatten)]
    pub applied: Applied,
    /// Who answered, or was asked last; empty when nobody was.
    pub provider: String,
    /// The calls to providers.
    pub attempts: Attempts,
    /// How the work ended.
    pub class: Ending,
    /// How much of the price that charges.
    pub charged: Charge,
    /// The published code of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// What was used, by class.
    pub usage: BTreeMap<String, u64>,
    /// Who counted that; absent where nothing is counted, and in receipts of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_source: Option<UsageSource>,
    /// Why the usage is an estimate, if it is one.
    pub estimated: Option<String>,
    /// What that costs, by class.
    pub lines: Vec<Line>,
    /// The sum of the lines: at least the minimum, rounded, times the factor.
    pub cost_microcredits: i64,
    /// What was held: the most that is charged.
    pub held_microcredits: i64,
    /// What was charged.
    pub total_microcredits: i64,
    /// The customer's own labels.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Who counted the tokens that were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The provider, which reported them.
    Provider,
    /// We, by our tokenizer, from what was asked and what arrived.
    Tokenizer,
    /// Nobody counted all of it: at least in part it is an estimate by length.
    Estimate,
}

/// The calls to providers: one by one, or how many there were.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Attempts {
    /// Every call, in order.
    Calls(Vec<Attempt>),
    /// So many runs.
    Runs(i64),
}

/// One call to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Attempt {
    /// Who was asked.
    pub provider: String,
    /// For which model, where the request named several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `answered`, or the class of the failure.
    pub outcome: String,
}

// === impl UsageSource ===

impl UsageSource {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Tokenizer => "tokenizer",
            Self::Estimate => "estimate",
        }
    }
}

// === impl Receipt ===

impl Receipt {
    /// A receipt of nothing yet.
    pub fn of(subject: Subject) -> Self {
        Self {
            receipt: FORM,
            route: subject.route,
            kind: subject.kind,
            model: subject.model,
            requested_model: None,
            price_version: subject.price_version,
            applied: subject.applied,
            provider: String::new(),
            attempts: Attempts::Runs(0),
            class: Ending::Internal,
            charged: Charge::Nothing,
            error_code: None,
            usage: BTreeMap::new(),
            usage_source: None,
            estimated: None,
            lines: Vec::new(),
            cost_microcredits: 0,
            held_microcredits: 0,
            total_microcredits: 0,
            tags: subject.tags,
        }
    }

    /// The receipt of work that ended so and is free, of which `held` is given back.
    #[must_use]
    pub fn free(mut self, class: Ending, held: Micros) -> Self {
        self.usage = BTreeMap::new();
        self.usage_source = None;
        self.estimated = None;
        self.lines = Vec::new();
        self.cost_microcredits = 0;
        self.total_microcredits = 0;
        self.ended(class, held)
    }

    /// The receipt of work that ended so and used this; `held` is the most that is charged.
    #[must_use]
    pub fn paid(
        mut self,
        class: Ending,
        used: (BTreeMap<String, u64>, Cost),
        held: Micros,
    ) -> Self {
        let (usage, cost) = used;
        self.usage = usage;
        self.lines = cost.lines;
        self.cost_microcredits = cost.amount.get();
        self.total_microcredits = cost.amount.min(held).get();
        self.ended(class, held)
    }

    fn ended(mut self, class: Ending, held: Micros) -> Self {
        self.class = class;
        self.charged = class.charge(self.kind);
        self.held_microcredits = held.get();
        self
    }

    /// What was charged.
    pub const fn total(&self) -> Micros {
        Micros::new(self.total_microcredits)
    }

    /// As it is kept. It holds no content but the customer's labels.
    pub fn to_json(&self) -> Vec<u8> {
        // Texts and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a chat request used, by class; the sound it did not use is left out.
pub fn token_usage(usage: Usage) -> BTreeMap<String, u64> {
    let is_sound =
        |class: &TokenClass| matches!(class, TokenClass::AudioInput | TokenClass::AudioOutput);
    let classes = TokenClass::ALL.into_iter();
    let told = classes.filter(|class| usage.of(*class) > 0 || !is_sound(class));
    told.map(|class| (class.as_str().to_owned(), usage.of(class)))
        .collect()
}
