//! What the forms about endpoints say, as it was typed, and what it means.

use std::time::Duration;

use chassis::{clock::micros, config::duration};
use domain::EventType;
use http::StatusCode;
use proto::webhooks::v1::{
    CreateEndpointRequest, EventTypes, Header, Headers, UpdateEndpointRequest,
};
use serde::Deserialize;

use super::Endpoint;
use crate::refused::{Refusal, Refused};

/// Characters of the longest URL.
const MAX_URL_CHARS: usize = 2_048;
/// Characters of the longest description.
const MAX_DESCRIPTION_CHARS: usize = 500;
/// How events are signed: word and name.
pub(super) const SIGNATURES: [(&str, &str); 3] = [
    ("v1", "HMAC-SHA256 (v1)"),
    ("v1a", "Ed25519 (v1a)"),
    ("both", "both"),
];
/// How long what signed before may sign as well: word and name.
const OVERLAPS: [(&str, &str); 4] = [
    ("24h", "for 24 hours"),
    ("1h", "for an hour"),
    ("7d", "for 7 days"),
    ("0s", "not at all: it leaked"),
];

/// What the form of an endpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) url: String,
    pub(super) description: String,
    /// The types that are ticked; none: all.
    pub(super) events: Vec<String>,
    /// A line for each: `name: value`.
    pub(super) headers: String,
    /// Whether those take the place of what there is.
    pub(super) replaces_headers: bool,
    pub(super) per_second: String,
    pub(super) signature: String,
}

/// What the form of a rotation says.
#[derive(Debug, Deserialize)]
pub(super) struct Overlap {
    #[serde(default)]
    overlap: String,
}

// === impl Overlap ===

impl Overlap {
    /// What can be chosen, the usual first: word and name.
    pub(super) const fn choices() -> [(&'static str, &'static str); 4] {
        OVERLAPS
    }

    /// In milliseconds.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn millis(&self) -> Result<u64, Refused> {
        let overlap: Option<Duration> = duration::parse(&self.overlap);
        let told = "Say how long the old secret signs as well: such as 24h, or 0s for not at all.";
        let overlap = overlap.ok_or_else(|| wrong("overlap", told))?;
        Ok(u64::try_from(micros(overlap) / 1_000).unwrap_or_default())
    }
}

// === impl Typed ===

impl Typed {
    /// An empty form.
    pub(super) fn new() -> Self {
        Self::read(vec![])
    }

    /// What was typed.
    pub(super) fn read(fields: Vec<(String, String)>) -> Self {
        let mut typed = Self {
            url: String::new(),
            description: String::new(),
            events: Vec::new(),
            headers: String::new(),
            replaces_headers: false,
            per_second: String::new(),
            signature: "v1".to_owned(),
        };
        for (name, value) in fields {
            match name.as_str() {
                "url" => value.trim().clone_into(&mut typed.url),
                "description" => value.trim().clone_into(&mut typed.description),
                "event" if EventType::parse(&value).is_some() => typed.events.push(value),
                "headers" => typed.headers = value,
                "replace_headers" => typed.replaces_headers = true,
                "per_second" => value.trim().clone_into(&mut typed.per_second),
                "signature" => typed.signature = value,
                _ => {}
            }
        }
        typed
    }

    /// The form of an endpoint that there is. The values of its headers are not told.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        Self {
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            events: endpoint.events.clone(),
            headers: String::new(),
            replaces_headers: false,
            per_second: match endpoint.per_second {
                0 => String::new(),
                rate => rate.to_string(),
            },
            signature: endpoint.signature.clone(),
        }
    }

    /// Whether a type is ticked.
    pub(super) fn is_told(&self, kind: &str) -> bool {
        self.events.iter().any(|told| told == kind)
    }

    /// What registers it, but for who asks.
    ///
    /// # Errors
    /// When something cannot be meant. What is not allowed, webhooks says.
    pub(super) fn create(&self) -> Result<CreateEndpointRequest, Refused> {
        self.check()?;
        Ok(CreateEndpointRequest {
            context: None,
            url: self.url.clone(),
            events: self.events.clone(),
            headers: self.pairs()?,
            per_second: self.rate()?,
            description: self.description.clone(),
            signature: self.signature.clone(),
        })
    }

    /// What changes one, but for who asks and which.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(super) fn change(&self, endpoint: &Endpoint) -> Result<UpdateEndpointRequest, Refused> {
        self.check()?;
        let headers = self.pairs()?;
        let changed = |new: &String, old: &String| (new != old).then(|| new.clone());
        Ok(UpdateEndpointRequest {
            url: changed(&self.url, &endpoint.url),
            events: Some(EventTypes {
                types: self.events.clone(),
            }),
            headers: self.replaces_headers.then_some(Headers { headers }),
            per_second: Some(self.rate()?),
            description: Some(self.description.clone()),
            // Said again, it would make another key.
            signature: changed(&self.signature, &endpoint.signature),
            ..UpdateEndpointRequest::default()
        })
    }

    fn check(&self) -> Result<(), Refused> {
        let is_long = |text: &str, most| text.chars().nth(most).is_some();
        if self.url.is_empty() || is_long(&self.url, MAX_URL_CHARS) {
            let told = format!("A URL has 1 to {MAX_URL_CHARS} characters.");
            return Err(wrong("url", told));
        }
        if is_long(&self.description, MAX_DESCRIPTION_CHARS) {
            let told = format!("A description has at most {MAX_DESCRIPTION_CHARS} characters.");
            return Err(wrong("description", told));
        }
        Ok(())
    }

    /// 0: as many as come.
    fn rate(&self) -> Result<u32, Refused> {
        let told = "Requests a second are a whole number from 1 on, or nothing: as many as come.";
        match self.per_second.as_str() {
            "" => Ok(0),
            text => match text.parse() {
                Ok(rate) if rate > 0 => Ok(rate),
                Ok(_) | Err(_) => Err(wrong("per_second", told)),
            },
        }
    }

    fn pairs(&self) -> Result<Vec<Header>, Refused> {
        let lines = self.headers.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty());
        let pairs = lines.map(|line| {
            let told = "Write a header in each line, as a name, a colon and a value.";
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("headers", told))?;
            Ok(Header {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
            })
        });
        pairs.collect()
    }
}

/// Whether a field is what is wrong: for templates.
pub(super) fn is_wrong(wrong: &Option<&Refusal>, field: &str) -> bool {
    wrong.is_some_and(|wrong| {
        wrong.param.as_deref() == Some(field)
            || wrong.violations.iter().any(|one| one.param == field)
    })
}

fn wrong(field: &str, told: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, told).of(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::Time;

    fn typed(fields: &[(&str, &str)]) -> Typed {
        let fields = fields.iter();
        let owned = fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Typed::read(owned.collect())
    }

    fn field<T: std::fmt::Debug>(refused: Result<T, Refused>) -> String {
        let refusal = refused.unwrap_err().told().unwrap();
        refusal.param.unwrap_or_default()
    }

    #[test]
    fn a_form_says_what_registers_an_endpoint() {
        let form = typed(&[
            ("url", " https://example.com/hooks "),
            ("event", "task.failed"),
            ("event", "task.invented"),
            ("event", "balance.low"),
            (
                "headers",
                "X-Tenant: seven\r\n\r\nauthorization:Bearer a:b\n",
            ),
            ("per_second", "5"),
            ("signature", "both"),
        ]);
        let request = form.create().unwrap();
        assert_eq!(request.url, "https://example.com/hooks");
        assert_eq!(request.events, ["task.failed", "balance.low"]);
        let headers = request.headers.iter();
        let headers: Vec<_> = headers
            .map(|header| (header.name.as_str(), header.value.as_str()))
            .collect();
        assert_eq!(
            headers,
            [("X-Tenant", "seven"), ("authorization", "Bearer a:b")]
        );
        assert_eq!(
            (request.per_second, request.signature.as_str()),
            (5, "both")
        );
    }

    #[test]
    fn what_is_wrong_is_said_of_its_field() {
        let url = ("url", "https://example.com");
        let long = "x".repeat(501);
        for (field_name, fields) in [
            ("url", vec![("url", "  ")]),
            ("description", vec![url, ("description", long.as_str())]),
            ("per_second", vec![url, ("per_second", "0")]),
            ("per_second", vec![url, ("per_second", "many")]),
            ("headers", vec![url, ("headers", "no colon")]),
        ] {
            assert_eq!(field(typed(&fields).create()), field_name);
        }
    }

    #[test]
    fn a_change_says_nothing_again_that_would_make_another_key() {
        let endpoint = Endpoint {
            id: String::new(),
            url: "https://example.com".to_owned(),
            events: vec!["task.failed".to_owned()],
            header_names: vec!["x-tenant".to_owned()],
            per_second: 7,
            description: "the books".to_owned(),
            signature: "both".to_owned(),
            public_key: String::new(),
            disabled: None,
            old_until: None,
            created: Time::of(0),
        };
        let same = Typed::of(&endpoint).change(&endpoint).unwrap();
        assert_eq!((same.url, same.signature, same.headers), (None, None, None));
        assert_eq!((same.per_second, same.disabled), (Some(7), None));
        let bare = typed(&[("url", "https://example.com"), ("replace_headers", "on")]);
        let bare = bare.change(&endpoint).unwrap();
        assert_eq!(bare.headers, Some(Headers::default()));
        assert_eq!(bare.events, Some(EventTypes::default()));
        assert_eq!(
            (bare.per_second, bare.description.as_deref()),
            (Some(0), Some(""))
        );
        assert_eq!(bare.signature.as_deref(), Some("v1"));
    }

    #[test]
    fn an_overlap_is_a_duration() {
        let millis = |word: &str| {
            let overlap = word.to_owned();
            Overlap { overlap }.millis()
        };
        for (word, _) in OVERLAPS {
            millis(word).unwrap();
        }
        assert_eq!(millis("1h").unwrap(), 3_600_000);
        assert_eq!(millis("0s").unwrap(), 0);
        assert_eq!(field(millis("soon")), "overlap");
    }
}
