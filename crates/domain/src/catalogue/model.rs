//! What a model file says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Param, ParamType, Rule, earlier, param, place};
use crate::{
    Micros, Moment, Usage,
    price::{Price, Tariff, TokenPrices},
};

/// The route of chat, and of nothing else.
pub const CHAT_ROUTE: &str = "chat/completions";
/// The route of chat in Anthropic's words: it serves the models of [`CHAT_ROUTE`].
pub const MESSAGES_ROUTE: &str = "messages";
/// The route of chat in the words of OpenAI's Responses API: it serves the models of [`CHAT_ROUTE`].
pub const RESPONSES_ROUTE: &str = "responses";
/// The routes that the models of [`CHAT_ROUTE`] serve, each in its own words.
pub const CHAT_ROUTES: &[&str] = &[CHAT_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE];
/// The route of embeddings, and of nothing else.
pub const EMBEDDINGS_ROUTE: &str = "embeddings";

/// Conditions on resolved parameters: every named parameter has the given value. Empty: always.
pub type When = Map<String, Value>;

/// One model: a wire file of the catalogue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name customers send.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// Other names that mean the same model.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Who made the model.
    pub owned_by: String,
    /// When it joined the catalogue, seconds UTC.
    #[serde(default)]
    pub created: i64,
    /// What it makes.
    pub category: Category,
    /// The route that serves it, below `/api/v1/`.
    pub route: String,
    /// Whether it is meant by requests to its route that name no model.
    #[serde(default)]
    pub default: bool,
    /// Where it is in its life.
    #[serde(default)]
    pub status: Status,
    /// The model that serves what is asked of this one, once this one is succeeded.
    pub successor: Option<String>,
    /// What customers should know of it: that its maker has retired it, say, and who serves it now.
    pub notice: Option<String>,
    /// Seconds from submit until an unfinished task fails.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: u32,
    /// Seconds that a provider usually takes, where that is known: there is no sense in looking much sooner.
    pub usual_seconds: Option<u32>,
    /// Whether `callback_url` is taken.
    #[serde(default)]
    pub webhook: bool,
    /// How far into its life a task can be cancelled.
    #[serde(default)]
    pub cancel: Cancel,
    /// Limits of a chat model; only chat has them.
    pub chat: Option<ChatLimits>,
    /// Limits of an embedding model; only those have them.
    pub embedding: Option<EmbeddingLimits>,
    /// What customers may send, beside `model` and `callback_url`.
    #[serde(default)]
    pub params: Vec<Param>,
    /// What they demand of one another.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Where its files must have an alpha channel, as what it is asked to cut out stands on nothing: where the resolved parameters are these.
    /// Without any, always.
    pub transparent: Option<When>,
    /// What it costs from the beginning.
    price: Option<Price>,
    /// What it costs later on, or all of its prices, in the order of their moments.
    #[serde(default)]
    prices: Vec<Price>,
    /// Who serves it, tried in order.
    pub providers: Vec<ProviderRoute>,
}

/// What a model makes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Text, synchronously.
    Chat,
    /// Pictures.
    Image,
    /// Films.
    Video,
    /// Music.
    Music,
    /// Speech.
    Speech,
    /// The words of a recording.
    Transcription,
    /// What is made of a customer's own picture or film.
    Tool,
    /// Vectors, synchronously.
    Embedding,
}

/// Where a model is in its life.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Served.
    #[default]
    Live,
    /// Served, and charged, as its successor.
    Succeeded,
}

/// How far into its life a task can be cancelled.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Cancel {
    /// Never.
    #[default]
    Never,
    /// Until a provider was asked.
    Queued,
    /// Until it is done, where the provider that has it can stop it.
    Running,
}

/// Limits of a chat model, in tokens.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChatLimits {
    /// Output bound, reasoning included, when the request names none.
    pub default_output_bound: u64,
    /// The most output a request may ask for.
    pub max_output: u64,
    /// What a media part of a message counts as input, whatever its size.
    pub media_part: u64,
}

/// Limits of an embedding model.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingLimits {
    /// Inputs of one request.
    pub max_inputs: u64,
}

/// One way to serve a model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRoute {
    /// Which code speaks to it: `openai`, `bfl`, `kie`.
    pub adapter: String,
    /// Whose credential and base URL: the name of a `providers.<name>` section.
    pub provider: String,
    /// What the provider calls the model.
    pub model: String,
    /// Routes one after another with the same `order` are equals, which share a chat model's requests by `weight`. A route without
    /// one is a fallback for those before it.
    pub order: Option<u32>,
    /// Its share among equals, 1 to 100.
    #[serde(default = "one")]
    pub weight: u32,
    /// Only for requests whose resolved parameters are these.
    #[serde(default)]
    pub when: When,
    /// Only for requests that have all of these, `image_urls[1]` being the second of a list.
    #[serde(default)]
    pub with: Vec<String>,
    /// Only for requests that have none of these.
    #[serde(default)]
    pub without: Vec<String>,
    /// Whether it costs us more than the model brings. It is asked only as long as those before it can serve nobody: never where one of them has had
    /// the task, has found something wrong with it, or has no room, so that no customer can choose that we lose.
    #[serde(default)]
    pub costly: bool,
    /// What it bills for each unit of the price, in millionths of a US dollar, where it does not say so itself.
    pub bills_micro_usd: Option<i64>,
    /// What it bills for each token, in micro-credits as in the model's own price, where that is by token: for the margin that operators are shown, of all they look at as the file says
    /// it then.
    pub bills: Option<TokenPrices>,
    /// What the provider is sent, see `input.rs`; the parameters as they are where the row says nothing.
    pub input: Option<Map<String, Value>>,
}

/// The parameter that a name of a model within a model resolves to.
pub(super) const VARIANT: &str = "model";

/// The most a route weighs, so that shares stay cheap to work out.
const MAX_WEIGHT: u32 = 100;

/// The longest name of a model, in bytes.
const MAX_NAME: usize = 128;

const fn one() -> u32 {
    1
}

const fn default_deadline() -> u32 {
    600
}

/// Whether a name can stand in a URL, a header and a metric as it is. Slashes are for names such as `meta-llama/llama-4`.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('/')
        && !name.ends_with('/')
}

/// Whether the resolved parameters have all the given values.
pub(crate) fn matches(when: &When, resolved: &Map<String, Value>) -> bool {
    when.iter()
        .all(|(name, value)| resolved.get(name) == Some(value))
}

// === impl Model ===

impl Model {
    /// Slug, aliases and the models within it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own = std::iter::once(&self.slug).chain(&self.aliases);
        own.map(String::as_str)
            .chain(self.variants().map(|(name, _)| name))
    }

    /// The names of models within this one, each with the model that it means: the words of its parameter `model`, and their other
    /// spellings.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut params = self.params.iter();
        let param = params.find(|param| param.name == VARIANT && !param.ours);
        let words = param.and_then(|param| match &param.of {
            ParamType::Choice { values, also } => Some((values, also)),
            ParamType::Text { .. }
            | ParamType::Integer { .. }
            | ParamType::Number { .. }
            | ParamType::Boolean
            | ParamType::Url
            | ParamType::Urls { .. }
            | ParamType::Task(_)
            | ParamType::Sound { .. }
            | ParamType::Items { .. } => None,
        });
        words.into_iter().flat_map(|(values, also)| {
            let own = values.iter().map(|word| (word.as_str(), word.as_str()));
            own.chain(
                also.iter()
                    .map(|(name, word)| (name.as_str(), word.as_str())),
            )
        })
    }

    /// Whether a key's list of models lets it use this one, under any of its names. An empty list lets it use all.
    pub fn allowed_by(&self, listed: &[String]) -> bool {
        listed.is_empty()
            || self
                .names()
                .any(|name| listed.iter().any(|item| item == name))
    }

    /// Whether a key's list lets it use what these resolved parameters mean: a list that names models within this one, and not this one
    /// itself, lets it use those alone.
    pub fn allows(&self, listed: &[String], resolved: &Map<String, Value>) -> bool {
        let is_listed = |name: &str| listed.iter().any(|listed| listed == name);
        let mut whole = std::iter::once(&self.slug).chain(&self.aliases);
        let mut within = self
            .variants()
            .filter(|(name, _)| is_listed(name))
            .peekable();
        if within.peek().is_none() || whole.any(|name| is_listed(name)) {
            return true;
        }
        let meant = resolved.get(VARIANT).and_then(Value::as_str);
        meant.is_some_and(|meant| within.any(|(_, word)| word == meant))
    }

    /// Whether what these resolved parameters ask for must have an alpha channel.
    pub fn is_transparent(&self, resolved: &Map<String, Value>) -> bool {
        let transparent = self.transparent.as_ref();
        transparent.is_some_and(|when| matches(when, resolved))
    }

    /// The providers that can serve these resolved parameters, in order.
    pub fn candidates<'m>(
        &'m self,
        resolved: &Map<String, Value>,
    ) -> impl Iterator<Item = &'m ProviderRoute> {
        self.providers
            .iter()
            .filter(move |route| route.serves(resolved))
    }

    /// The providers of a model without parameters, as chat's are: groups of equals, in order.
    pub fn tiers(&self) -> impl Iterator<Item = &[ProviderRoute]> {
        self.providers
            .chunk_by(|before, after| before.order.is_some() && before.order == after.order)
    }

    /// What a provider bills for this usage: the most that its rows say; nothing if none says it, or it does not fit.
    pub fn billed(&self, provider: &str, usage: Usage) -> Option<Micros> {
        let rows = self
            .providers
            .iter()
            .filter(|route| route.provider == provider);
        let bills = rows.filter_map(|route| route.bills?.total(usage).ok());
        bills.max()
    }

    /// Every price, in the order in which they come into force.
    pub fn prices(&self) -> impl Iterator<Item = &Price> {
        self.price.iter().chain(&self.prices)
    }

    /// The price in force at a moment. A catalogue holds no model without one.
    pub fn price_at(&self, at: Moment) -> Option<&Price> {
        let in_force = |price: &&Price| price.effective_from.is_none_or(|from| from <= at);
        self.prices().filter(in_force).last()
    }

    /// What no schema can say: that the file does not contradict itself.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(name) = self.names().find(|name| !is_name(name)) {
            return Err(format!(
                "the name {name:?} is not 1 to {MAX_NAME} letters, digits and . _ : / -, and no slash first or last"
            ));
        }
        param::check(&self.params)?;
        earlier::check(&self.params)?;
        let of_routes = self.providers.iter().flat_map(|route| &route.when);
        for (name, value) in of_routes.chain(self.transparent.iter().flatten()) {
            let mut params = self.params.iter();
            let param = params.find(|param| param.name == *name);
            let param =
                param.ok_or_else(|| format!("`when` names {name}, which is not a parameter"))?;
            if !param.may_be(value) {
                return Err(format!("`when` asks {name} for {value}, which it never is"));
            }
        }
        for rule in &self.rules {
            rule.check(&self.params)?;
        }
        for route in &self.providers {
            for name in route.with.iter().chain(&route.without) {
                place::param("a provider", name, &self.params)?;
            }
            route.check_input(&self.params)?;
        }
        self.check_providers()?;
        let usual = self.usual_seconds;
        if usual.is_some_and(|usual| !(1..self.deadline_seconds).contains(&usual)) {
            return Err("usual_seconds are at least 1, and fewer than deadline_seconds".to_owned());
        }
        if (self.status == Status::Succeeded) != self.successor.is_some() {
            return Err("succeeded models, and only they, name their successor".to_owned());
        }
        self.check_prices()?;
        for price in self.prices() {
            self.check_category(&price.tariff)?;
            price.check()?;
            price.fits(&self.params)?;
        }
        Ok(())
    }

    /// That somebody serves it, and that it is clear in which order.
    fn check_providers(&self) -> Result<(), String> {
        if self.providers.is_empty() {
            return Err("no provider serves this model".to_owned());
        }
        let mut weights = self.providers.iter().map(|route| route.weight);
        if weights.any(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
            return Err(format!("the weight of a provider is 1 to {MAX_WEIGHT}"));
        }
        if !self.providers.iter().is_sorted_by_key(|route| route.costly) {
            return Err("providers that are costly stand behind those that are not".to_owned());
        }
        self.check_bills()?;
        let orders = self.providers.iter().filter_map(|route| route.order);
        if !orders.is_sorted() {
            return Err("the orders of the providers rise from one to the next".to_owned());
        }
        let given = self.tiers().filter_map(|tier| tier.first()?.order);
        let mut given: Vec<u32> = given.collect();
        let tiers = given.len();
        given.dedup();
        if given.len() < tiers {
            return Err("providers of the same order stand together".to_owned());
        }
        Ok(())
    }

    /// That what providers bill is said in the units of the model's price.
    fn check_bills(&self) -> Result<(), String> {
        let by_token = self.prices().any(|price| price.tokens().is_some());
        for route in &self.providers {
            if route.bills_micro_usd.is_some_and(|bill| bill < 1) {
                return Err("bills_micro_usd is at least 1".to_owned());
            }
            if by_token && (route.costly || route.bills_micro_usd.is_some()) {
                return Err("costly and bills_micro_usd are for models of tasks".to_owned());
            }
            if !by_token && route.bills.is_some() {
                return Err("bills are for models that are priced by token".to_owned());
            }
            let bills = route.bills.map_or(Ok(()), |bills| bills.check());
            bills.map_err(|error| format!("bills of {}: {error}", route.provider))?;
        }
        Ok(())
    }

    /// That there is a price at any moment, and one only.
    fn check_prices(&self) -> Result<(), String> {
        let mut since = self.prices().map(|price| price.effective_from);
        let first = since.next();
        let rest: Vec<Option<Moment>> = since.collect();
        let from = std::iter::once(&None).chain(&rest);
        if first == Some(None) && from.zip(&rest).all(|(before, after)| before < after) {
            return Ok(());
        }
        let rule = "the first price has no effective_from, so that there is always one; each later one has a later effective_from";
        Err(rule.to_owned())
    }

    /// That its category can be served at its price.
    fn check_category(&self, tariff: &Tariff) -> Result<(), String> {
        let limits = (self.chat.is_some(), self.embedding.is_some());
        let output = match tariff {
            Tariff::Token(prices) => Some(prices.output),
            Tariff::Call { .. }
            | Tariff::Image { .. }
            | Tariff::Second { .. }
            | Tariff::Character { .. } => None,
        };
        let is_token_route = [CHAT_ROUTE, EMBEDDINGS_ROUTE].contains(&self.route.as_str());
        let (fits, rule) = match self.category {
            Category::Chat => (
                self.route == CHAT_ROUTE
                    && output.is_some_and(|price| price > 0)
                    && limits == (true, false),
                "a chat model is served by chat/completions, priced by token, with a price of output, and has [chat]",
            ),
            Category::Embedding => (
                self.route == EMBEDDINGS_ROUTE && output == Some(0) && limits == (false, true),
                "an embedding model is served by embeddings, priced by token, without a price of output, and has [embedding]",
            ),
            Category::Image
            | Category::Video
            | Category::Music
            | Category::Speech
            | Category::Transcription
            | Category::Tool => (
                !is_token_route && output.is_none() && limits == (false, false),
                "a model of tasks is not served by chat/completions or embeddings, is not priced by token, and has neither [chat] nor [embedding]",
            ),
        };
        if fits { Ok(()) } else { Err(rule.to_owned()) }
    }
}

// === impl ProviderRoute ===

impl ProviderRoute {
    fn serves(&self, resolved: &Map<String, Value>) -> bool {
        let is_there = |name: &String| place::value(name, resolved).is_some();
        matches(&self.when, resolved)
            && self.with.iter().all(is_there)
            && !self.without.iter().any(is_there)
    }
}

#[cfg(test)]
mod tests;
