//! A value as a program writes it: on one line if that is short, and else on several.

use serde_json::Value;

/// Characters of a value that still stands on one line.
const LINE: usize = 80;

/// How a language writes what is neither a number nor a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// As JSON does, and JavaScript with it.
    Json,
    /// `True`, `False`, `None`.
    Python,
}

/// The value; `indent`: how far the line stands in that it begins on.
pub(super) fn written(value: &Value, indent: usize, words: Words) -> String {
    let short = on_one_line(value, words);
    if short.chars().count() <= LINE {
        return short;
    }
    let step = if words == Words::Python { 4 } else { 2 };
    let inner = indent.saturating_add(step);
    let (pad, end) = (" ".repeat(inner), " ".repeat(indent));
    match value {
        Value::Array(items) => {
            let line = |item| format!("{pad}{},\n", written(item, inner, words));
            let lines: String = items.iter().map(line).collect();
            format!("[\n{lines}{end}]")
        }
        Value::Object(fields) => {
            let line = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str());
                format!("{pad}{name}: {},\n", written(value, inner, words))
            };
            let lines: String = fields.iter().map(line).collect();
            format!("{{\n{lines}{end}}}")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => short,
    }
}

fn on_one_line(value: &Value, words: Words) -> String {
    match value {
        Value::Null if words == Words::Python => "None".to_owned(),
        Value::Bool(yes) if words == Words::Python => {
            let word = if *yes { "True" } else { "False" };
            word.to_owned()
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| on_one_line(item, words)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str());
                format!("{name}: {}", on_one_line(value, words))
            };
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_short_stands_on_one_line_and_what_is_long_does_not() {
        let short = json!({"a": [true, null], "b": "it's"});
        let python = written(&short, 4, Words::Python);
        assert_eq!(python, r#"{"a": [True, None], "b": "it's"}"#);
        assert_eq!(
            written(&short, 4, Words::Json),
            r#"{"a": [true, null], "b": "it's"}"#
        );
        let long = json!([{"content": "x".repeat(LINE), "last": true}]);
        let text = written(&long, 4, Words::Python);
        let (first, last) = (
            "[\n        {\n            \"content\": \"xxx",
            "            \"last\": True,\n        },\n    ]",
        );
        assert!(text.starts_with(first) && text.ends_with(last), "{text}");
    }
}
