//! A model in words, for templates: what it takes, what it costs, how it behaves. Every word comes from its file.

use domain::{
    Micros, Moment,
    catalogue::{Cancel, Category, Model, Param, ParamType, Status},
};
use serde_json::Value;

use crate::{
    prices::{PriceRow, PriceTable},
    rules,
};

/// Categories in the order of the pages: word in URLs, name, what they are for.
pub(crate) const CATEGORIES: [(Category, &str, &str); 8] = [
    (Category::Chat, "chat", "Chat"),
    (Category::Image, "image", "Images"),
    (Category::Video, "video", "Video"),
    (Category::Music, "music", "Music"),
    (Category::Speech, "speech", "Speech"),
    (Category::Transcription, "transcription", "Transcripts"),
    (Category::Tool, "tool", "Tools"),
    (Category::Embedding, "embedding", "Embeddings"),
];

/// Makers whose names are not their words with a capital: of files that are built in.
const MAKERS: [(&str, &str); 9] = [
    ("black-forest-labs", "Black Forest Labs"),
    ("bytedance", "ByteDance"),
    ("elevenlabs", "ElevenLabs"),
    ("minimax", "MiniMax"),
    ("openai", "OpenAI"),
    ("pixverse", "PixVerse"),
    ("piapi", "PiAPI"),
    ("xai", "xAI"),
    ("deepseek", "DeepSeek"),
];

/// A model at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'m> {
    model: &'m Model,
    at: Moment,
}

/// A parameter, or a field of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamRow {
    pub(crate) name: String,
    /// What it holds.
    pub(crate) kind: String,
    /// How much of it, or which words.
    pub(crate) limits: String,
    /// What an absent one means; empty: nothing.
    pub(crate) default: String,
    pub(crate) required: bool,
    /// What else is to be known.
    pub(crate) note: String,
}

/// The category's word in URLs, and its name.
pub(crate) fn category(of: Category) -> (&'static str, &'static str) {
    let mut all = CATEGORIES.iter();
    let found = all.find(|(category, ..)| *category == of);
    found.map_or(("", ""), |(_, word, name)| (word, name))
}

/// Credits, exact, with their noun.
pub(crate) fn credits(amount: Micros) -> String {
    let noun = if amount == Micros::from_credits(1) {
        "credit"
    } else {
        "credits"
    };
    format!("{amount} {noun}")
}

/// A word without quotation marks, and anything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Seconds in the largest units that are whole.
fn duration(seconds: u32) -> String {
    let plural = |count: u32, unit: &str| {
        let end = if count == 1 { "" } else { "s" };
        format!("{count} {unit}{end}")
    };
    for (length, unit) in [(3600, "hour"), (60, "minute")] {
        if let (Some(count), Some(0)) = (seconds.checked_div(length), seconds.checked_rem(length))
            && count > 0
        {
            return plural(count, unit);
        }
    }
    plural(seconds, "second")
}

// === impl View ===

impl<'m> View<'m> {
    /// A model at a moment.
    pub(crate) const fn new(model: &'m Model, at: Moment) -> Self {
        Self { model, at }
    }

    pub(crate) fn slug(&self) -> &'m str {
        &self.model.slug
    }

    pub(crate) fn name(&self) -> &'m str {
        &self.model.name
    }

    /// Who made it, as they write themselves.
    pub(crate) fn maker(&self) -> String {
        let word = &self.model.owned_by;
        let known = MAKERS.iter().find(|(maker, _)| maker == word);
        if let Some((_, name)) = known {
            return (*name).to_owned();
        }
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    }

    pub(crate) fn route(&self) -> &'m str {
        &self.model.route
    }

    pub(crate) fn href(&self) -> String {
        format!("/models/{}", self.model.slug)
    }

    pub(crate) fn aliases(&self) -> String {
        self.model.aliases.join(", ")
    }

    /// The word of its category in URLs.
    pub(crate) fn category(&self) -> &'static str {
        category(self.model.category).0
    }

    /// The name of its category.
    pub(crate) fn category_name(&self) -> &'static str {
        category(self.model.category).1
    }

    /// Whether it is answered at once, and not by a task.
    pub(crate) fn is_at_once(&self) -> bool {
        matches!(self.model.category, Category::Chat | Category::Embedding)
    }

    /// Who serves it, once it is succeeded.
    pub(crate) fn successor(&self) -> Option<&'m str> {
        self.model.successor.as_deref()
    }

    pub(crate) fn notice(&self) -> Option<&'m str> {
        self.model.notice.as_deref()
    }

    pub(crate) const fn status(&self) -> &'static str {
        match self.model.status {
            Status::Live => "live",
            Status::Succeeded => "succeeded",
        }
    }

    pub(crate) fn deadline(&self) -> String {
        duration(self.model.deadline_seconds)
    }

    pub(crate) const fn webhook(&self) -> bool {
        self.model.webhook
    }

    /// How far a task can be cancelled, in one or a few words.
    pub(crate) const fn cancel(&self) -> &'static str {
        match self.model.cancel {
            Cancel::Never => "no",
            Cancel::Queued => "until a provider has it",
            Cancel::Running => "until it is done, where the provider can stop it",
        }
    }

    /// Limits of chat and embeddings: name and value.
    pub(crate) fn limits(&self) -> Vec<(&'static str, String)> {
        let mut limits = Vec::new();
        if let Some(chat) = self.model.chat {
            let tokens = |count: u64| format!("{count} tokens");
            limits.push((
                "Output unless asked for less or more",
                tokens(chat.default_output_bound),
            ));
            limits.push(("Most output", tokens(chat.max_output)));
            limits.push(("A picture or sound counts at most", tokens(chat.media_part)));
        }
        if let Some(embedding) = self.model.embedding {
            limits.push(("Inputs of one request", embedding.max_inputs.to_string()));
        }
        limits
    }

    /// What customers may send, fields of lists behind their list.
    pub(crate) fn params(&self) -> Vec<ParamRow> {
        rows("", &self.model.params)
    }

    /// What parameters demand of one another.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.model.rules.iter().flat_map(rules::sentences).collect()
    }

    /// The least that a unit costs, and what the unit is: `from 4 credits per image`.
    pub(crate) fn from(&self) -> String {
        self.price_table()
            .map_or_else(String::new, |table| table.from())
    }

    /// The rows of the price in force.
    pub(crate) fn prices(&self) -> Vec<PriceRow> {
        self.price_table()
            .map_or_else(Vec::new, |table| table.rows())
    }

    /// What is counted.
    pub(crate) fn unit(&self) -> String {
        self.price_table()
            .map_or_else(String::new, |table| table.unit())
    }

    /// What else becomes of the sum.
    pub(crate) fn price_notes(&self) -> Vec<String> {
        self.price_table()
            .map_or_else(Vec::new, |table| table.notes())
    }

    /// Prices that are announced: from when on, and their rows.
    pub(crate) fn next_prices(&self) -> Vec<(String, Vec<PriceRow>)> {
        let later = self.model.prices().filter_map(|price| {
            let from = price.effective_from.filter(|from| *from > self.at)?;
            Some((from.to_string(), PriceTable::new(price).rows()))
        });
        later.collect()
    }

    fn price_table(&self) -> Option<PriceTable<'m>> {
        self.model.price_at(self.at).map(PriceTable::new)
    }

    /// Whether it is meant by such a search: each word is in one of its names, in its maker's or in its category's.
    pub(crate) fn is_found_by(&self, search: &str) -> bool {
        let own = self.model.names().chain([
            self.model.name.as_str(),
            self.model.owned_by.as_str(),
            self.category_name(),
            self.route(),
        ]);
        let mut text = own.collect::<Vec<_>>().join("\n");
        text.push('\n');
        text.push_str(&self.maker());
        let text = text.to_lowercase();
        let search = search.to_lowercase();
        search.split_whitespace().all(|word| text.contains(word))
    }
}

/// Parameters that stand below `above`.
fn rows(above: &str, params: &[Param]) -> Vec<ParamRow> {
    let mut all = Vec::new();
    for param in params.iter().filter(|param| !param.ours) {
        let name = format!("{above}{}", param.name);
        let (kind, limits) = words(param);
        all.push(ParamRow {
            kind,
            limits,
            default: param.default.as_ref().map(plain).unwrap_or_default(),
            required: param.required,
            note: note(param),
            name: name.clone(),
        });
        if let ParamType::Items { fields, .. } = &param.of {
            all.extend(rows(&format!("{name}[]."), fields));
        }
    }
    all
}

/// What a parameter holds, and how much of it.
fn words(param: &Param) -> (String, String) {
    let medium = param.kind.map_or("a file", |kind| kind.name());
    let (kind, limits) = match &param.of {
        ParamType::Text { min, max } => ("text", format!("{min} to {max} characters")),
        ParamType::Choice { values, .. } => ("one of", values.join(", ")),
        ParamType::Integer { min, max } => ("integer", format!("{min} to {max}")),
        ParamType::Number { min, max } => ("number", format!("{min} to {max}")),
        ParamType::Boolean => ("boolean", "true, false".to_owned()),
        ParamType::Url => ("URL or file id", format!("of {medium}")),
        ParamType::Urls { min, max } => (
            "list of URLs or file ids",
            format!("{min} to {max}, each of {medium}"),
        ),
        ParamType::Task(earlier) => {
            let models: Vec<String> = earlier.models().map(str::to_owned).collect();
            ("id of an earlier task", format!("of {}", either(&models)))
        }
        ParamType::Sound {
            min_seconds,
            max_seconds,
        } => (
            "URL or file id",
            format!("of {medium}, {min_seconds} to {max_seconds} seconds"),
        ),
        ParamType::Items { min, max, .. } => ("list of objects", format!("{min} to {max}")),
    };
    (kind.to_owned(), limits)
}

/// Other spellings.
fn note(param: &Param) -> String {
    if param.aliases.is_empty() {
        return String::new();
    }
    format!("also taken as {}", either(&param.aliases))
}
