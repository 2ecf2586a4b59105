//! What a provider's errors mean, as its file says it.

use upstream::Class;

use super::{fields::Fields, file::path, path::Path};

/// Where the words of an error are, and what they mean.
#[derive(Debug, Default)]
pub(super) struct Errors {
    pub(super) code: Option<Path>,
    pub(super) message: Option<Path>,
    pub(super) rules: Vec<Rule>,
}

/// What an error means that is all of this.
#[derive(Debug)]
pub(super) struct Rule {
    /// Of these HTTP statuses; empty: of any.
    pub(super) statuses: Vec<u16>,
    /// With one of these codes; empty: with any.
    pub(super) codes: Vec<String>,
    /// With one of these texts in its message, in lower case; empty: with any.
    pub(super) words: Vec<String>,
    pub(super) class: Class,
}

/// What a rule may call an error.
const CLASSES: [Class; 8] = [
    Class::Auth,
    Class::Balance,
    Class::RateLimited,
    Class::Overloaded,
    Class::Invalid,
    Class::Moderated,
    Class::Gone,
    Class::Unknown,
];
// === impl Errors ===

impl Errors {
    /// Reads the section.
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let code = path(&mut fields, "code");
        let message = path(&mut fields, "message");
        let rules = fields.tables("rules").into_iter();
        let rules = rules.filter_map(|fields| rule(fields, (&code, &message)));
        let rules = rules.collect();
        fields.done();
        Self {
            code,
            message,
            rules,
        }
    }
}

fn rule(mut fields: Fields<'_>, (code, message): (&Option<Path>, &Option<Path>)) -> Option<Rule> {
    let statuses = fields.statuses("status");
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let codes = owned(fields.texts("codes"));
    let words = owned(fields.texts("words"));
    if !codes.is_empty() && code.is_none() {
        fields.wrong(
            "codes",
            "errors.code is missing: where the code of an error is",
        );
    }
    if !words.is_empty() && message.is_none() {
        fields.wrong(
            "words",
            "errors.message is missing: where the message of an error is",
        );
    }
    if statuses.is_empty() && codes.is_empty() && words.is_empty() {
        fields.wrong(
            "class",
            "without status, codes and words every error would be of it",
        );
    }
    let name = fields.needed("class");
    let class = name.and_then(|name| CLASSES.into_iter().find(|class| class.as_str() == name));
    if let Some(name) = name
        && class.is_none()
    {
        let known = CLASSES.map(Class::as_str).join(", ");
        fields.wrong("class", format_args!("{name} is none of {known}"));
    }
    fields.done();
    Some(Rule {
        statuses,
        codes,
        words: words.iter().map(|text| text.to_lowercase()).collect(),
        class: class?,
    })
}
