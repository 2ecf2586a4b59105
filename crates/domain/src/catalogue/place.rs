//! Where a value stands among parameters: `image_urls`, or the second of them, `image_urls[1]`, as problems name it.

use serde_json::Value;

use super::{Param, ParamType, Resolved};

/// A parameter, or one element of a list of URLs.
struct Place<'a> {
    name: &'a str,
    index: Option<usize>,
}

/// Whether a text is there in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Always,
    Perhaps,
}

/// What stands there, if anything does.
pub(super) fn value<'v>(place: &str, resolved: &'v Resolved) -> Option<&'v Value> {
    let place = Place::read(place)?;
    let value = resolved.get(place.name)?;
    match place.index {
        None => Some(value),
        Some(index) => value.as_array()?.get(index),
    }
}

/// The parameter whose place this is. `who` names the place, for whoever wrote the file.
pub(super) fn param<'p>(who: &str, place: &str, params: &'p [Param]) -> Result<&'p Param, String> {
    let unknown = || format!("{who} names {place}, which is not a parameter");
    let Place { name, index } = Place::read(place).ok_or_else(unknown)?;
    let mut params = params.iter();
    let param = params
        .find(|param| param.name == name)
        .ok_or_else(unknown)?;
    let has = |index: usize| matches!(&param.of, ParamType::Urls { max, .. } if index < *max);
    if index.is_none_or(has) {
        Ok(param)
    } else {
        Err(format!("{who} names {place}, and there is no such element"))
    }
}

/// How many characters stand there: in a text, or, as `list.field`, in that field of all elements of a list together.
pub(crate) fn length(place: &str, resolved: &Resolved) -> Option<usize> {
    let chars = |text: &Value| Some(text.as_str()?.chars().count());
    let Some((list, field)) = place.split_once('.') else {
        return chars(resolved.get(place)?);
    };
    let items = resolved.get(list)?.as_array()?.iter();
    let lengths = items.filter_map(|item| chars(item.get(field)?));
    Some(lengths.fold(0, usize::saturating_add))
}

/// The text whose [`length`] that is, and whether it is always there and never empty.
pub(super) fn text<'p>(place: &str, params: &'p [Param]) -> Option<(&'p Param, Presence)> {
    let find = |params: &'p [Param], name: &str| params.iter().find(|param| param.name == name);
    let (list, field) = place.split_once('.').unwrap_or((place, ""));
    let param = find(params, list)?;
    let (text, around) = match &param.of {
        ParamType::Items { min, fields, .. } => (find(fields, field)?, param.required && *min > 0),
        ParamType::Text { .. } if field.is_empty() => (param, true),
        ParamType::Text { .. }
        | ParamType::Choice { .. }
        | ParamType::Integer { .. }
        | ParamType::Number { .. }
        | ParamType::Boolean
        | ParamType::Url
        | ParamType::Urls { .. }
        | ParamType::Task(_)
        | ParamType::Sound { .. } => return None,
    };
    let ParamType::Text { min, .. } = &text.of else {
        return None;
    };
    let always = around && text.required && *min > 0;
    Some((
        text,
        if always {
            Presence::Always
        } else {
            Presence::Perhaps
        },
    ))
}

/// Whether a length is always above zero.
pub(crate) fn has_length(place: &str, params: &[Param]) -> bool {
    matches!(text(place, params), Some((_, Presence::Always)))
}

// === impl Place ===

impl<'a> Place<'a> {
    fn read(place: &'a str) -> Option<Self> {
        let Some((name, index)) = place
            .strip_suffix(']')
            .and_then(|rest| rest.split_once('['))
        else {
            return Some(Self {
                name: place,
                index: None,
            });
        };
        let index = index.parse().ok()?;
        Some(Self {
            name,
            index: Some(index),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_element_of_a_list_is_a_place_of_its_own() {
        let resolved = json!({"seed": 7, "urls": ["a", "b"]});
        let resolved = resolved.as_object().unwrap();
        for (place, found) in [
            ("seed", Some(json!(7))),
            ("urls", Some(json!(["a", "b"]))),
            ("urls[0]", Some(json!("a"))),
            ("urls[1]", Some(json!("b"))),
            ("urls[2]", None),
            ("seed[0]", None),
            ("urls[x]", None),
            ("none", None),
        ] {
            assert_eq!(value(place, resolved), found.as_ref(), "{place}");
        }
    }

    #[test]
    fn the_texts_of_a_list_are_as_long_as_all_of_them() {
        let resolved =
            json!({"prompt": "é!", "lines": [{"text": "a fox"}, {"text": "föx"}, {}], "seed": 7});
        let resolved = resolved.as_object().unwrap();
        for (place, found) in [
            ("prompt", Some(2)),
            ("lines.text", Some(8)),
            ("seed", None),
            ("lines", None),
            ("prompt.text", None),
            ("none.text", None),
        ] {
            assert_eq!(length(place, resolved), found, "{place}");
        }
        let params = json!([
            {"name": "prompt", "type": "text", "min": 1, "max": 9},
            {"name": "lines", "type": "items", "min": 1, "max": 9, "required": true, "fields": [
                {"name": "text", "type": "text", "min": 1, "max": 9, "required": true},
                {"name": "note", "type": "text", "min": 1, "max": 9},
                {"name": "seed", "type": "integer", "min": 1, "max": 9},
            ]},
        ]);
        let params: Vec<Param> = serde_json::from_value(params).unwrap();
        let presence = |place| text(place, &params).map(|(_, presence)| presence);
        assert_eq!(presence("lines.text"), Some(Presence::Always));
        for perhaps in ["prompt", "lines.note"] {
            assert_eq!(presence(perhaps), Some(Presence::Perhaps));
        }
        for none in ["lines", "lines.seed", "lines.x", "prompt.text", "x"] {
            assert_eq!(presence(none), None, "{none}");
        }
    }

    #[test]
    fn a_place_is_in_a_parameter() {
        let params = [
            json!({"name": "seed", "type": "integer", "min": 0, "max": 9}),
            json!({"name": "urls", "type": "urls", "max": 2}),
        ];
        let params: Vec<Param> = params
            .into_iter()
            .map(|param| serde_json::from_value(param).unwrap())
            .collect();
        for (place, told) in [
            ("seed", ""),
            ("urls[1]", ""),
            ("urls[2]", "no such element"),
            ("seed[0]", "no such element"),
            ("urls[x]", "not a parameter"),
            ("sed", "not a parameter"),
        ] {
            let found = param("a row", place, &params);
            let error = found.err().unwrap_or_default();
            assert!(error.contains(told), "{place}: {error}");
            assert_eq!(error.is_empty(), told.is_empty(), "{place}");
        }
    }
}
