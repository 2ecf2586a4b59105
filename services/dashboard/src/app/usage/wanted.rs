//! What a page about usage is asked for, and links that ask so.

use domain::{Catalogue, KeyId, Tag};
use http::Uri;
use proto::billing::v1::Tag as WireTag;

use crate::{
    days,
    pages::texts::{asked, one},
};

/// Days up to today that are one click away.
pub(super) const RANGES: [i64; 3] = [7, 30, 90];
/// How many are shown to who does not say.
const USUAL: i64 = 30;

/// By what usage is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By model.
    Model,
    /// By key.
    Key,
    /// By route.
    Route,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// UTC days since 1970, both included.
    pub(super) first: i64,
    pub(super) last: i64,
    /// The range, if it is one of [`RANGES`].
    pub(super) days: Option<i64>,
    pub(super) by: By,
    pub(super) only: Only,
    /// What cannot be as it was asked.
    pub(super) wrong: Option<String>,
}

/// Of which operations alone, as pages about usage and requests ask; texts as they stand in the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Only {
    /// A model's slug; empty: of all.
    pub(crate) model: String,
    /// A key's id; empty: of all.
    pub(crate) key: String,
    /// `name=value`; empty: whatever its labels are.
    pub(crate) label: String,
}

// === impl By ===

impl By {
    pub(super) const ALL: [Self; 3] = [Self::Model, Self::Key, Self::Route];

    /// The word in URLs, which is billing's as well.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Key => "key",
            Self::Route => "route",
        }
    }

    /// The name of its column.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Model => "Model",
            Self::Key => "Key",
            Self::Route => "Route",
        }
    }
}

// === impl Only ===

impl Only {
    /// Reads it. Models are known by any of their names.
    pub(crate) fn read(asked: &[(String, String)], catalogue: &Catalogue) -> Self {
        let model = one(asked, "model");
        let known = catalogue.models().iter().find(|known| known.slug == model);
        let known = known.or_else(|| catalogue.find(model));
        Self {
            model: known.map_or(model, |known| &known.slug).to_owned(),
            key: one(asked, "key").to_owned(),
            label: one(asked, "label").to_owned(),
        }
    }

    /// The key, as services take it: empty for all; `None`: what is asked for is no key.
    pub(crate) fn key_id(&self) -> Option<Vec<u8>> {
        if self.key.is_empty() {
            return Some(Vec::new());
        }
        KeyId::parse(&self.key).map(KeyId::to_vec)
    }

    /// The label, as services take it. `user` is one of its own, all other names are of `metadata`.
    pub(crate) fn tag(&self) -> Option<WireTag> {
        let (name, value) = self.label.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().to_owned());
        let tag = match (name, name.strip_prefix("metadata.")) {
            ("user", _) => Tag::user(value),
            (_, Some(name)) => Tag::metadata(name, value),
            (name, None) => Tag::metadata(name, value),
        };
        Some(WireTag {
            name: tag.name,
            value: tag.value,
        })
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        if self.key_id().is_none() {
            return Some("A key is named by its id, such as key_….");
        }
        if !self.label.is_empty() && self.tag().is_none() {
            return Some("A label is written as name=value, such as user=ann or team=red.");
        }
        None
    }

    /// As pairs of a query.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("model", self.model.as_str()),
            ("key", &self.key),
            ("label", &self.label),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

// === impl Wanted ===

impl Wanted {
    /// Reads it. A span that cannot be becomes the usual one, with word of why.
    pub(super) fn read(uri: &Uri, catalogue: &Catalogue, most: u32) -> Self {
        let asked = asked(uri);
        let today = days::today();
        let (from, to) = (one(&asked, "from"), one(&asked, "to"));
        let only = Only::read(&asked, catalogue);
        let mut wrong = only.wrong().map(str::to_owned);
        let mut range = one(&asked, "days").parse().ok();
        range = range.filter(|days| RANGES.contains(days));
        let mut span = (today - (range.unwrap_or(USUAL) - 1), today);
        if range.is_none() && !(from.is_empty() && to.is_empty()) {
            match custom(from, to, today, most) {
                Ok(own) => span = own,
                Err(told) => {
                    range = Some(USUAL);
                    wrong.get_or_insert(told);
                }
            }
        } else {
            range = range.or(Some(USUAL));
        }
        let by = one(&asked, "by");
        Self {
            first: span.0,
            last: span.1,
            days: range,
            by: By::ALL
                .into_iter()
                .find(|known| known.word() == by)
                .unwrap_or(By::Model),
            only,
            wrong,
        }
    }

    /// A link that asks for the same of another path, by something else, or of other days.
    pub(super) fn href(&self, path: &str, by: By, days: Option<i64>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        match days {
            Some(days) => {
                query.append_pair("days", &days.to_string());
            }
            None => {
                query.append_pair("from", &days::text(self.first));
                query.append_pair("to", &days::text(self.last));
            }
        }
        query.append_pair("by", by.word());
        query.extend_pairs(self.only.pairs());
        format!("{path}?{}", query.finish())
    }

    /// The first day, as the form has it.
    pub(super) fn from(&self) -> String {
        days::text(self.first)
    }

    /// The last one.
    pub(super) fn to(&self) -> String {
        days::text(self.last)
    }

    /// How many days.
    pub(super) fn length(&self) -> usize {
        usize::try_from(self.last - self.first + 1).unwrap_or(0)
    }
}

/// A span of the reader's own. An open end is today, an open beginning as early as usual.
fn custom(from: &str, to: &str, today: i64, most: u32) -> Result<(i64, i64), String> {
    let day = |text: &str, usual: i64| match text {
        "" => Ok(usual),
        text => {
            days::parse(text).ok_or_else(|| format!("A day is written as {}.", days::text(today)))
        }
    };
    let last = day(to, today)?;
    let first = day(from, last - (USUAL - 1))?;
    if !(0..i64::from(most)).contains(&(last - first)) {
        return Err(format!(
            "The first day must not be after the last one, and they may span {most} days at most."
        ));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Wanted {
        let uri: Uri = format!("/usage?{query}").parse().unwrap();
        Wanted::read(&uri, &Catalogue::built_in().unwrap(), 366)
    }

    #[test]
    fn spans_are_read() {
        let today = days::today();
        for (query, first, last, days, wrong) in [
            ("", today - 29, today, Some(30), false),
            ("days=7", today - 6, today, Some(7), false),
            ("days=8", today - 29, today, Some(30), false),
            ("days=7&from=2024-10-04", today - 6, today, Some(7), false),
            ("from=2024-10-04&to=2024-10-05", 20_000, 20_001, None, false),
            ("to=2024-10-05", 20_001 - 29, 20_001, None, false),
            (
                "from=2024-10-05&to=2024-10-04",
                today - 29,
                today,
                Some(30),
                true,
            ),
            (
                "from=2023-10-03&to=2024-10-04",
                today - 29,
                today,
                Some(30),
                true,
            ),
            (
                "from=2023-10-05&to=2024-10-04",
                20_000 - 365,
                20_000,
                None,
                false,
            ),
            ("from=yesterday", today - 29, today, Some(30), true),
        ] {
            let wanted = read(query);
            let got = (
                wanted.first,
                wanted.last,
                wanted.days,
                wanted.wrong.is_some(),
            );
            assert_eq!(got, (first, last, days, wrong), "{query}");
            assert_eq!(wanted.length(), usize::try_from(last - first + 1).unwrap());
        }
    }

    #[test]
    fn links_ask_for_the_same() {
        let query = "by=key&days=90&model=flux-2&label=user%3Da%26b";
        let wanted = read(query);
        assert_eq!((wanted.by, wanted.only.model.as_str()), (By::Key, "flux-2"));
        let href = wanted.href("/usage.csv", wanted.by, wanted.days);
        let again = read(href.split_once('?').unwrap().1);
        assert_eq!(again, wanted);
        let own = read("from=2024-10-04&to=2024-10-05");
        let href = own.href("/usage", By::Route, own.days);
        assert_eq!(href, "/usage?from=2024-10-04&to=2024-10-05&by=route");
    }

    #[test]
    fn labels_and_keys_are_read() {
        for (label, name, value) in [
            ("user=ann", "user", "ann"),
            ("team = red=1", "metadata.team", "red=1"),
            ("metadata.user=x", "metadata.user", "x"),
        ] {
            let only = Only {
                label: label.to_owned(),
                ..Only::default()
            };
            let tag = only.tag().unwrap();
            assert_eq!((tag.name.as_str(), tag.value.as_str()), (name, value));
        }
        assert!(read("label=ann").wrong.is_some());
        assert!(read("key=shop").wrong.is_some());
        let key: KeyId = chassis::mint();
        let wanted = read(&format!("key={key}"));
        assert_eq!(
            (wanted.wrong, wanted.only.key_id()),
            (None, Some(key.to_vec()))
        );
    }
}
