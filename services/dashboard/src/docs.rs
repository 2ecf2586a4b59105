//! The docs: guides, made of the files in `docs/` and of a few words around them, and the reference, made of the API's own document. All of
//! them are made once, at the start.

mod guides;

use std::collections::HashMap;

use serde_json::Value;

use self::guides::{GUIDES, Guide};
use crate::{
    markdown::{self, Heading},
    reference,
};

/// The files, as the repository has them.
const API: &str = include_str!("../../../docs/api.md");
const ERRORS: &str = include_str!("../../../docs/errors.md");
const OPERATING: &str = include_str!("../../../docs/operating.md");
const CASES: &str = include_str!("../../../docs/providers/cases.md");

/// Where the files say the API is.
const WRITTEN_URL: &str = "http://127.0.0.1:8080";

/// Groups of the docs, in their order.
pub(crate) const GROUPS: [&str; 3] = ["Start", "Guides", "Reference"];

/// One page of the docs.
#[derive(Clone, Debug)]
pub(crate) struct Doc {
    /// Below `/docs/`.
    pub(crate) path: String,
    pub(crate) group: &'static str,
    pub(crate) title: String,
    /// What it is about, in a sentence.
    pub(crate) about: String,
    pub(crate) markdown: String,
    pub(crate) html: String,
    pub(crate) headings: Vec<Heading>,
}

/// All of them.
pub(crate) struct Docs {
    all: Vec<Doc>,
}

/// Which page of the docs has an anchor of `docs/api.md`; without one, the heading itself became the title of its page.
type Anchors = HashMap<String, String>;

// === impl Docs ===

impl Docs {
    /// Makes them.
    pub(crate) fn new(openapi: &Value, public_url: &str) -> Self {
        let anchors = anchors();
        let mut all: Vec<Doc> = GUIDES
            .iter()
            .map(|guide| {
                let text = guide.text(public_url);
                let text = markdown::with_links(&text, |old| guide.target(old, &anchors));
                Doc::of(guide.path, guide.group, guide.title, guide.about, text)
            })
            .collect();
        for part in reference::parts(openapi, public_url) {
            all.push(Doc::of(
                &part.path,
                "Reference",
                &part.title,
                &part.about,
                part.text,
            ));
        }
        Self { all }
    }

    /// Every page, in order.
    pub(crate) fn all(&self) -> &[Doc] {
        &self.all
    }

    /// The pages of a group that the contents list.
    pub(crate) fn of_group<'d>(&'d self, group: &'d str) -> impl Iterator<Item = &'d Doc> {
        self.all
            .iter()
            .filter(move |doc| doc.group == group && !doc.is_part())
    }

    /// The page at a path below `/docs/`.
    pub(crate) fn get(&self, path: &str) -> Option<&Doc> {
        self.all.iter().find(|doc| doc.path == path)
    }
}

// === impl Doc ===

impl Doc {
    fn of(path: &str, group: &'static str, title: &str, about: &str, markdown: String) -> Self {
        let (html, headings) = markdown::render(&markdown);
        Self {
            path: path.to_owned(),
            group,
            title: title.to_owned(),
            about: about.to_owned(),
            markdown,
            html,
            headings,
        }
    }

    /// Whether it is a part of another page.
    pub(crate) fn is_part(&self) -> bool {
        self.path.contains('/')
    }

    /// What the page's own contents list.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Heading> {
        self.headings.iter().filter(|heading| heading.is_listed)
    }
}

/// Where each heading of `docs/api.md` went.
fn anchors() -> Anchors {
    let mut anchors = Anchors::from([("routes".to_owned(), "/docs/api".to_owned())]);
    for guide in GUIDES {
        let page = format!("/docs/{}", guide.path);
        for title in guide.sections {
            let id = markdown::anchor(title);
            let whole = if guide.is_of_one() {
                page.clone()
            } else {
                format!("{page}#{id}")
            };
            anchors.insert(id, whole);
            let text = markdown::section(API, title).unwrap_or_default();
            let (_, headings) = markdown::render(text);
            anchors.extend(headings.into_iter().map(|heading| {
                let place = format!("{page}#{}", heading.id);
                (heading.id, place)
            }));
        }
    }
    anchors
}

// === impl Guide ===

impl Guide {
    /// Whether one section of `docs/api.md` is all there is in the middle of it: then its title is the page's.
    const fn is_of_one(&self) -> bool {
        self.sections.len() == 1
    }

    /// Its Markdown, with links as the files have them.
    fn text(&self, public_url: &str) -> String {
        let mut text = match self.file {
            Some(file) => file.to_owned(),
            None => format!("# {}\n\n{}", self.title, self.before),
        };
        for title in self.sections {
            let section = markdown::section(API, title).unwrap_or_default();
            if self.is_of_one() {
                text.push_str(&section.replace("\n### ", "\n## "));
            } else {
                text.push_str(&format!("\n\n## {title}\n\n{section}"));
            }
        }
        text.push_str("\n\n");
        text.push_str(self.after);
        let text = text.replace("{{charges}}", &domain::charge::markdown());
        let text = text.replace("{{origin}}", public_url);
        let text = match self.file {
            Some(_) => text,
            None => text.replace(WRITTEN_URL, public_url),
        };
        text.trim_end().to_owned() + "\n"
    }

    /// Where a link of it leads; `None`: to a file that is not among the pages.
    fn target(&self, old: &str, anchors: &Anchors) -> Option<String> {
        let (file, id) = old.split_once('#').unwrap_or((old, ""));
        let behind = |page: &str| {
            if id.is_empty() {
                page.to_owned()
            } else {
                format!("{page}#{id}")
            }
        };
        match file {
            "" if self.file.is_some() => Some(old.to_owned()),
            "" | "api.md" | "../api.md" => Some(match anchors.get(id) {
                Some(place) => place.clone(),
                None if id.is_empty() => "/docs/api".to_owned(),
                None => old.to_owned(),
            }),
            "errors.md" | "../errors.md" => Some(behind("/docs/errors")),
            "operating.md" | "../operating.md" => Some(behind("/docs/operating")),
            "providers/cases.md" => Some(behind("/docs/cases")),
            _ if old.starts_with('/') || old.contains("://") => Some(old.to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_api_is_on_a_page() {
        let used: Vec<&str> = GUIDES
            .iter()
            .flat_map(|guide| guide.sections)
            .copied()
            .collect();
        let titles = API.lines().filter_map(|line| line.strip_prefix("## "));
        for title in titles.filter(|title| *title != "Routes") {
            assert!(used.contains(&title), "no guide has {title}");
        }
        for title in used {
            assert!(
                markdown::section(API, title).is_some(),
                "there is no {title}"
            );
        }
    }

    #[test]
    fn what_is_charged_is_the_table_of_the_code() {
        let docs = Docs::new(&Value::Null, "https://api.example.com");
        let page = docs.get("charges").unwrap();
        assert!(page.markdown.contains(&domain::charge::markdown()));
    }

    #[test]
    fn the_url_is_the_one_of_this_installation() {
        let docs = Docs::new(&Value::Null, "https://api.example.com");
        for doc in docs.all().iter().filter(|doc| doc.path != "operating") {
            assert!(!doc.markdown.contains(WRITTEN_URL), "{}", doc.path);
            assert!(!doc.markdown.contains("{{"), "{}", doc.path);
        }
    }
}
