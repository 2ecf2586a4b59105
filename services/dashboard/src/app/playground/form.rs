//! A form made of a model's parameters: a control for each, with what it may hold and what it has unless something is said.

use std::collections::BTreeMap;

use askama::Template;
use domain::{
    Mode,
    catalogue::{Category, Medium, Model, Param, ParamType},
};
use serde_json::{Map, Value};

use crate::view::plain;

/// Characters of a text that still gets one line.
const LINE: usize = 100;
/// The field that every request's reader looks at first: scripts and tests find it by this.
const MAIN: &str = "prompt";

/// One parameter, or a field of one.
#[derive(Clone, Debug, Template)]
#[template(path = "app/playground/field.html")]
pub(crate) struct Field {
    /// Where it stands in the request: `multi_prompt[].duration`.
    pub(crate) path: String,
    /// Of its control.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) label: String,
    /// What it is called in a request.
    pub(crate) name: String,
    /// What it may hold.
    pub(crate) hint: String,
    /// What it has unless something is said; empty: nothing.
    pub(crate) default: String,
    /// What it has at first.
    pub(crate) value: String,
    pub(crate) required: bool,
    /// Whether the price depends on it. Only these have a name, so that a browser without the script sends them, and no texts.
    pub(crate) priced: bool,
    pub(crate) control: Control,
}

/// What a field is filled in by.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    /// A text of several lines.
    Text,
    /// A text of one line.
    Line,
    Number {
        min: String,
        max: String,
        whole: bool,
    },
    /// One of some words.
    Choice(Vec<String>),
    Switch,
    /// A URL or a file; what a file may be, as browsers are told.
    File(&'static str),
    /// Several of them.
    Files(&'static str),
    /// The id of an earlier task.
    Task,
    /// A list of objects: those that are there at first, and an empty one to make more of.
    Items {
        most: usize,
        rows: Vec<Vec<Field>>,
        blank: Vec<Field>,
    },
}

/// All of a model's fields.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Those that everybody looks at.
    pub(crate) first: Vec<Field>,
    /// The rest.
    pub(crate) more: Vec<Field>,
}

/// What fields begin with.
pub(crate) struct Beginning<'a> {
    /// By the model's example.
    pub(crate) example: &'a Map<String, Value>,
    /// What the address says.
    pub(crate) asked: &'a BTreeMap<String, String>,
    /// Names that the price depends on.
    pub(crate) priced: &'a [&'a str],
    /// Files of nobody are good enough for tests: nothing is fetched.
    pub(crate) mode: Mode,
}

// === impl Form ===

impl Form {
    /// The form of a model that makes something.
    pub(crate) fn of(model: &Model, beginning: &Beginning<'_>) -> Self {
        let (mut first, mut more) = (Vec::new(), Vec::new());
        let main = main(model);
        for param in model.params.iter().filter(|param| !param.ours) {
            let field = Field::of(param, beginning, main);
            let at_first = field.required
                || field.priced
                || field.id == MAIN
                || param.name == "model"
                || beginning.example.contains_key(&param.name)
                || beginning.asked.contains_key(&param.name);
            if at_first {
                first.push(field);
            } else {
                more.push(field);
            }
        }
        // Those that must be there, in front.
        first.sort_by_key(|field| !field.required && field.id != MAIN);
        Self { first, more }
    }
}

/// The name of the text that a request is about; a list's first text is its own to name.
fn main(model: &Model) -> Option<&str> {
    let texts = model.params.iter().filter(|param| !param.ours);
    let mut texts = texts.filter(|param| matches!(param.of, ParamType::Text { .. }));
    let named = texts.clone().find(|param| param.name == MAIN);
    let made_of_text = !matches!(
        model.category,
        Category::Tool | Category::Transcription | Category::Embedding
    );
    let found = named.or_else(|| texts.find(|param| param.required));
    found
        .filter(|_| made_of_text)
        .map(|param| param.name.as_str())
}

// === impl Field ===

impl Field {
    fn of(param: &Param, beginning: &Beginning<'_>, main: Option<&str>) -> Self {
        let example = beginning.example.get(&param.name);
        // An example's file is nobody's, and so is its task.
        let usable = match &param.of {
            ParamType::Url | ParamType::Urls { .. } => beginning.mode == Mode::Test,
            ParamType::Sound { .. } | ParamType::Task(_) => false,
            ParamType::Text { .. }
            | ParamType::Choice { .. }
            | ParamType::Integer { .. }
            | ParamType::Number { .. }
            | ParamType::Boolean
            | ParamType::Items { .. } => true,
        };
        let asked = beginning.asked.get(&param.name).cloned();
        let shown = asked.or_else(|| example.filter(|_| usable).map(text));
        let mut field = Self::new(param, "", shown);
        field.priced = beginning.priced.contains(&param.name.as_str());
        if main == Some(param.name.as_str()) {
            MAIN.clone_into(&mut field.id);
        }
        if let ParamType::Items { min, max, fields } = &param.of {
            let rows = example.and_then(Value::as_array);
            let rows = rows.map_or(&[][..], Vec::as_slice);
            let least = if param.required { (*min).max(1) } else { 0 };
            field.control = items(param, fields, (rows, least, *max));
            if main.is_none()
                && let Control::Items { rows, .. } = &mut field.control
                && let Some(text) = rows.first_mut().and_then(|row| row.first_mut())
            {
                MAIN.clone_into(&mut text.id);
            }
        }
        field
    }

    /// A field below `above`; what it has at first is its default, unless something is shown.
    fn new(param: &Param, above: &str, shown: Option<String>) -> Self {
        let default = param.default.as_ref().map(plain).unwrap_or_default();
        let (control, hint) = control(param);
        Self {
            path: format!("{above}{}", param.name),
            id: format!("p-{}", param.name),
            label: label(&param.name),
            name: param.name.clone(),
            value: shown.unwrap_or_else(|| default.clone()),
            default,
            hint,
            required: param.required,
            priced: false,
            control,
        }
    }

    /// Whether the control has a box of its own before its name.
    pub(crate) fn is_switch(&self) -> bool {
        matches!(self.control, Control::Switch)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.value == "true"
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.value == word
    }

    /// What a script reads it as.
    pub(crate) fn kind(&self) -> &'static str {
        match self.control {
            Control::Text | Control::Line | Control::Task => "text",
            Control::Number { .. } => "number",
            Control::Choice(_) => "choice",
            Control::Switch => "switch",
            Control::File(_) => "file",
            Control::Files(_) => "files",
            Control::Items { .. } => "items",
        }
    }
}

fn items(param: &Param, fields: &[Param], bounds: (&[Value], usize, usize)) -> Control {
    let (given, least, most) = bounds;
    let above = format!("{}[].", param.name);
    let row = |number: usize, of: Option<&Value>| -> Vec<Field> {
        let each = fields.iter().map(|inner| {
            let value = of.and_then(|of| of.get(&inner.name)).map(text);
            let mut field = Field::new(inner, &above, value);
            field.id = format!("p-{}-{number}-{}", param.name, inner.name);
            field
        });
        each.collect()
    };
    let count = given.len().max(least);
    Control::Items {
        most,
        rows: (0..count)
            .map(|number| row(number, given.get(number)))
            .collect(),
        blank: row(count, None),
    }
}

/// A value as a control shows it: a list a line each.
fn text(value: &Value) -> String {
    match value.as_array() {
        Some(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        None => plain(value),
    }
}

/// `aspect_ratio` as people write it: `Aspect ratio`; `generateAudio`: `Generate audio`.
fn label(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter == '_' {
            words.push(' ');
        } else if letter.is_ascii_uppercase() {
            words.push(' ');
            words.push(letter.to_ascii_lowercase());
        } else {
            words.push(letter);
        }
    }
    let words = words.replace("url", "URL").replace(" id", " ID");
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// What a browser is told that files are to be.
fn accept(kind: Option<Medium>) -> &'static str {
    match kind {
        Some(Medium::Image) => "image/*",
        Some(Medium::Video) => "video/*",
        Some(Medium::Audio) => "audio/*",
        Some(Medium::Recording) => "audio/*,video/*",
        None => "",
    }
}

/// How a parameter is filled in, and what it may hold, in a few words.
fn control(param: &Param) -> (Control, String) {
    let medium = param.kind.map_or("a file", Medium::name);
    match &param.of {
        ParamType::Text { min, max } => {
            let control = if *max <= LINE {
                Control::Line
            } else {
                Control::Text
            };
            (control, format!("{min} to {max} characters"))
        }
        ParamType::Choice { values, .. } => (Control::Choice(values.clone()), String::new()),
        ParamType::Integer { min, max } => {
            let control = Control::Number {
                min: min.to_string(),
                max: max.to_string(),
                whole: true,
            };
            (control, format!("{min} to {max}"))
        }
        ParamType::Number { min, max } => {
            let control = Control::Number {
                min: min.to_string(),
                max: max.to_string(),
                whole: false,
            };
            (control, format!("{min} to {max}"))
        }
        ParamType::Boolean => (Control::Switch, String::new()),
        ParamType::Url => {
            let hint = format!("A URL of {medium}, or a file of yours");
            (Control::File(accept(param.kind)), hint)
        }
        ParamType::Urls { min, max } => {
            let hint = format!("{min} to {max}, a line each: URLs of {medium}, or files of yours");
            (Control::Files(accept(param.kind)), hint)
        }
        ParamType::Task(earlier) => {
            let models: Vec<String> = earlier.models().map(str::to_owned).collect();
            let hint = format!("The id of a task of {}", crate::view::either(&models));
            (Control::Task, hint)
        }
        ParamType::Sound {
            min_seconds,
            max_seconds,
        } => {
            let hint = format!("A file of yours or a URL, {min_seconds} to {max_seconds} seconds");
            let kind = param.kind.or(Some(Medium::Audio));
            (Control::File(accept(kind)), hint)
        }
        ParamType::Items { min, max, .. } => {
            let blank = Control::Items {
                most: *max,
                rows: Vec::new(),
                blank: Vec::new(),
            };
            (blank, format!("{min} to {max} of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;

    use super::*;

    fn form(slug: &str, asked: &[(&str, &str)], mode: Mode) -> Form {
        let catalogue = Catalogue::built_in().unwrap();
        form_of(catalogue.find(slug).unwrap(), asked, mode)
    }

    fn form_of(model: &Model, asked: &[(&str, &str)], mode: Mode) -> Form {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let beginning = Beginning {
            example: &crate::examples::body(model),
            asked: &asked.iter().map(own).collect(),
            priced: &["resolution"],
            mode,
        };
        Form::of(model, &beginning)
    }

    fn names(fields: &[Field]) -> Vec<&str> {
        fields.iter().map(|field| field.name.as_str()).collect()
    }

    #[test]
    fn what_must_be_there_stands_in_front() {
        let form = form("flux-2", &[("resolution", "2K")], Mode::Test);
        assert_eq!(names(&form.first), ["prompt", "resolution"]);
        let [prompt, resolution] = form.first.as_slice() else {
            panic!("{:?}", form.first);
        };
        assert!(prompt.id == "prompt" && prompt.required && !prompt.priced);
        assert!(prompt.value.starts_with("A lighthouse"));
        assert!(resolution.priced && resolution.is("2K") && resolution.default == "1K");
        assert!(names(&form.more).contains(&"seed"));
    }

    #[test]
    fn every_model_has_at_most_one_main_text_and_ids_are_not_given_twice() {
        let catalogue = Catalogue::built_in().unwrap();
        for model in catalogue.models() {
            let form = form_of(model, &[], Mode::Test);
            let html: String = form
                .first
                .iter()
                .chain(&form.more)
                .map(|field| field.render().unwrap())
                .collect();
            let mut ids: Vec<&str> = html
                .split(" id=\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), count, "{}", model.slug);
        }
    }

    #[test]
    fn files_of_nobody_are_for_tests_alone() {
        let value = |mode| form("bg-remover", &[], mode).first[0].value.clone();
        assert!(value(Mode::Test).starts_with("https://example.com"));
        assert_eq!(value(Mode::Live), "");
    }

    #[test]
    fn a_list_of_objects_has_a_row_to_begin_with_and_one_to_make_more_of() {
        let form = form("elevenlabs-v3", &[], Mode::Test);
        let Control::Items { most, rows, blank } = &form.first[0].control else {
            panic!("{:?}", form.first);
        };
        assert_eq!((*most, rows.len()), (100, 1));
        assert_eq!(rows[0][0].id, "prompt");
        assert_eq!(rows[0][0].path, "dialogue[].text");
        assert_eq!(names(blank), ["text", "voice"]);
    }

    #[test]
    fn labels_are_words() {
        for (name, words) in [
            ("aspect_ratio", "Aspect ratio"),
            ("generateAudio", "Generate audio"),
            ("input_urls", "Input URLs"),
            ("task_id", "Task ID"),
            ("prompt", "Prompt"),
        ] {
            assert_eq!(label(name), words);
        }
    }
}
