//! What the parameters of a model demand of one another, as sentences.

use domain::catalogue::Rule;

use crate::view::{either, plain};

/// The sentences of one rule.
pub(crate) fn sentences(rule: &Rule) -> Vec<String> {
    let mut said = Vec::new();
    for name in &rule.needs {
        said.push(format!("{name} is required"));
    }
    for name in &rule.excludes {
        said.push(format!("{name} is left out"));
    }
    for (name, values) in &rule.allows {
        let words = values.as_array().map(|values| values.iter().map(plain));
        let words: Vec<String> = words.into_iter().flatten().collect();
        said.push(format!("{name} is {}", either(&words)));
    }
    for (name, of) in &rule.sums {
        said.push(format!("{name} is the sum of {}", plain(of)));
    }
    for (name, most) in &rule.characters {
        said.push(format!("{name} has at most {most} characters"));
    }
    for (name, most) in &rule.different {
        said.push(format!("{name} has at most {most} different values"));
    }
    let condition = condition(rule);
    said.into_iter()
        .map(|sentence| format!("{condition}{sentence}."))
        .collect()
}

/// `Where mode is pro and image is given, `
fn condition(rule: &Rule) -> String {
    let is = rule
        .when
        .iter()
        .map(|(name, value)| format!("{name} is {}", plain(value)));
    let given = rule.with.iter().map(|name| format!("{name} is given"));
    let missing = rule
        .without
        .iter()
        .map(|name| format!("{name} is left out"));
    let all: Vec<String> = is.chain(given).chain(missing).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("Where {}, ", all.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;

    use crate::view::View;

    #[test]
    fn a_rule_is_said_with_its_condition() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("kling-3").unwrap();
        let rules = View::new(model, domain::Moment::default()).rules();
        for sentence in [
            "Where multi_shots is false, prompt is required.",
            "Where multi_shots is false, multi_prompt is left out.",
            "Where multi_shots is true, duration is the sum of multi_prompt.duration.",
        ] {
            assert!(rules.iter().any(|rule| rule == sentence), "{rules:?}");
        }
    }
}
