//! Where something stands in an answer: a JSON path (RFC 9535) whose cost is bounded by the answer's size. Pure.

use serde_json::Value;
use serde_json_path::JsonPath;

/// The longest path, in bytes.
const MAX_BYTES: usize = 200;

/// A path that was read.
#[derive(Clone, Debug)]
pub(super) struct Path(JsonPath);

// === impl Path ===

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a path has at most {MAX_BYTES} bytes"));
        }
        let bare = without_quoted(text);
        // Each of these can look at one part of an answer many times.
        let is_costly = bare.contains("..")
            || bare.contains(',')
            || bare.matches('?').count() > 1
            || bare.matches('$').count() > 1;
        if is_costly {
            let rule = "a path has one $, at most one ?, and neither .. nor a comma";
            return Err(rule.to_owned());
        }
        JsonPath::parse(text).map(Self).map_err(|error| {
            let (place, message) = (error.position(), error.message());
            format!("not a JSON path such as $.result.files[*].url: {message}, at {place}")
        })
    }

    /// The first that stands there, null counting as nothing.
    pub(super) fn one<'v>(&self, answer: &'v Value) -> Option<&'v Value> {
        let found = self.0.query(answer).first();
        found.filter(|value| !value.is_null())
    }

    /// As a text, be it a word, a number, `true` or `false`.
    pub(super) fn word(&self, answer: &Value) -> Option<String> {
        word(self.one(answer)?)
    }

    /// Everything that stands there; what is in a list counts one by one.
    pub(super) fn all<'v>(&self, answer: &'v Value) -> Vec<&'v Value> {
        let mut all = Vec::new();
        for value in self.0.query(answer).all() {
            match value.as_array() {
                Some(items) => all.extend(items),
                None => all.push(value),
            }
        }
        all
    }
}

/// A word, a number, `true` or `false`.
pub(super) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text without what stands between quotes.
fn without_quoted(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let (mut open, mut escaped) = (None, false);
    for c in text.chars() {
        match open {
            None if c == '\'' || c == '"' => open = Some(c),
            None => bare.push(c),
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(quote) if c == quote => open = None,
            Some(_) => {}
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_what_stands_there() {
        let answer = json!({
            "id": 7, "done": false, "none": null, "a.b": { "x,..?$": "odd" },
            "files": [{ "kind": "log", "url": "l" }, { "kind": "picture", "url": "p" }], "urls": ["u", "v"],
        });
        let one = |path: &str| Path::read(path).unwrap().word(&answer);
        assert_eq!(one("$.id").as_deref(), Some("7"));
        assert_eq!(one("$.done").as_deref(), Some("false"));
        assert_eq!(one("$['a.b']['x,..?$']").as_deref(), Some("odd"));
        for path in ["$.none", "$.files", "$.nothing.there"] {
            assert_eq!(one(path), None, "{path}");
        }
        let all = |path: &str| json!(Path::read(path).unwrap().all(&answer));
        assert_eq!(all("$.files[*].url"), json!(["l", "p"]));
        assert_eq!(all("$.files[?@.kind == 'picture'].url"), json!(["p"]));
        assert_eq!(all("$.urls"), json!(["u", "v"]));
        assert_eq!(all("$.urls[1]"), json!(["v"]));
        assert_eq!(all("$.nothing[*]"), json!([]));
    }

    #[test]
    fn a_path_that_is_none_or_costs_too_much_is_told() {
        for path in ["", "id", "$.", "$.a[", "$.a[?@.x ==]"] {
            let told = Path::read(path).unwrap_err();
            assert!(told.starts_with("not a JSON path"), "{path}: {told}");
        }
        for path in [
            "$..url",
            "$.a[0,1]",
            "$.a[*,*]",
            "$[?@.a[?@.b]]",
            "$[?@.a == $.b]",
        ] {
            let told = Path::read(path).unwrap_err();
            assert!(told.starts_with("a path has one $"), "{path}: {told}");
        }
        let long = format!("$.{}", "x".repeat(MAX_BYTES));
        assert!(Path::read(&long).unwrap_err().contains("200 bytes"));
    }
}
