//! Where a value stands among parameters: `image_urls`, or the second of them, `image_urls[1]`, as problems name it.

use serde_json::Value;

use super::{Param, ParamType, Resolved};

/// A parameter, or one element of a list of URLs.
struct Place<'a> {
    name: &'a str,
    index: Option<usize>,
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
