//! The form of a key: what was typed, what billing is told of it, and what was wrong, beside its field.

use std::collections::BTreeMap;

use chassis::clock;
use domain::{Catalogue, Micros, Moment, Scope, catalogue::Category};
use form_urlencoded::parse;
use http::StatusCode;
use proto::{
    Violation,
    billing::v1::{CapChange, Caps, CreateKeyRequest, Key, UpdateKeyRequest, WordList},
};

use crate::{
    Site,
    refused::{Refusal, Refused},
    view::CATEGORIES,
};

/// How long an old secret may go on working: milliseconds, and in words.
pub(crate) const OVERLAPS: [(&str, &str); 5] = [
    ("86400000", "for a day"),
    ("3600000", "for an hour"),
    ("604800000", "for a week"),
    ("2592000000", "for 30 days"),
    ("0", "not at all: it stops now"),
];

/// What somebody may be given here: billing refuses what they have not themselves.
const SCOPES: [(Scope, &str); 3] = [
    (Scope::Inference, "use models, which costs credit"),
    (Scope::Read, "look at balance, usage and tasks"),
    (Scope::Manage, "make keys, order credit, set up webhooks"),
];

/// Fields that hold a count: name, what it counts, what an empty one means.
const COUNTS: [(&str, &str, &str); 3] = [
    ("rpm", "Requests a minute", "as many as usual here"),
    ("concurrency", "Requests at once", "as many as usual here"),
    ("max_open_tasks", "Open tasks", "no limit but the account's"),
];

/// Fields that hold a cap: name, and in what time.
const CAPS: [(&str, &str); 3] = [
    ("caps.day", "A day"),
    ("caps.month", "A month"),
    ("caps.total", "In all"),
];

/// What was typed, by the names of the API's own fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(BTreeMap<String, Vec<String>>);

/// The form, for its template.
#[derive(Debug)]
pub(crate) struct Form<'s> {
    catalogue: &'s Catalogue,
    fields: Fields,
    wrong: Option<Refusal>,
}

/// A field of one line.
#[derive(Debug)]
pub(crate) struct Line<'f> {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// What an empty one means.
    pub(crate) empty: &'static str,
    pub(crate) value: &'f str,
    pub(crate) wrong: Option<&'f str>,
}

/// A box to tick: value, what it says, whether it is ticked.
type Tick<'f> = (&'f str, &'f str, bool);

/// What is wrong with a form so far.
#[derive(Debug, Default)]
struct Wrong(Vec<Violation>);

// === impl Fields ===

impl Fields {
    /// Reads what a browser sent.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in parse(body) {
            let values = fields.entry(name.into_owned()).or_default();
            values.push(value.trim().to_owned());
        }
        Self(fields)
    }

    /// What a key's form shows before anything is typed.
    pub(crate) fn of(key: &Key) -> Self {
        let mut fields = Self::default();
        let count = |count: u32| (count > 0).then(|| count.to_string());
        let caps = key.budget.as_ref().and_then(|budget| budget.caps);
        let caps = caps.unwrap_or_default();
        let cap = |cap: Option<i64>| cap.map(|cap| Micros::new(cap).to_string());
        for (name, value) in [
            ("name", Some(key.name.clone())),
            ("rpm", count(key.rpm)),
            ("concurrency", count(key.concurrency)),
            ("max_open_tasks", count(key.max_open_tasks)),
            ("caps.day", cap(caps.day)),
            ("caps.month", cap(caps.month)),
            ("caps.total", cap(caps.total)),
            ("ip_allow", Some(key.ip_allow.join("\n"))),
            ("expires_at", date(key.expires_at)),
        ] {
            fields.put(name, value.into_iter());
        }
        fields.put("models", key.models.iter().cloned());
        fields.put("scopes", key.scopes.iter().cloned());
        fields
    }

    fn put(&mut self, name: &str, values: impl Iterator<Item = String>) {
        self.0.insert(name.to_owned(), values.collect());
    }

    /// The first value of a field; empty: it was not sent.
    fn text(&self, name: &str) -> &str {
        self.all(name).first().map_or("", String::as_str)
    }

    fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// How long the old secret is to go on working, in milliseconds. What is not understood is a day: nobody's program stops for it.
    pub(crate) fn overlap(&self) -> u64 {
        self.text("overlap").parse().unwrap_or(86_400_000)
    }

    /// A new key; whose it is, is filled in later.
    ///
    /// # Errors
    /// Everything that cannot be read.
    pub(crate) fn create(&self, site: &Site) -> Result<CreateKeyRequest, Refused> {
        let mut wrong = Wrong::default();
        let request = CreateKeyRequest {
            name: self.text("name").to_owned(),
            scopes: self.all("scopes").to_vec(),
            models: self.models(&site.catalogue, &[], &mut wrong),
            rpm: self.count("rpm", &mut wrong),
            concurrency: self.count("concurrency", &mut wrong),
            max_open_tasks: self.count("max_open_tasks", &mut wrong),
            ip_allow: self.addresses(),
            expires_at: self.expires_at(0, &mut wrong),
            caps: Some(Caps {
                day: self.cap("caps.day", &mut wrong),
                month: self.cap("caps.month", &mut wrong),
                total: self.cap("caps.total", &mut wrong),
            }),
            ..CreateKeyRequest::default()
        };
        wrong.none()?;
        Ok(request)
    }

    /// What becomes of a key: everything that the form says, but for its scopes, which stay.
    ///
    /// # Errors
    /// Everything that cannot be read.
    pub(crate) fn update(&self, site: &Site, key: &Key) -> Result<UpdateKeyRequest, Refused> {
        let mut wrong = Wrong::default();
        let words = |words| Some(WordList { words });
        let expires_at = self.expires_at(key.expires_at, &mut wrong);
        let mut cap = |name| {
            Some(CapChange {
                amount: self.cap(name, &mut wrong),
            })
        };
        let (cap_day, cap_month, cap_total) =
            (cap("caps.day"), cap("caps.month"), cap("caps.total"));
        let request = UpdateKeyRequest {
            context: None,
            key_id: key.key_id.clone(),
            name: Some(self.text("name").to_owned()),
            models: words(self.models(&site.catalogue, &key.models, &mut wrong)),
            ip_allow: words(self.addresses()),
            rpm: Some(self.count("rpm", &mut wrong)),
            concurrency: Some(self.count("concurrency", &mut wrong)),
            max_open_tasks: Some(self.count("max_open_tasks", &mut wrong)),
            // One that has passed may stay: it is not set anew.
            expires_at: (expires_at != key.expires_at).then_some(expires_at),
            cap_day,
            cap_month,
            cap_total,
            by: None,
        };
        wrong.none()?;
        Ok(request)
    }

    /// Models that are ticked. What the key has already stays, even if the model is gone: a list without it may be empty, which allows all.
    fn models(&self, catalogue: &Catalogue, had: &[String], wrong: &mut Wrong) -> Vec<String> {
        let models = self.all("models").to_vec();
        let is_known = |model: &String| had.contains(model) || catalogue.find(model).is_some();
        if let Some(unknown) = models.iter().find(|model| !is_known(model)) {
            wrong.add("models", format!("There is no model {unknown:?}."));
        }
        models
    }

    fn addresses(&self) -> Vec<String> {
        let text = self.text("ip_allow");
        let words = text.split([' ', ',', '\n', '\r', '\t']);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// A count; 0: none was typed.
    fn count(&self, name: &str, wrong: &mut Wrong) -> u32 {
        let text = self.text(name);
        if text.is_empty() {
            return 0;
        }
        text.parse().unwrap_or_else(|_| {
            wrong.add(name, "Write a whole number, or nothing.".to_owned());
            0
        })
    }

    /// Micro-credits of a cap, if one was typed.
    fn cap(&self, name: &str, wrong: &mut Wrong) -> Option<i64> {
        let text = self.text(name).replace(',', "");
        if text.is_empty() {
            return None;
        }
        let amount = Micros::parse_credits(&text).ok().map(Micros::get);
        if amount.is_none() {
            let told = "Write credits with six decimals at most, such as 12.5, or nothing.";
            wrong.add(name, told.to_owned());
        }
        amount
    }

    /// The end of the day that was typed, in microseconds UTC; 0: none was. The day of `before` is that very moment.
    fn expires_at(&self, before: i64, wrong: &mut Wrong) -> i64 {
        let text = self.text("expires_at");
        if text.is_empty() {
            return 0;
        }
        if date(before).as_deref() == Some(text) {
            return before;
        }
        match Moment::parse(&format!("{text}T23:59:59Z")) {
            Some(moment) => moment.micros(),
            None => {
                wrong.add("expires_at", "Write a day as 2027-01-31.".to_owned());
                0
            }
        }
    }

    /// A command that the key may give, with the key in it.
    pub(crate) fn curl(&self, site: &Site, key: &str) -> String {
        let base = site.base_url();
        let (scopes, models) = (self.all("scopes"), self.all("models"));
        let may =
            |scope: Scope| scopes.is_empty() || scopes.iter().any(|word| word == scope.as_str());
        let chat = example(&site.catalogue, models);
        let auth = format!("-H \"Authorization: Bearer {key}\"");
        match chat.filter(|_| may(Scope::Inference)) {
            Some(model) => format!(
                "curl {base}/chat/completions \\\n  {auth} \\\n  -H \"Content-Type: application/json\" \\\n  \
                 -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
            ),
            None if may(Scope::Read) => format!("curl {base}/credits \\\n  {auth}"),
            None => format!("curl {base}/models \\\n  {auth}"),
        }
    }
}

/// The chat model of examples, of those that are allowed: that of the docs, where it is one of them. No list allows all.
pub(super) fn example<'c>(catalogue: &'c Catalogue, allowed: &[String]) -> Option<&'c str> {
    let all = catalogue.models().iter();
    let mut chats = all
        .filter(|model| model.category == Category::Chat)
        .map(|model| model.slug.as_str())
        .filter(|slug| allowed.is_empty() || allowed.iter().any(|one| one == slug));
    chats
        .clone()
        .find(|slug| *slug == "gemini")
        .or_else(|| chats.next())
}

/// The day of a moment, as browsers write it; of 0, none.
fn date(micros: i64) -> Option<String> {
    let text = (micros != 0).then(|| clock::rfc3339(micros))?;
    text.get(..10).map(str::to_owned)
}

// === impl Form ===

impl<'s> Form<'s> {
    /// A form with these fields filled in.
    pub(crate) fn new(site: &'s Site, fields: Fields) -> Self {
        Self {
            catalogue: &site.catalogue,
            fields,
            wrong: None,
        }
    }

    /// The same with what was wrong.
    pub(crate) fn with(self, wrong: Refusal) -> Self {
        Self {
            wrong: Some(wrong),
            ..self
        }
    }

    /// What was wrong and belongs to no field that is shown.
    pub(crate) fn wrong(&self) -> Option<&str> {
        let wrong = self.wrong.as_ref()?;
        let shown = ["name", "scopes", "models", "ip_allow", "expires_at"];
        let is_shown = |param: &str| {
            shown.contains(&param)
                || COUNTS.iter().any(|(name, ..)| *name == param)
                || CAPS.iter().any(|(name, _)| *name == param)
        };
        let beside = wrong.param.as_deref().is_some_and(is_shown)
            || wrong.violations.iter().any(|one| is_shown(&one.param));
        Some(if beside {
            "Nothing is done yet: see below what is wrong."
        } else {
            wrong.message.as_str()
        })
    }

    /// What was wrong with a field.
    pub(crate) fn at(&self, name: &str) -> Option<&str> {
        let wrong = self.wrong.as_ref()?;
        if wrong.param.as_deref() == Some(name) {
            return Some(&wrong.message);
        }
        let mut all = wrong.violations.iter();
        all.find(|one| one.param == name)
            .map(|one| one.message.as_str())
    }

    /// What was typed.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.text(name)
    }

    /// What the key may do. A new one may use models and look.
    pub(crate) fn scopes(&self) -> Vec<Tick<'_>> {
        let chosen = self.fields.all("scopes");
        let is_chosen = |scope: Scope| match chosen {
            [] => scope != Scope::Manage,
            chosen => chosen.iter().any(|word| word == scope.as_str()),
        };
        SCOPES
            .iter()
            .map(|(scope, told)| (scope.as_str(), *told, is_chosen(*scope)))
            .collect()
    }

    /// Models by category, and what else is chosen: other names, models within one, models that are gone. What had no box would be lost.
    pub(crate) fn models(&self) -> Vec<(&'static str, Vec<Tick<'_>>)> {
        let chosen = self.fields.all("models");
        let of = |category: Category| {
            let models = self.catalogue.models().iter();
            models
                .filter(|model| model.category == category)
                .map(|model| {
                    let slug = model.slug.as_str();
                    (slug, model.name.as_str(), chosen.contains(&model.slug))
                })
                .collect::<Vec<_>>()
        };
        let mut groups: Vec<(&'static str, Vec<Tick<'_>>)> = CATEGORIES
            .iter()
            .map(|(category, _, name)| (*name, of(*category)))
            .collect();
        let has_box = |entry: &str| {
            let mut boxes = groups.iter().flat_map(|(_, models)| models);
            boxes.any(|(slug, ..)| *slug == entry)
        };
        let rest = chosen.iter().filter(|entry| !has_box(entry));
        let rest = rest.map(|one| (one.as_str(), one.as_str(), true)).collect();
        groups.push(("Also chosen", rest));
        groups.retain(|(_, models)| !models.is_empty());
        groups
    }

    /// How many models are chosen; 0: all may be used.
    pub(crate) fn chosen(&self) -> usize {
        self.fields.all("models").len()
    }

    /// The caps.
    pub(crate) fn caps(&self) -> Vec<Line<'_>> {
        CAPS.iter()
            .map(|(name, label)| self.line(name, label, "no cap"))
            .collect()
    }

    /// The other numbers.
    pub(crate) fn counts(&self) -> Vec<Line<'_>> {
        COUNTS
            .iter()
            .map(|(name, label, empty)| self.line(name, label, empty))
            .collect()
    }

    fn line(&self, name: &'static str, label: &'static str, empty: &'static str) -> Line<'_> {
        Line {
            name,
            label,
            empty,
            value: self.fields.text(name),
            wrong: self.at(name),
        }
    }
}

// === impl Wrong ===

impl Wrong {
    fn add(&mut self, param: &str, message: String) {
        self.0.push(Violation {
            param: param.to_owned(),
            message,
        });
    }

    fn none(self) -> Result<(), Refused> {
        if self.0.is_empty() {
            return Ok(());
        }
        let told = "The form cannot be read.";
        Err(Refused::new(StatusCode::BAD_REQUEST, told).all(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_the_api_reads_its_fields() {
        let body = b"name=+server+&scopes=read&scopes=manage&caps.day=1%2C000.5&rpm=60&ip_allow=10.0.0.1%0D%0A10.0.0.0%2F8\
                     &expires_at=2027-01-31";
        let fields = Fields::parse(body);
        let mut wrong = Wrong::default();
        assert_eq!(fields.text("name"), "server");
        assert_eq!(fields.all("scopes"), ["read", "manage"]);
        assert_eq!(fields.cap("caps.day", &mut wrong), Some(1_000_500_000));
        assert_eq!(fields.cap("caps.month", &mut wrong), None);
        assert_eq!(fields.count("rpm", &mut wrong), 60);
        assert_eq!(fields.addresses(), ["10.0.0.1", "10.0.0.0/8"]);
        let end = fields.expires_at(0, &mut wrong);
        assert_eq!(clock::rfc3339(end).get(..19), Some("2027-01-31T23:59:59"));
        // The day of a moment that is set already is that moment.
        assert_eq!(
            fields.expires_at(end - 5_000_000, &mut wrong),
            end - 5_000_000
        );
        assert!(wrong.0.is_empty());
    }

    #[test]
    fn everything_that_cannot_be_read_is_told_at_once() {
        let fields = Fields::parse(b"rpm=many&caps.total=1.0000001&expires_at=tomorrow");
        let mut wrong = Wrong::default();
        fields.count("rpm", &mut wrong);
        fields.cap("caps.total", &mut wrong);
        fields.expires_at(0, &mut wrong);
        let params: Vec<_> = wrong.0.iter().map(|one| one.param.as_str()).collect();
        assert_eq!(params, ["rpm", "caps.total", "expires_at"]);
    }

    #[test]
    fn what_a_list_holds_besides_slugs_is_not_lost() {
        let catalogue = &Catalogue::built_in().unwrap();
        let models = ["gemini", "gemini-3-flash", "imagen4-ultra", "gone"].map(str::to_owned);
        let (mut fields, mut wrong) = (Fields::default(), Wrong::default());
        fields.put("models", models.iter().cloned());
        assert_eq!(fields.models(catalogue, &models, &mut wrong), models);
        assert!(wrong.0.is_empty());
        // No other key is given what there is not.
        fields.models(catalogue, &[], &mut wrong);
        assert_eq!(wrong.0.len(), 1);
        let form = Form {
            catalogue,
            fields,
            wrong: None,
        };
        let ticks = form.models().into_iter().flat_map(|(_, models)| models);
        let ticked = ticks.filter(|tick| tick.2).map(|tick| tick.0);
        assert_eq!(ticked.collect::<Vec<_>>(), models);
    }
}
