//! Templates (minijinja): what is written down before they are used, and what one becomes. A template is given what its request is about
//! and nothing secret; what it may cost is bounded.
//!
//! A value that is put into a path is percent-encoded, one that is put into a body is written as JSON: none can leave its place.

use std::{io, sync::Arc};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context,
    escape_formatter, filters,
    value::{Object, ValueKind},
};
use serde_json::Value as Json;

use super::{Limits, fields::Notes, scan};

/// What a template becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A path below the provider's address, with a query if it has one.
    Path,
    /// The value of a header.
    Header,
    /// JSON.
    Body,
}

/// Who asks for a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A submit: `model`, `parameters`, `callback_url`.
    Order,
    /// A look or a cancel: `job`.
    Job,
}

/// A template of a file, by its name.
#[derive(Clone, Debug)]
pub(super) struct Template(String);

/// All templates of a file.
#[derive(Debug)]
pub(super) struct Templates {
    engine: Environment<'static>,
    limits: Limits,
}

/// Any parameter, for a look at what a template becomes before there is one.
#[derive(Debug)]
struct Anything;

/// What a value that is not named otherwise looks like.
const SAMPLE: &str = "1";
/// The variable whose values are of whatever kind.
const PARAMETERS: &str = "parameters";
/// What goes wrong where a value is of another kind than a template takes it for.
const GUESSED: [ErrorKind; 4] = [
    ErrorKind::InvalidOperation,
    ErrorKind::UndefinedError,
    ErrorKind::CannotUnpack,
    ErrorKind::NonPrimitive,
];

// === impl Kind ===

impl Kind {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Path, "path"),
        (Self::Header, "header"),
        (Self::Body, "body"),
    ];

    /// The ending of the names of its templates.
    fn word(self) -> &'static str {
        let row = Self::ALL.iter().find(|(kind, _)| *kind == self);
        row.map_or("header", |(_, word)| word)
    }
}

// === impl About ===

impl About {
    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Order => &["model", PARAMETERS, "callback_url"],
            Self::Job => &["job"],
        }
    }

    /// What may come, with a name of each kind: a word, and a number.
    fn samples(self) -> [Value; 2] {
        match self {
            Self::Order => ["maker/model", SAMPLE].map(|model| {
                context! {
                    model,
                    parameters => Value::from_object(Anything),
                    callback_url => "https://us.example/callback",
                }
            }),
            Self::Job => ["job-1", SAMPLE].map(|job| context! { job }),
        }
    }
}

// === impl Anything ===

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(SAMPLE.into())
    }
}

// === impl Templates ===

impl Templates {
    pub(super) fn new(limits: Limits) -> Self {
        let mut engine = Environment::empty();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_fuel(Some(limits.template_fuel));
        engine.set_auto_escape_callback(|name| match name.rsplit(' ').next() {
            Some("body") => AutoEscape::Json,
            Some("path") => AutoEscape::Custom("path"),
            Some(_) | None => AutoEscape::None,
        });
        engine.set_formatter(write);
        engine.add_filter("default", filters::default);
        engine.add_filter("first", filters::first);
        engine.add_filter("float", filters::float);
        engine.add_filter("int", filters::int);
        engine.add_filter("last", filters::last);
        engine.add_filter("length", filters::length);
        engine.add_filter("lower", filters::lower);
        engine.add_filter("string", filters::string);
        engine.add_filter("upper", filters::upper);
        engine.add_filter("segments", |text: &str| {
            Value::from_safe_string(encoded(text, b"/"))
        });
        engine.add_test("defined", minijinja::tests::is_defined);
        engine.add_test("mapping", minijinja::tests::is_mapping);
        engine.add_test("none", minijinja::tests::is_none);
        engine.add_test("number", minijinja::tests::is_number);
        engine.add_test("sequence", minijinja::tests::is_sequence);
        engine.add_test("string", minijinja::tests::is_string);
        Self { engine, limits }
    }

    /// Takes a template up, and notes all that is wrong with it.
    pub(super) fn add(
        &mut self,
        (field, text): (&str, &str),
        kind: Kind,
        about: About,
        notes: &Notes,
    ) -> Option<Template> {
        if text.len() > self.limits.template_bytes {
            let most = self.limits.template_bytes;
            notes.wrong(field, format_args!("a template has at most {most} bytes"));
            return None;
        }
        for problem in scan::problems(text) {
            notes.wrong(field, problem);
        }
        let name = format!("{field} {}", kind.word());
        if let Err(error) = self
            .engine
            .add_template_owned(name.clone(), text.to_owned())
        {
            notes.wrong(field, told(&error));
            return None;
        }
        self.look(field, &name, about, notes);
        let template = Template(name);
        self.try_out((field, &template), kind, about, notes);
        Some(template)
    }

    /// Notes the names that nothing has.
    fn look(&self, field: &str, name: &str, about: About, notes: &Notes) {
        let Ok(template) = self.engine.get_template(name) else {
            return;
        };
        let names = template.undeclared_variables(false);
        let known = about.variables();
        let mut unknown: Vec<&String> = names
            .iter()
            .filter(|n| !known.contains(&n.as_str()))
            .collect();
        unknown.sort();
        for name in unknown {
            let known = known.join(", ");
            notes.wrong(
                field,
                format_args!("there is no variable {name}; the variables are {known}"),
            );
        }
    }

    /// Notes what cannot become what it should, as far as samples show it: with none of them it does. Of parameters alone a sample may be of
    /// another kind than what comes: that it does not go together with what is done to it shows nothing.
    fn try_out(
        &self,
        (field, template): (&str, &Template),
        kind: Kind,
        about: About,
        notes: &Notes,
    ) {
        let samples = about.samples();
        let mut problems = Vec::with_capacity(samples.len());
        for sample in &samples {
            match self.problem(template, kind, sample) {
                Some(problem) => problems.push(problem),
                None => return,
            }
        }
        if let Some(first) = problems.into_iter().next() {
            notes.wrong(field, first);
        }
    }

    /// Why a template does not become what it should with such values, if it does not.
    fn problem(&self, template: &Template, kind: Kind, values: &Value) -> Option<String> {
        let text = match self.render(template, values) {
            Ok(text) => text,
            Err(error) if self.has_parameters(template) && GUESSED.contains(&error.kind()) => {
                return None;
            }
            Err(error) => return Some(told(&error)),
        };
        let problem = match kind {
            Kind::Body if serde_json::from_str::<Json>(&text).is_err() => {
                "it does not become JSON: {{ … }} writes its value as JSON, with quotes where it has some"
            }
            Kind::Path => check_path(&text).err()?,
            Kind::Header if http::HeaderValue::from_str(&text).is_err() => {
                "it cannot stand in a header"
            }
            Kind::Header | Kind::Body => return None,
        };
        Some(problem.to_owned())
    }

    fn has_parameters(&self, template: &Template) -> bool {
        let template = self.engine.get_template(&template.0);
        template.is_ok_and(|template| {
            let names = template.undeclared_variables(false);
            names.contains(PARAMETERS)
        })
    }

    /// What a template becomes.
    ///
    /// # Errors
    /// When something in it is not there, does not go together, or it costs too much.
    pub(super) fn render(&self, template: &Template, values: &Value) -> Result<String, Error> {
        let mut out = Bounded {
            bytes: Vec::new(),
            left: self.limits.body_bytes,
        };
        self.engine
            .get_template(&template.0)?
            .render_captured_to(values, &mut out)?;
        String::from_utf8(out.bytes)
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "not a text"))
    }
}

// === impl Template ===

impl Template {
    /// The field that it stands in.
    pub(super) fn field(&self) -> &str {
        let parts = self.0.rsplit_once(' ');
        parts.map_or(&self.0, |(field, _)| field)
    }
}

/// Bytes up to a bound.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or_else(|| io::Error::other("the template becomes too long"))?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a value so that it stays in its place.
fn write(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if state.auto_escape() == AutoEscape::Json {
        return escape_formatter(out, state, value);
    }
    let kind = value.kind();
    if !matches!(
        kind,
        ValueKind::String | ValueKind::Number | ValueKind::Bool
    ) {
        let words = format!("a {kind} cannot stand in a path or a header");
        return Err(Error::new(ErrorKind::BadSerialization, words));
    }
    let text = value.to_string();
    let is_path = state.auto_escape() == AutoEscape::Custom("path");
    let written = if is_path && !value.is_safe() {
        out.write_str(&encoded(&text, b""))
    } else {
        out.write_str(&text)
    };
    written.map_err(Error::from)
}

/// Percent-encoded, all but what never means anything in a URL, and what is kept.
fn encoded(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend(hex(byte));
        }
    }
    encoded
}

fn hex(byte: u8) -> [char; 2] {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    [byte >> 4, byte & 0xf].map(|nibble| digit(nibble).to_ascii_uppercase())
}

/// That a path leads to something below the provider's address, wherever that is.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    let (steps, _) = path.split_once(['?', '#']).unwrap_or((path, ""));
    let dots = |step: &str| matches!(step.to_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.starts_with('/') || path.contains("//") || path.contains(['\\', '#']) {
        return Err("a path begins without a slash, and has no //, no \\ and no #");
    }
    if steps.split('/').any(dots)
        || steps
            .split('/')
            .next()
            .is_some_and(|step| step.contains(':'))
    {
        return Err("a path has no . and .. as a step, and no colon in its first");
    }
    Ok(())
}

/// What the engine says, with the line. It never holds a value.
fn told(error: &Error) -> String {
    let detail = error.detail().unwrap_or_default();
    let line = error.line().unwrap_or(1);
    format!("{}: {detail} (line {line})", error.kind())
}

#[cfg(test)]
mod tests;
