//! What a provider's file says, read whole: all that is wrong with it is told at once.

use std::collections::HashMap;

use chassis::config::Poll;
use http::{HeaderName, Method, header};
use toml::Table;

use super::{
    super::BUILT_IN,
    Limits,
    fields::{Fields, Notes},
    path::Path,
    rules::Errors,
    template::{About, Kind, Template, Templates},
};

/// A provider, as its file describes it.
#[derive(Debug)]
pub(super) struct File {
    /// What model files call the adapter.
    pub(super) name: String,
    /// Whose wire in the sandbox it speaks, if it is one of those.
    pub(super) sandbox: Option<String>,
    pub(super) credential: Credential,
    pub(super) submit: Submit,
    pub(super) check: Check,
    /// `None`: the provider has no way to stop a job.
    pub(super) cancel: Option<Cancel>,
    pub(super) states: HashMap<String, Standing>,
    pub(super) errors: Errors,
    /// When it wants to be looked at, unless the operator says otherwise.
    pub(super) poll: Poll,
    pub(super) templates: Templates,
}

/// Where our credential goes: into this header, and nowhere else.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) header: HeaderName,
    pub(super) prefix: String,
}

/// A request, before its values are known.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) body: Option<Template>,
}

/// How a job is submitted, and what the answer tells.
#[derive(Debug)]
pub(super) struct Submit {
    pub(super) request: Request,
    pub(super) job: Path,
    pub(super) cost: Option<Cost>,
}

/// How a job is looked at, and what the answer tells.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) request: Request,
    pub(super) state: Path,
    /// Where the progress is, and what it counts to.
    pub(super) progress: Option<(Path, Whole)>,
    pub(super) position: Option<Path>,
    pub(super) files: Vec<Path>,
    pub(super) cost: Option<Cost>,
}

/// How a job is stopped.
#[derive(Debug)]
pub(super) struct Cancel {
    pub(super) request: Request,
    /// How a job that can no longer be stopped is answered.
    pub(super) too_late: Vec<u16>,
}

/// Where the cost is, and what one of its unit is in millionths of a US dollar.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) path: Path,
    pub(super) micro_usd: i64,
}

/// What progress counts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// 0 to 1.
    One,
    /// 0 to 100.
    Hundred,
}

/// What a state of the provider's means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Running,
    Done,
    Failed,
    Moderated,
    Missing,
}

/// Wires of the sandbox.
const WIRES: [&str; 5] = ["bfl", "fal", "kie", "replicate", "rest"];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const STANDINGS: [(&str, Standing); 5] = [
    ("running", Standing::Running),
    ("done", Standing::Done),
    ("failed", Standing::Failed),
    ("moderated", Standing::Moderated),
    ("missing", Standing::Missing),
];
/// Headers that say how a message is carried, or what it is.
const OURS: [HeaderName; 5] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];
/// How a job that is over, or not there, usually answers a cancel.
const TOO_LATE: [u16; 3] = [404, 409, 410];
/// The longest name.
const MAX_NAME: usize = 64;

/// Reads a file.
///
/// # Errors
/// All that is wrong with it, each with its field.
pub(super) fn read(text: &str, limits: Limits) -> Result<File, Vec<String>> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return Err(vec![format!("not TOML: {error}")]),
    };
    let notes = Notes::default();
    let mut templates = Templates::new(limits);
    let mut reading = Reading {
        notes: &notes,
        templates: &mut templates,
    };
    let parts = reading.file(&table);
    let wrong = notes.into_list();
    match parts {
        Some(parts) if wrong.is_empty() => Ok(parts.with(templates)),
        _ => Err(wrong),
    }
}

/// A file without its templates.
struct Parts {
    name: String,
    sandbox: Option<String>,
    credential: Credential,
    submit: Submit,
    check: Check,
    cancel: Option<Cancel>,
    states: HashMap<String, Standing>,
    errors: Errors,
    poll: Poll,
}

/// A file being read.
struct Reading<'r> {
    notes: &'r Notes,
    templates: &'r mut Templates,
}

// === impl Parts ===

impl Parts {
    fn with(self, templates: Templates) -> File {
        File {
            name: self.name,
            sandbox: self.sandbox,
            credential: self.credential,
            submit: self.submit,
            check: self.check,
            cancel: self.cancel,
            states: self.states,
            errors: self.errors,
            poll: self.poll,
            templates,
        }
    }
}

// === impl Reading ===

impl Reading<'_> {
    fn file(&mut self, table: &Table) -> Option<Parts> {
        let mut file = Fields::of_file(table, self.notes);
        let name = name(&mut file);
        let sandbox = one_of(&mut file, "sandbox", &WIRES);
        let unit = file.positive("cost_micro_usd");
        let credential = credential(file.table("credential"));
        let header = credential.as_ref().map(|credential| &credential.header);
        let submit = self.submit(file.needed_table("submit"), (header, unit));
        let check = self.check(file.needed_table("check"), (header, unit));
        let cancel = self.cancel(file.table("cancel"), header);
        let states = states(&file.needed_table("states"));
        let errors = Errors::read(file.table("errors"));
        let poll = poll(file.table("poll"));
        file.done();
        Some(Parts {
            name: name?,
            sandbox,
            credential: credential?,
            submit: submit?,
            check: check?,
            cancel,
            states,
            errors,
            poll,
        })
    }

    fn submit(
        &mut self,
        mut fields: Fields<'_>,
        (credential, unit): (Option<&HeaderName>, Option<i64>),
    ) -> Option<Submit> {
        let request = self.request(&mut fields, ("POST", About::Order), credential);
        let job = needed_path(&mut fields, "job");
        let cost = cost(&mut fields, unit);
        fields.done();
        Some(Submit {
            request: request?,
            job: job?,
            cost,
        })
    }

    fn check(
        &mut self,
        mut fields: Fields<'_>,
        (credential, unit): (Option<&HeaderName>, Option<i64>),
    ) -> Option<Check> {
        let request = self.request(&mut fields, ("GET", About::Job), credential);
        let state = needed_path(&mut fields, "state");
        let progress = path(&mut fields, "progress");
        let whole = match fields.positive("progress_whole") {
            None | Some(100) => Whole::Hundred,
            Some(1) => Whole::One,
            Some(_) => {
                fields.wrong("progress_whole", "must be 1 or 100");
                Whole::Hundred
            }
        };
        let position = path(&mut fields, "position");
        let texts = fields.texts("files");
        if fields.is_there() && texts.is_empty() {
            fields.wrong("files", "is needed: where the links of what was made are");
        }
        let files = texts
            .into_iter()
            .filter_map(|text| path_of(&fields, "files", text));
        let files: Vec<Path> = files.collect();
        let cost = cost(&mut fields, unit);
        fields.done();
        Some(Check {
            request: request?,
            state: state?,
            progress: progress.map(|path| (path, whole)),
            position,
            files,
            cost,
        })
    }

    fn cancel(
        &mut self,
        mut fields: Fields<'_>,
        credential: Option<&HeaderName>,
    ) -> Option<Cancel> {
        if !fields.is_there() {
            return None;
        }
        let request = self.request(&mut fields, ("POST", About::Job), credential);
        let told = fields.statuses("too_late");
        let too_late = if told.is_empty() {
            TOO_LATE.to_vec()
        } else {
            told
        };
        fields.done();
        request.map(|request| Cancel { request, too_late })
    }

    fn request(
        &mut self,
        fields: &mut Fields<'_>,
        (usual, about): (&'static str, About),
        credential: Option<&HeaderName>,
    ) -> Option<Request> {
        let method = one_of(fields, "method", &METHODS);
        let method = Method::from_bytes(method.as_deref().unwrap_or(usual).as_bytes()).ok();
        let path = fields.needed("path");
        let path = path.and_then(|text| self.template(fields, ("path", text), Kind::Path, about));
        let body = fields.text("body");
        if body.is_some() && method == Some(Method::GET) {
            fields.wrong("body", "a GET has none");
        }
        let body = body.and_then(|text| self.template(fields, ("body", text), Kind::Body, about));
        let headers = fields.table("headers");
        let headers = headers.entries().into_iter().filter_map(|(name, text)| {
            let header = header_name(&headers, name, credential)?;
            let value = self.template(&headers, (name, text), Kind::Header, about)?;
            Some((header, value))
        });
        let headers: Vec<(HeaderName, Template)> = headers.collect();
        Some(Request {
            method: method?,
            path: path?,
            headers,
            body,
        })
    }

    fn template(
        &mut self,
        fields: &Fields<'_>,
        (field, text): (&str, &str),
        kind: Kind,
        about: About,
    ) -> Option<Template> {
        let field = fields.name(field);
        self.templates.add((&field, text), kind, about, self.notes)
    }
}

fn name(file: &mut Fields<'_>) -> Option<String> {
    let name = file.needed("name")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > MAX_NAME || !name.bytes().all(plain) {
        let rule = "must be small letters, digits and -, 64 at most";
        file.wrong("name", rule);
    } else if BUILT_IN.contains(&name) {
        file.wrong(
            "name",
            format_args!("{name} is an adapter that is built in"),
        );
    }
    Some(name.to_owned())
}

fn one_of(fields: &mut Fields<'_>, field: &'static str, known: &[&str]) -> Option<String> {
    let word = fields.text(field)?;
    if !known.contains(&word) {
        let known = known.join(", ");
        fields.wrong(field, format_args!("{word} is none of {known}"));
    }
    Some(word.to_owned())
}

/// `Authorization: Bearer …` unless the file says otherwise.
fn credential(mut fields: Fields<'_>) -> Option<Credential> {
    let name = fields.text("header");
    let header = match name {
        None => Some(header::AUTHORIZATION),
        Some(name) => {
            let header = HeaderName::from_bytes(name.as_bytes()).ok();
            header.filter(|header| !OURS.contains(header))
        }
    };
    if header.is_none() {
        fields.wrong("header", "is not the name of a header that can be set");
    }
    let prefix = fields.text("prefix");
    let usual = if name.is_none() { "Bearer " } else { "" };
    fields.done();
    Some(Credential {
        header: header?,
        prefix: prefix.unwrap_or(usual).to_owned(),
    })
}

/// The name of a header that a file may set.
fn header_name(
    fields: &Fields<'_>,
    name: &str,
    credential: Option<&HeaderName>,
) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        fields.wrong(name, "is not the name of a header");
        return None;
    };
    if OURS.contains(&header) {
        fields.wrong(name, "is a header that only we can set");
        return None;
    }
    if credential == Some(&header) {
        fields.wrong(
            name,
            "is the header of the credential, which [credential] is about",
        );
        return None;
    }
    Some(header)
}

/// Where a field says that something is.
pub(super) fn path(fields: &mut Fields<'_>, field: &'static str) -> Option<Path> {
    let text = fields.text(field)?;
    path_of(fields, field, text)
}

fn needed_path(fields: &mut Fields<'_>, field: &'static str) -> Option<Path> {
    let text = fields.needed(field)?;
    path_of(fields, field, text)
}

fn path_of(fields: &Fields<'_>, field: &str, text: &str) -> Option<Path> {
    Path::read(text)
        .map_err(|why| fields.wrong(field, why))
        .ok()
}

fn cost(fields: &mut Fields<'_>, unit: Option<i64>) -> Option<Cost> {
    let path = path(fields, "cost")?;
    if unit.is_none() {
        let rule = "cost_micro_usd is missing at the top of the file: what one of its unit is, in millionths of a US dollar";
        fields.wrong("cost", rule);
    }
    Some(Cost {
        path,
        micro_usd: unit?,
    })
}

fn states(fields: &Fields<'_>) -> HashMap<String, Standing> {
    let mut states = HashMap::new();
    for (word, meaning) in fields.entries() {
        match STANDINGS.iter().find(|(known, _)| *known == meaning) {
            Some((_, standing)) => {
                states.insert(word.to_owned(), *standing);
            }
            None => {
                let known = STANDINGS.map(|(known, _)| known).join(", ");
                fields.wrong(word, format_args!("{meaning} is none of {known}"));
            }
        }
    }
    let means = |standing| states.values().any(|known| *known == standing);
    if fields.is_there() && !means(Standing::Done) {
        fields.wrong("*", "no state means done");
    }
    states
}

fn poll(mut fields: Fields<'_>) -> Poll {
    let poll = Poll {
        first: fields.duration("first"),
        longest: fields.duration("longest"),
        ..Poll::default()
    };
    fields.done();
    poll
}
