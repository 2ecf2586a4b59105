//! Which tasks a list shows, by what its URL says. What says nothing that is known says nothing.

use domain::{
    Moment, TaskId,
    catalogue::{Category, Model},
};
use proto::{common::v1::Context, media::v1::ListTasksRequest};
use serde::Deserialize;

use crate::{Site, view::CATEGORIES};

/// How tasks can stand: the word of the API, and what pages say.
const STATUSES: [(&str, &str); 4] = [
    ("queued", "Waiting"),
    ("processing", "Running"),
    ("completed", "Completed"),
    ("failed", "Failed or cancelled"),
];
/// Microseconds.
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// What the URL says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// `table`, or empty: pictures.
    pub(super) view: String,
    /// The word of a category.
    pub(super) kind: String,
    /// A model's slug.
    pub(super) model: String,
    pub(super) status: String,
    /// Days, both included: `2030-01-31`.
    pub(super) from: String,
    pub(super) to: String,
    /// Only those older than this task.
    pub(super) before: String,
}

/// What can be chosen: words and names.
#[derive(Debug)]
pub(super) struct Choices<'s> {
    pub(super) kinds: Vec<(&'static str, &'static str)>,
    pub(super) models: Vec<(&'s str, &'s str)>,
    pub(super) statuses: [(&'static str, &'static str); 4],
}

/// Whether tasks are made by models of this kind.
fn has_tasks(category: Category) -> bool {
    !matches!(category, Category::Chat | Category::Embedding)
}

// === impl Choices ===

impl<'s> Choices<'s> {
    /// Whatever makes tasks.
    pub(super) fn new(site: &'s Site) -> Self {
        let kinds = CATEGORIES.iter().filter(|(kind, ..)| has_tasks(*kind));
        let models = site.catalogue.models().iter();
        let models = models.filter(|model| has_tasks(model.category));
        let mut models: Vec<_> = models
            .map(|model| (model.slug.as_str(), model.name.as_str()))
            .collect();
        models.sort_unstable_by_key(|(_, name)| name.to_lowercase());
        Self {
            kinds: kinds.map(|(_, word, name)| (*word, *name)).collect(),
            models,
            statuses: STATUSES,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// The same without what means nothing.
    pub(super) fn understood(mut self, site: &Site) -> Self {
        only_if(&mut self.view, |word| word == "table");
        only_if(&mut self.kind, |word| category(word).is_some());
        only_if(&mut self.status, |word| {
            STATUSES.iter().any(|(known, _)| *known == word)
        });
        only_if(&mut self.from, |word| day(word).is_some());
        only_if(&mut self.to, |word| day(word).is_some());
        only_if(&mut self.before, |word| TaskId::parse(word).is_some());
        let model = site.catalogue.find(&self.model);
        self.model = model.map(|model| model.slug.clone()).unwrap_or_default();
        self
    }

    /// What media is asked.
    pub(super) fn request(&self, site: &Site, context: Context, limit: u32) -> ListTasksRequest {
        let before = TaskId::parse(&self.before).map(TaskId::to_vec);
        let models = match (self.model.as_str(), category(&self.kind)) {
            ("", None) => Vec::new(),
            ("", Some(kind)) => {
                let all = site.catalogue.models().iter();
                let of_kind = all.filter(|model: &&Model| model.category == kind);
                of_kind.map(|model| model.slug.clone()).collect()
            }
            (slug, _) => vec![slug.to_owned()],
        };
        ListTasksRequest {
            context: Some(context),
            limit,
            before: before.unwrap_or_default().into(),
            status: self.status.clone(),
            models,
            created_from: day(&self.from).unwrap_or_default(),
            // The day itself is wanted too.
            created_until: day(&self.to).map_or(0, |day| day.saturating_add(DAY)),
        }
    }

    /// The URL of the list with one thing said otherwise. Where something else is shown, it begins anew.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let keeps = matches!(name, "before" | "view");
        let before = if keeps { self.before.as_str() } else { "" };
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (own, said) in [
            ("view", self.view.as_str()),
            ("kind", &self.kind),
            ("model", &self.model),
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.to),
            ("before", before),
        ] {
            let said = if own == name { value } else { said };
            if !said.is_empty() {
                query.append_pair(own, said);
            }
        }
        match query.finish().as_str() {
            "" => "/tasks".to_owned(),
            query => format!("/tasks?{query}"),
        }
    }

    /// Whether anything is left out of the list.
    pub(super) fn is_narrow(&self) -> bool {
        [&self.kind, &self.model, &self.status, &self.from, &self.to]
            .iter()
            .any(|said| !said.is_empty())
    }
}

fn category(word: &str) -> Option<Category> {
    let known = CATEGORIES.iter().find(|(_, known, _)| *known == word)?;
    Some(known.0).filter(|category| has_tasks(*category))
}

/// Forgets what does not mean anything.
pub(in crate::app) fn only_if(text: &mut String, means: impl FnOnce(&str) -> bool) {
    if !means(text) {
        text.clear();
    }
}

/// When a day begins, in microseconds UTC.
pub(in crate::app) fn day(text: &str) -> Option<i64> {
    Moment::parse(&format!("{text}T00:00:00Z")).map(Moment::micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_what_is_wanted_and_begins_anew_where_that_changes() {
        let wanted = Wanted {
            kind: "image".to_owned(),
            before: "task_1".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(
            wanted.with("status", "failed"),
            "/tasks?kind=image&status=failed"
        );
        assert_eq!(
            wanted.with("view", "table"),
            "/tasks?view=table&kind=image&before=task_1"
        );
        assert_eq!(wanted.with("before", ""), "/tasks?kind=image");
        assert_eq!(wanted.with("kind", ""), "/tasks");
        assert!(wanted.is_narrow() && !Wanted::default().is_narrow());
    }

    #[test]
    fn a_day_is_a_day() {
        assert_eq!(day("1970-01-02"), Some(DAY));
        for text in ["", "1970-01", "yesterday", "1970-01-02T00:00:00Z"] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_makes_tasks_is_a_kind_of_them() {
        assert_eq!(category("image"), Some(Category::Image));
        for word in ["chat", "embedding", "", "images"] {
            assert_eq!(category(word), None, "{word}");
        }
    }
}
