//! An answer: a page as HTML, or the same as Markdown.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use tracing::error;

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Html,
    /// For programs, and people who like it so.
    Markdown,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    status: StatusCode,
    content_type: &'static str,
    text: String,
}

// === impl Form ===

impl Form {
    /// What a path asks for, and the path without its `.md`.
    pub(crate) fn of(path: &str) -> (Self, &str) {
        match path.strip_suffix(".md") {
            Some(path) => (Self::Markdown, path),
            None => (Self::Html, path),
        }
    }
}

// === impl Page ===

impl Page {
    /// What a template makes.
    pub(crate) fn html(template: &impl Template) -> Self {
        Self::rendered(template, "text/html; charset=utf-8")
    }

    /// What a template of Markdown makes.
    pub(crate) fn markdown(template: &impl Template) -> Self {
        Self::rendered(template, MARKDOWN)
    }

    /// Markdown that is there.
    pub(crate) fn text(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: MARKDOWN,
            text,
        }
    }

    /// The same with another status.
    pub(crate) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn rendered(template: &impl Template, content_type: &'static str) -> Self {
        match template.render() {
            Ok(text) => Self {
                status: StatusCode::OK,
                content_type,
                text,
            },
            Err(error) => {
                error!(%error, "a page cannot be made");
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    content_type: "text/plain; charset=utf-8",
                    text: "This page cannot be made. It has been logged.\n".to_owned(),
                }
            }
        }
    }
}

/// RFC 7763.
const MARKDOWN: &str = "text/markdown; charset=utf-8";

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, self.content_type)];
        (self.status, kind, self.text).into_response()
    }
}
