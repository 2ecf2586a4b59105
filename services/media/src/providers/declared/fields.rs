//! A TOML table, read field by field: whatever is wrong is noted under the name of its field, and reading goes on, so that one look at a
//! file tells all of its mistakes.

use std::{cell::RefCell, time::Duration};

use chassis::config::duration;
use toml::{Table, Value};

/// What is wrong with a file, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Vec<String>>);

/// A table of a file, and which of its fields were asked for.
pub(super) struct Fields<'a> {
    /// Where it is in the file: `check`, or nothing for the file itself.
    place: String,
    /// `None` where it is not there, or is no table.
    table: Option<&'a Table>,
    known: Vec<&'static str>,
    notes: &'a Notes,
}

// === impl Notes ===

impl Notes {
    /// Something is wrong with a field.
    pub(super) fn wrong(&self, field: &str, why: impl std::fmt::Display) {
        self.0.borrow_mut().push(format!("{field}: {why}"));
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The whole file.
    pub(super) fn of_file(table: &'a Table, notes: &'a Notes) -> Self {
        Self::at(String::new(), Some(table), notes)
    }

    fn at(place: String, table: Option<&'a Table>, notes: &'a Notes) -> Self {
        Self {
            place,
            table,
            known: Vec::new(),
            notes,
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// What a field of it is called in the whole file.
    pub(super) fn name(&self, field: &str) -> String {
        if self.place.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.place)
        }
    }

    /// Something is wrong with a field of it.
    pub(super) fn wrong(&self, field: &str, why: impl std::fmt::Display) {
        self.notes.wrong(&self.name(field), why);
    }

    fn get(&mut self, field: &'static str) -> Option<&'a Value> {
        self.known.push(field);
        self.table?.get(field)
    }

    pub(super) fn text(&mut self, field: &'static str) -> Option<&'a str> {
        let value = self.get(field)?;
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong(field, "must be a text that is not empty");
        }
        text
    }

    /// A text that must be there, where the table is.
    pub(super) fn needed(&mut self, field: &'static str) -> Option<&'a str> {
        let is_there = self.table.is_some_and(|table| table.contains_key(field));
        if self.is_there() && !is_there {
            self.wrong(field, "is missing");
        }
        self.text(field)
    }

    pub(super) fn positive(&mut self, field: &'static str) -> Option<i64> {
        let value = self.get(field)?;
        let number = value.as_integer().filter(|number| *number > 0);
        if number.is_none() {
            self.wrong(field, "must be a whole number above 0");
        }
        number
    }

    /// Such as `500ms` or `2m`.
    pub(super) fn duration(&mut self, field: &'static str) -> Option<Duration> {
        let text = self.text(field)?;
        let duration = duration::parse(text).filter(|duration| !duration.is_zero());
        if duration.is_none() {
            self.wrong(field, "must be a time above 0 such as 500ms, 5s or 2m");
        }
        duration
    }

    /// One text, or a list of them.
    pub(super) fn texts(&mut self, field: &'static str) -> Vec<&'a str> {
        let Some(value) = self.get(field) else {
            return Vec::new();
        };
        let texts: Option<Vec<&str>> = match value.as_array() {
            Some(items) => items.iter().map(Value::as_str).collect(),
            None => value.as_str().map(|text| vec![text]),
        };
        let texts = texts.filter(|texts| !texts.is_empty() && !texts.contains(&""));
        if texts.is_none() {
            self.wrong(
                field,
                "must be a text, or a list of texts, none of them empty",
            );
        }
        texts.unwrap_or_default()
    }

    /// One HTTP status, or a list of them.
    pub(super) fn statuses(&mut self, field: &'static str) -> Vec<u16> {
        let Some(value) = self.get(field) else {
            return Vec::new();
        };
        let status = |value: &Value| {
            let status = u16::try_from(value.as_integer()?).ok()?;
            (200..=599).contains(&status).then_some(status)
        };
        let statuses: Option<Vec<u16>> = match value.as_array() {
            Some(items) => items.iter().map(status).collect(),
            None => status(value).map(|status| vec![status]),
        };
        let statuses = statuses.filter(|statuses| !statuses.is_empty());
        if statuses.is_none() {
            self.wrong(
                field,
                "must be an HTTP status, or a list of them, 200 to 599",
            );
        }
        statuses.unwrap_or_default()
    }

    pub(super) fn table(&mut self, field: &'static str) -> Self {
        let value = self.get(field);
        let table = value.and_then(Value::as_table);
        if value.is_some() && table.is_none() {
            self.wrong(field, "must be a table");
        }
        Self::at(self.name(field), table, self.notes)
    }

    /// A table that must be there.
    pub(super) fn needed_table(&mut self, field: &'static str) -> Self {
        let table = self.table(field);
        let is_there = self.table.is_some_and(|table| table.contains_key(field));
        if self.is_there() && !is_there {
            self.wrong(field, "is missing");
        }
        table
    }

    /// `[[field]]`
    pub(super) fn tables(&mut self, field: &'static str) -> Vec<Self> {
        let Some(value) = self.get(field) else {
            return Vec::new();
        };
        let items = value.as_array().map(Vec::as_slice);
        let tables: Option<Vec<&Table>> =
            items.and_then(|items| items.iter().map(Value::as_table).collect());
        if tables.is_none() {
            self.wrong(field, "must be a list of tables");
        }
        let name = self.name(field);
        let at = |(number, table)| Self::at(format!("{name}[{number}]"), Some(table), self.notes);
        (0_usize..)
            .zip(tables.unwrap_or_default())
            .map(at)
            .collect()
    }

    /// All of it, where the names are the operator's.
    pub(super) fn entries(&self) -> Vec<(&'a str, &'a str)> {
        let text = |(name, value): (&'a String, &'a Value)| {
            let text = value.as_str();
            if text.is_none() {
                self.wrong(name, "must be a text");
            }
            Some((name.as_str(), text?))
        };
        self.table.into_iter().flatten().filter_map(text).collect()
    }

    /// Nothing else may stand in it.
    pub(super) fn done(self) {
        let unknown = self.table.into_iter().flat_map(Table::keys);
        for name in unknown.filter(|name| !self.known.contains(&name.as_str())) {
            let known = self.known.join(", ");
            self.wrong(
                name,
                format_args!("there is no such field; the fields are {known}"),
            );
        }
    }
}
