//! What stands behind a URL's `?`, read name by name: everything wrong with it is said at once, unknown names too. And the pages of
//! lists.

use axum::extract::Query;
use domain::{Id, Moment, Tag, ids::Kind};
use http::Uri;
use proto::{Code, Fault, Violation, code};
use serde::Serialize;

use crate::error::ApiError;

/// Rows of a page, unless the request says so, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// The names that were not read yet, and what is wrong so far.
pub(super) struct Params {
    unread: Vec<(String, String)>,
    /// Every name that was asked for.
    known: Vec<String>,
    wrong: Vec<(Code, Violation)>,
}

/// Which page of a list is asked for.
pub(super) struct Page<K: Kind> {
    /// Rows.
    pub(super) limit: u32,
    /// The last id of the page before.
    behind: Option<Id<K>>,
}

/// The wire form of a list.
#[derive(Serialize)]
pub(super) struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

// === impl Params ===

impl Params {
    /// Reads the query.
    pub(super) fn parse(uri: &Uri) -> Self {
        // Bytes that are no text are no name and no value either.
        let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
        Self {
            unread: read.map(|Query(pairs)| pairs).unwrap_or_default(),
            known: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// A value, if there is one. A name that comes twice is an error.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.known.push(name.to_owned());
        let at = self.unread.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.unread.remove(at);
        if self.unread.iter().any(|(known, _)| known == name) {
            self.unread.retain(|(known, _)| known != name);
            self.invalid(name, "be given once");
        }
        Some(value)
    }

    /// A value that `parse` understands; `allowed` completes "`name` must …".
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.take(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.invalid(name, allowed);
        }
        value
    }

    /// `limit` and `cursor`.
    pub(super) fn page<K: Kind>(&mut self) -> Page<K> {
        self.page_of(PAGE)
    }

    /// The same with other rows of a page: unless the request says so, and at most.
    pub(super) fn page_of<K: Kind>(&mut self, rows: (u32, u32)) -> Page<K> {
        Page {
            limit: self.limit_of(rows),
            behind: self.read("cursor", "be the next_cursor of the page before", Id::parse),
        }
    }

    /// `limit` alone.
    pub(super) fn limit(&mut self) -> u32 {
        self.limit_of(PAGE)
    }

    fn limit_of(&mut self, (usual, most): (u32, u32)) -> u32 {
        let allowed = format!("be a whole number from 1 to {most}");
        let limit = self.read("limit", &allowed, |text| {
            text.parse().ok().filter(|limit| (1..=most).contains(limit))
        });
        limit.unwrap_or(usual)
    }

    /// A moment in RFC 3339, as microseconds UTC.
    pub(super) fn moment(&mut self, name: &str) -> Option<i64> {
        let allowed = "be a moment in RFC 3339, such as 2030-01-31T12:00:00Z";
        self.read(name, allowed, |text| {
            Moment::parse(text).map(Moment::micros)
        })
    }

    /// One label: `user=…` or `metadata[name]=…`.
    pub(super) fn tag(&mut self) -> Option<Tag> {
        let user = self.take("user").map(Tag::user);
        self.known.push("metadata[name]".to_owned());
        let is_label = |name: &str| name.starts_with("metadata[") && name.ends_with(']');
        let (labels, unread) = std::mem::take(&mut self.unread)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| is_label(name));
        self.unread = unread;
        let labels = labels.into_iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some(Tag::metadata(name, value))
        });
        let mut tags: Vec<Tag> = user.into_iter().chain(labels).collect();
        if tags.len() > 1 {
            self.invalid(
                "metadata",
                "be left out, or be one metadata[name] without a user: one label at a time",
            );
        }
        tags.pop()
    }

    /// Notes that a value is not allowed.
    pub(super) fn invalid(&mut self, name: &str, allowed: &str) {
        self.note(
            code::INVALID_PARAMETER,
            name,
            format!("{name} must {allowed}"),
        );
    }

    /// Everything was read: what is left is unknown, and anything wrong is said now.
    pub(super) fn finish(mut self) -> Result<(), ApiError> {
        let known = self.known.join(", ");
        for (name, _) in std::mem::take(&mut self.unread) {
            let message = format!("the query takes no {name}; it takes {known}");
            self.note(code::UNKNOWN_PARAMETER, &name, message);
        }
        let Some((code, _)) = self.wrong.first() else {
            return Ok(());
        };
        let code = *code;
        let violations = self.wrong.into_iter().map(|(_, wrong)| wrong).collect();
        Err(Fault::from_violations(code, violations).into())
    }

    fn note(&mut self, code: Code, param: &str, message: String) {
        let param = param.to_owned();
        self.wrong.push((code, Violation { param, message }));
    }
}

// === impl Page ===

impl<K: Kind> Page<K> {
    /// Which page a query asks for that takes nothing else.
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Params::parse(uri);
        let page = query.page();
        query.finish()?;
        Ok(page)
    }

    /// What the page begins behind, as services are told.
    pub(super) fn behind(&self) -> bytes::Bytes {
        self.behind.map(Id::to_vec).unwrap_or_default().into()
    }

    /// The page, with what leads to the next one if this one is full.
    pub(super) fn list<T>(&self, items: Vec<T>, id: impl Fn(&T) -> &str) -> List<T> {
        let full = u32::try_from(items.len()).is_ok_and(|length| length >= self.limit);
        let last = items.last().filter(|_| full);
        let next_cursor = last.map(|item| id(item).to_owned());
        List { items, next_cursor }
    }
}

// === impl List ===

impl<T> List<T> {
    /// A list that has one page.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids;

    use super::*;

    /// What is wrong with a query that takes a page and a label.
    fn wrong(query: &str) -> Vec<String> {
        let uri: Uri = format!("/v1/operations?{query}").parse().unwrap();
        let mut params = Params::parse(&uri);
        params.page::<ids::Operation>();
        params.tag();
        let error = params.finish().err();
        let Some(error) = error else {
            return Vec::new();
        };
        let fault = error.fault();
        // One thing wrong is the fault itself.
        if fault.violations.is_empty() {
            return vec![fault.message.clone()];
        }
        let violations = fault.violations.iter();
        violations.map(|wrong| wrong.message.clone()).collect()
    }

    fn tag(query: &str) -> Option<(String, String)> {
        let uri: Uri = format!("/v1/operations?{query}").parse().unwrap();
        let tag = Params::parse(&uri).tag()?;
        Some((tag.name, tag.value))
    }

    #[test]
    fn everything_wrong_with_a_query_is_said() {
        let limit = "limit must be a whole number from 1 to 1000";
        let cursor = "cursor must be the next_cursor of the page before";
        let unknown = |name: &str| {
            format!("the query takes no {name}; it takes limit, cursor, user, metadata[name]")
        };
        for (query, expected) in [
            ("", vec![]),
            ("limit=1000&user=u", vec![]),
            ("limit=0", vec![limit.to_owned()]),
            ("limit=x&cursor=x", vec![limit.to_owned(), cursor.to_owned()]),
            ("limit=5&limit=5", vec!["limit must be given once".to_owned()]),
            ("colour=red", vec![unknown("colour")]),
            ("metadata=red", vec![unknown("metadata")]),
            (
                "user=u&metadata[a]=b",
                vec!["metadata must be left out, or be one metadata[name] without a user: one label at a time".to_owned()],
            ),
        ] {
            assert_eq!(wrong(query), expected, "{query}");
        }
    }

    #[test]
    fn a_label_is_read() {
        let is = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(tag("limit=1"), None);
        assert_eq!(tag("user=a%20b"), is("user", "a b"));
        assert_eq!(tag("metadata%5Bteam%5D=red"), is("metadata.team", "red"));
        assert_eq!(tag("metadata[a.b]="), is("metadata.a.b", ""));
    }
}
