//! What translators of requests share: a body as a tree, bounded, and everything that is wrong with it. Pure.

use domain::json::{MAX_VALUES, values};
use proto::{Code, Fault, Violation, code};
use serde_json::{Map, Value};

/// So many mistakes are looked for.
const MAX_WRONG: usize = 16;

/// What was found wrong so far.
#[derive(Default)]
pub(crate) struct Wrong(Vec<(Code, Violation)>);

/// The fields of a body.
///
/// # Errors
/// When it is no object, or one with too much in it.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    if values(body) > MAX_VALUES {
        let message = format!("the body holds more than {MAX_VALUES} values");
        return Err(Fault::new(code::BODY_TOO_LARGE, message));
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        let message = "the body must be one JSON object";
        return Err(Fault::new(code::INVALID_JSON, message));
    };
    Ok(fields)
}

/// Takes a field out; `null` is an absent field.
pub(crate) fn given(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.remove(name).filter(|value| !value.is_null())
}

/// The same of a value that may be an object.
pub(crate) fn given_in(value: &mut Value, name: &str) -> Option<Value> {
    value.as_object_mut().and_then(|fields| given(fields, name))
}

/// What chat complains of, by the names that the customer knows: each name of chat with the one here. Of `messages` only that is told:
/// what one of them holds is in another place here.
pub(crate) fn renamed(mut fault: Fault, names: &[(&str, &str)]) -> Fault {
    let Some(param) = &mut fault.param else {
        return fault;
    };
    rename(param, &mut fault.message, names);
    for violation in &mut fault.violations {
        rename(&mut violation.param, &mut violation.message, names);
    }
    fault
}

/// A message names the field that it is about first.
fn rename(param: &mut String, message: &mut String, names: &[(&str, &str)]) {
    for (theirs, ours) in names {
        let Some(rest) = param.strip_prefix(theirs) else {
            continue;
        };
        let behind = if *theirs == "messages" { "" } else { rest };
        if !rest.is_empty() && !rest.starts_with(['.', '[']) {
            continue;
        }
        if let Some(text) = message.strip_prefix(param.as_str()) {
            *message = format!("{ours}{behind}{text}");
        }
        *param = format!("{ours}{behind}");
        return;
    }
}

// === impl Wrong ===

impl Wrong {
    /// A field that must be there.
    pub(crate) fn missing(&mut self, name: &str) {
        let message = format!("{name} is required");
        self.note(code::MISSING_PARAMETER, name, message);
    }

    /// A field that must be otherwise.
    pub(crate) fn invalid(&mut self, name: &str, allowed: &str) {
        let message = format!("{name} must {allowed}");
        self.note(code::INVALID_PARAMETER, name, message);
    }

    /// Whether it is pointless to look for more.
    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() >= MAX_WRONG
    }

    #[cfg(test)]
    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    /// What is left of a request's fields when all that are known were taken.
    pub(crate) fn unknown(&mut self, fields: &Map<String, Value>) {
        for name in fields.keys() {
            let message = format!("{name} is not a field of this route");
            self.note(code::UNKNOWN_PARAMETER, name, message);
        }
    }

    fn note(&mut self, code: Code, param: &str, message: String) {
        if self.is_full() {
            return;
        }
        let param = param.to_owned();
        self.0.push((code, Violation { param, message }));
    }

    /// Whether nothing is wrong.
    ///
    /// # Errors
    /// Everything that is.
    pub(crate) fn done(self) -> Result<(), Fault> {
        let Some((code, _)) = self.0.first() else {
            return Ok(());
        };
        let code = *code;
        let violations = self.0.into_iter().map(|(_, wrong)| wrong).collect();
        Err(Fault::from_violations(code, violations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_strings() {
        for (json, expected) in [
            (r#"{"a":"x,[\",[","b":[1,2,3]}"#, 5),
            ("[0,0,0]", 4),
            (r#""\\",1"#, 2),
            (r#""open"#, 1),
        ] {
            assert_eq!(values(json.as_bytes()), expected, "{json}");
        }
        let many = format!(r#"{{"messages":[{}0]}}"#, "0,".repeat(100_000));
        let fault = object(many.as_bytes()).unwrap_err();
        assert_eq!(fault.code, code::BODY_TOO_LARGE);
    }
}
