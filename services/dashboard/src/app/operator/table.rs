//! Tables, which most of the operator's pages are made of: `templates/app/operator/table.html` shows one.

use crate::show::Time;

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// What it is of, for readers who do not see it.
    pub(crate) label: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What stands in the place of a table without rows.
    pub(crate) empty: &'static str,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Whether figures stand in it.
    pub(crate) number: bool,
}

/// A cell. The first of a row names it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// What stands below it, smaller; empty: nothing.
    pub(crate) small: String,
    /// Where it leads to.
    pub(crate) href: Option<String>,
    pub(crate) code: bool,
    /// Shown as a badge: `good`, `bad` or an empty word.
    pub(crate) badge: Option<&'static str>,
    pub(crate) time: Option<Time>,
}

// === impl Table ===

impl Table {
    /// A table without rows. The name of a column of figures begins with `#`.
    pub(crate) fn new(label: impl Into<String>, columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| Column {
            name: name.strip_prefix('#').unwrap_or(name),
            number: name.starts_with('#'),
        };
        Self {
            label: label.into(),
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
            empty: "There is nothing here.",
        }
    }

    /// The same with other words where there are no rows.
    pub(crate) fn or(self, empty: &'static str) -> Self {
        Self { empty, ..self }
    }

    /// The same with these rows.
    pub(crate) fn with(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Whether figures stand in a column.
    pub(crate) fn is_number(&self, place: &usize) -> bool {
        self.columns.get(*place).is_some_and(|column| column.number)
    }
}

// === impl Cell ===

impl Cell {
    /// Words or a figure.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// An id, or another word of programs.
    pub(crate) fn code(text: impl Into<String>) -> Self {
        Self {
            code: true,
            ..Self::text(text)
        }
    }

    /// A word that is seen from afar: `good`, `bad`, or neither.
    pub(crate) fn badge(kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            badge: Some(kind),
            ..Self::text(text)
        }
    }

    /// A moment, in microseconds UTC.
    pub(crate) fn time(micros: i64) -> Self {
        Self {
            time: Some(Time::of(micros)),
            ..Self::default()
        }
    }

    /// The same as a link.
    pub(crate) fn to(self, href: impl Into<String>) -> Self {
        Self {
            href: Some(href.into()),
            ..self
        }
    }

    /// The same with smaller words below.
    pub(crate) fn over(self, small: impl Into<String>) -> Self {
        Self {
            small: small.into(),
            ..self
        }
    }
}
