//! Reading a small JSON object of ours, field by field: everything wrong with it is said at once, unknown fields by name.
//! Numbers are read as they were written, so that no amount of money passes through a float.

use std::{collections::HashSet, fmt};

use domain::{Micros, Moment, MoneyError, PriceFactor};
use proto::{Code, Fault, Violation, code};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::error::ApiError;

/// The fields of an object that were not read yet, and what is wrong so far.
pub(crate) struct Fields<'a> {
    unread: Vec<Field<'a>>,
    wrong: Vec<(Code, Violation)>,
}

/// A name, and what stands there.
pub(crate) type Field<'a> = (String, &'a RawValue);

/// The fields as they stand in the text; a name that comes twice is an error.
struct Object<'a>(Vec<Field<'a>>);

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Reads the object.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let object: Object<'a> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
        Ok(Self {
            unread: object.0,
            wrong: Vec::new(),
        })
    }

    /// A text of `min` to `max` characters.
    pub(crate) fn text(&mut self, name: &str, min: usize, max: usize) -> Option<String> {
        let allowed = format!("be a text of {min} to {max} characters");
        self.read(name, &allowed, |raw| {
            let text: String = serde_json::from_str(raw).ok()?;
            (min..=max).contains(&text.chars().count()).then_some(text)
        })
    }

    /// An amount of credits.
    pub(crate) fn credits(&mut self, name: &str) -> Option<Micros> {
        let (_, raw) = self.find(name)?;
        match Micros::parse_credits(raw.get()) {
            Ok(amount) => Some(amount),
            Err(error) => {
                let allowed = match error {
                    MoneyError::NotANumber => "be a plain JSON number, such as 10.5",
                    MoneyError::TooPrecise => "have at most 6 decimal places",
                    MoneyError::Overflow => "be smaller: it is out of range",
                };
                self.invalid(name, allowed);
                None
            }
        }
    }

    /// What an account pays of a price, as a decimal.
    pub(crate) fn price_factor(&mut self, name: &str) -> Option<PriceFactor> {
        let allowed = "be a number above 0 and at most 10, with at most 6 decimal places";
        self.read(name, allowed, PriceFactor::parse)
    }

    /// Whether a field is there that was not read yet, and says something.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut unread = self.unread.iter();
        unread.any(|(known, raw)| known == name && raw.get() != "null")
    }

    /// Whatever was not read, for somebody who knows it, unless something else was wrong.
    pub(crate) fn rest(mut self) -> Result<Vec<Field<'a>>, ApiError> {
        let unread = std::mem::take(&mut self.unread);
        self.finish()?;
        Ok(unread)
    }

    /// Whatever stands there, as it stands there.
    pub(crate) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        self.find(name).map(|(_, raw)| raw)
    }

    /// A whole number from 1 on.
    pub(crate) fn count(&mut self, name: &str) -> Option<u32> {
        let allowed = format!("be a whole number from 1 to {}", u32::MAX);
        self.read(name, &allowed, |raw| {
            serde_json::from_str(raw).ok().filter(|count| *count > 0)
        })
    }

    /// A moment in RFC 3339, as microseconds UTC.
    pub(crate) fn moment(&mut self, name: &str) -> Option<i64> {
        let allowed = "be a moment in RFC 3339, such as 2030-01-31T12:00:00Z";
        self.read(name, allowed, |raw| {
            let text: String = serde_json::from_str(raw).ok()?;
            Moment::parse(&text).map(Moment::micros)
        })
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, "be true or false", |raw| {
            serde_json::from_str(raw).ok()
        })
    }

    /// One of a few words.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.read(name, &format!("be {allowed}"), |raw| {
            let text: String = serde_json::from_str(raw).ok()?;
            parse(&text)
        })
    }

    /// A list of at least one word; each must be `allowed`.
    pub(crate) fn words(
        &mut self,
        name: &str,
        allowed: &str,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        self.read(name, &format!("be a list of {allowed}"), |raw| {
            let words: Vec<String> = serde_json::from_str(raw).ok()?;
            let good = !words.is_empty() && words.iter().all(|word| is_allowed(word));
            good.then_some(words)
        })
    }

    /// The fields of an object within; what is wrong with them is said with the object's name before theirs.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let (_, raw) = self.find(name)?;
        let Ok(object) = serde_json::from_str::<Object<'a>>(raw.get()) else {
            self.invalid(name, "be an object");
            return None;
        };
        let mut within = Self {
            unread: object.0,
            wrong: Vec::new(),
        };
        let value = read(&mut within);
        for (unknown, _) in std::mem::take(&mut within.unread) {
            within.unknown(&unknown);
        }
        for (code, wrong) in within.wrong {
            let param = format!("{name}.{}", wrong.param);
            self.note(code, &param, format!("{name}.{}", wrong.message));
        }
        Some(value)
    }

    /// Whether a field is there and `null`: of a change, that takes away what was there.
    pub(crate) fn is_null(&mut self, name: &str) -> bool {
        let null = |(known, raw): &Field<'_>| known == name && raw.get() == "null";
        let at = self.unread.iter().position(null);
        at.map(|at| self.unread.swap_remove(at)).is_some()
    }

    /// Notes that a field must be there, unless it is, or was already found wrong.
    pub(crate) fn require<T>(&mut self, name: &str, value: Option<&T>) {
        if value.is_none() && !self.wrong.iter().any(|(_, wrong)| wrong.param == name) {
            self.note(code::MISSING_PARAMETER, name, format!("{name} is required"));
        }
    }

    /// Notes that a field's value is not allowed.
    pub(crate) fn invalid(&mut self, name: &str, allowed: &str) {
        self.note(
            code::INVALID_PARAMETER,
            name,
            format!("{name} must {allowed}"),
        );
    }

    /// Everything was read: what is left is unknown, and anything wrong is said now.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.unread) {
            self.unknown(&name);
        }
        match self.wrong.first() {
            None => Ok(()),
            Some((code, _)) => {
                let code = *code;
                let violations = self.wrong.into_iter().map(|(_, wrong)| wrong).collect();
                Err(Fault::from_violations(code, violations).into())
            }
        }
    }

    /// Takes a field out; `null` is an absent field.
    fn find(&mut self, name: &str) -> Option<Field<'a>> {
        let at = self.unread.iter().position(|(known, _)| known == name)?;
        let field = self.unread.swap_remove(at);
        (field.1.get() != "null").then_some(field)
    }

    fn read<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (_, raw) = self.find(name)?;
        let value = parse(raw.get());
        if value.is_none() {
            self.invalid(name, allowed);
        }
        value
    }

    fn unknown(&mut self, name: &str) {
        let message = format!("{name} is not a field of this route");
        self.note(code::UNKNOWN_PARAMETER, name, message);
    }

    fn note(&mut self, code: Code, param: &str, message: String) {
        let param = param.to_owned();
        self.wrong.push((code, Violation { param, message }));
    }
}

/// Says where the JSON breaks, and never what stands there.
fn not_json(error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let message = match error.classify() {
        Category::Syntax => {
            format!("the body is not valid JSON: it breaks at line {line} column {column}")
        }
        Category::Eof => {
            format!("the body is not valid JSON: it ends early, at line {line} column {column}")
        }
        Category::Data => {
            "the body must be one JSON object in which no name comes twice".to_owned()
        }
        Category::Io => "the body cannot be read".to_owned(),
    };
    ApiError::new(code::INVALID_JSON, message)
}

// === impl Object ===

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let (mut fields, mut known) = (Vec::<Field<'de>>::new(), HashSet::new());
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !known.insert(name.clone()) {
                        return Err(de::Error::custom("a name comes twice"));
                    }
                    fields.push((name, value));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_and_param(error: &ApiError) -> (&str, Option<&str>) {
        (error.fault().code.word, error.fault().param.as_deref())
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let body = br#"{"name":"","credits":1.1234567,"colour":"red","mode":"live"}"#;
        let mut fields = Fields::parse(body).unwrap();
        assert_eq!(fields.text("name", 1, 10), None);
        assert_eq!(fields.credits("credits"), None);
        assert_eq!(
            fields.word("mode", "test or live", domain::Mode::parse),
            Some(domain::Mode::Live)
        );
        fields.require::<u8>("reason", None);
        fields.require::<u8>("name", None);
        let error = fields.finish().unwrap_err();
        assert_eq!(code_and_param(&error), ("invalid_parameter", Some("name")));
        let listed: Vec<_> = error
            .fault()
            .violations
            .iter()
            .map(|v| v.param.as_str())
            .collect();
        assert_eq!(listed, ["name", "credits", "reason", "colour"]);
    }

    #[test]
    fn money_is_read_as_it_was_written() {
        let read = |text: &str| {
            let body = format!("{{\"credits\":{text}}}");
            let mut fields = Fields::parse(body.as_bytes()).unwrap();
            let amount = fields.credits("credits");
            fields.finish().ok().and(amount).map(Micros::get)
        };
        assert_eq!(read("10.5"), Some(10_500_000));
        assert_eq!(read("-0.000001"), Some(-1));
        assert_eq!(read("0.1"), Some(100_000));
        assert_eq!(read("1e3"), Some(1_000_000_000));
        for text in [
            "\"10\"",
            "1e-7",
            "0.0000001",
            "9999999999999999",
            "[1]",
            "true",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_object_within_is_read_and_its_fields_are_named_whole() {
        let body = br#"{"caps":{"day":1.5,"month":"x","year":1},"none":null,"other":[]}"#;
        let mut fields = Fields::parse(body).unwrap();
        let caps = fields.object("caps", |caps| (caps.credits("day"), caps.credits("month")));
        assert_eq!(caps, Some((Some(Micros::new(1_500_000)), None)));
        assert!(fields.is_null("none") && !fields.is_null("none") && !fields.is_null("other"));
        assert_eq!(fields.object("other", |_| ()), None);
        let error = fields.finish().unwrap_err();
        let said: Vec<_> = error
            .fault()
            .violations
            .iter()
            .map(|v| (v.param.as_str(), v.message.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                (
                    "caps.month",
                    "caps.month must be a plain JSON number, such as 10.5"
                ),
                ("caps.year", "caps.year is not a field of this route"),
                ("other", "other must be an object"),
            ]
        );
    }

    #[test]
    fn what_is_not_an_object_is_refused_without_quoting_it() {
        for body in [
            r#"{"name":"sec"#,
            r#"{"name" "sec"}"#,
            r#"["sec"]"#,
            r#""sec""#,
            r#"{"sec":1,"sec":2}"#,
            "",
        ] {
            let error = Fields::parse(body.as_bytes()).err().unwrap();
            assert_eq!(error.fault().code.word, "invalid_json", "{body}");
            assert!(
                !error.fault().message.contains("sec"),
                "{}",
                error.fault().message
            );
        }
    }

    #[test]
    fn moments_and_counts_are_read() {
        let body = br#"{"at":"1970-01-01T00:00:01.5Z","n":3,"none":null,"zero":0}"#;
        let mut fields = Fields::parse(body).unwrap();
        assert_eq!(fields.moment("at"), Some(1_500_000));
        assert_eq!(fields.count("n"), Some(3));
        assert_eq!(fields.count("none"), None);
        assert_eq!(fields.count("zero"), None);
        let error = fields.finish().unwrap_err();
        assert_eq!(code_and_param(&error), ("invalid_parameter", Some("zero")));
    }
}
