//! What a reader of the pages finds on them: where links lead, which forms there are, and by which ids things are known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, ensure};
use testkit::{Browser, Routes, links};

/// Pages of one route that are looked at.
const MOST: usize = 4;
/// What ids begin with, and the characters behind that and `_`.
const KINDS: [&str; 12] = [
    "acct", "key", "task", "op", "hold", "file", "evt", "ep", "dlv", "ord", "usr", "pass",
];
const ID: usize = 26;

/// A form that is sent by `POST`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    pub(crate) action: String,
    /// As it comes: names and values.
    pub(crate) fields: Vec<(String, String)>,
}

/// What somebody saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// By path and query.
    pub(crate) pages: BTreeMap<String, String>,
    pub(crate) forms: BTreeSet<Form>,
    pub(crate) ids: BTreeSet<String>,
}

// === impl Form ===

impl Form {
    /// Sends it, and says with which status and where that ended.
    pub(crate) async fn send(&self, web: &mut Browser) -> Result<(u16, String)> {
        let fields = self.fields.iter();
        let fields: Vec<(&str, &str)> = fields
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let page = web.post(&self.action, &fields).await?;
        Ok((page.status, page.path))
    }

    /// Whether it is about one of these.
    pub(crate) fn names(&self, ids: &BTreeSet<String>) -> bool {
        let values = self.fields.iter().map(|(_, value)| value);
        std::iter::once(&self.action)
            .chain(values)
            .any(|text| ids.iter().any(|id| text.contains(id)))
    }
}

// === impl Seen ===

impl Seen {
    /// Opens every page that is linked to from `starts` on, but for those of `public` routes, a few of each route.
    pub(crate) async fn walk(
        web: &mut Browser,
        routes: &Routes,
        public: &[&str],
        starts: &[&str],
    ) -> Result<Self> {
        let (mut seen, mut counts) = (Self::default(), BTreeMap::<&str, usize>::new());
        let mut queue: VecDeque<String> = starts.iter().map(ToString::to_string).collect();
        while let Some(path) = queue.pop_front() {
            let Some(route) = routes.of(&path) else {
                continue;
            };
            let count = counts.entry(route).or_default();
            if public.contains(&route) || *count >= MOST || seen.pages.contains_key(&path) {
                continue;
            }
            *count += 1;
            let page = web.get(&path).await?;
            let moved = page.header("location").to_owned();
            ensure!(
                page.status == 200 || moved.starts_with('/'),
                "a link leads to {page}"
            );
            queue.extend(links(&page.text).into_iter().chain([moved]));
            seen.forms.extend(forms(&page.text, &path));
            seen.ids.extend(ids(&page.text));
            seen.pages.insert(path, page.text);
        }
        for form in &seen.forms {
            let values = form.fields.iter().flat_map(|(_, value)| ids(value));
            seen.ids.extend(ids(&form.action).into_iter().chain(values));
        }
        Ok(seen)
    }
}

/// The values of an attribute, wherever it stands.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let begin = format!(" {name}=\"");
    let values = html.split(begin.as_str()).skip(1);
    let values = values.filter_map(|rest| rest.split('"').next());
    values.map(decoded).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    attributes(tag, name).into_iter().next()
}

fn decoded(text: &str) -> String {
    let named = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    let mut text = text.to_owned();
    for (name, character) in named {
        text = text.replace(name, character);
    }
    text
}

/// The forms of a page that are sent by `POST`.
fn forms(html: &str, path: &str) -> Vec<Form> {
    let mut found = Vec::new();
    for rest in html.split("<form").skip(1) {
        let inside = rest.split("</form>").next().unwrap_or_default();
        let (tag, inside) = inside.split_once('>').unwrap_or((inside, ""));
        if !attribute(tag, "method").is_some_and(|method| method.eq_ignore_ascii_case("post")) {
            continue;
        }
        let action = attribute(tag, "action").unwrap_or_else(|| path.to_owned());
        let tags = inside.split('<').filter_map(|piece| {
            let tag = piece.split('>').next()?;
            let is_field = ["input", "button", "textarea", "select"]
                .iter()
                .any(|name| tag.starts_with(name));
            is_field.then_some(tag)
        });
        let fields = tags.filter_map(|tag| {
            let value = attribute(tag, "value").unwrap_or_default();
            Some((attribute(tag, "name")?, value))
        });
        found.push(Form {
            action,
            fields: fields.collect(),
        });
    }
    found
}

/// Every id in a text.
fn ids(text: &str) -> Vec<String> {
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let is_id = |word: &&str| {
        let parts = word.split_once('_');
        parts.is_some_and(|(kind, rest)| KINDS.contains(&kind) && rest.len() == ID)
    };
    words.filter(is_id).map(ToOwned::to_owned).collect()
}

#[test]
fn pages_are_read() {
    let id = "key_01hzxy0123456789abcdefghjk";
    let html = format!(
        "<form method=\"post\" action=\"/keys/{id}/revoke\">\
         <input type=\"hidden\" name=\"back\" value=\"/keys\"><button name=\"sure\" value=\"1\">Revoke</button></form>\
         <form action=\"/search\"><input name=\"q\"></form>"
    );
    assert_eq!(ids(&html), [id]);
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let form = Form {
        action: format!("/keys/{id}/revoke"),
        fields: vec![field("back", "/keys"), field("sure", "1")],
    };
    assert!(form.names(&BTreeSet::from([id.to_owned()])));
    assert_eq!(forms(&html, "/keys"), [form]);
}
