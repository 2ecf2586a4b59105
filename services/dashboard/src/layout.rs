//! What stands around every page: title, navigation, where its Markdown is.

use crate::Site;

/// A part of the site, as the navigation shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The first page, and those without a part.
    Start,
    /// Models.
    Models,
    /// Prices.
    Pricing,
    /// Docs.
    Docs,
}

/// What the frame of a page is given.
#[derive(Debug)]
pub(crate) struct Frame<'s> {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) part: Part,
    /// Where the page's Markdown is; empty: it has none.
    pub(crate) markdown: String,
    pub(crate) style: &'s str,
    pub(crate) script: &'s str,
    pub(crate) mark: &'s str,
}

// === impl Frame ===

impl<'s> Frame<'s> {
    /// The frame of a page.
    pub(crate) fn new(site: &'s Site, part: Part, title: &str, about: &str) -> Self {
        Self {
            title: title.to_owned(),
            about: about.to_owned(),
            part,
            markdown: String::new(),
            style: site.texts.assets.style(),
            script: site.texts.assets.script(),
            mark: site.texts.assets.mark(),
        }
    }

    /// The same of a page that is there as Markdown.
    pub(crate) fn with_markdown(self, path: impl Into<String>) -> Self {
        Self {
            markdown: path.into(),
            ..self
        }
    }

    /// Whether the navigation shows the page in this part.
    pub(crate) fn is_in(&self, part: &str) -> bool {
        let own = match self.part {
            Part::Start => "start",
            Part::Models => "models",
            Part::Pricing => "pricing",
            Part::Docs => "docs",
        };
        own == part
    }
}
