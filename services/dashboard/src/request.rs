//! A request for a model that it would take: the fewest parameters that its file demands, with values made up for content. Examples show it,
//! and the calculator fills in with it what a price does not depend on.

use domain::{
    ProblemKind,
    catalogue::{Category, Medium, Model, Param, ParamType, Resolved},
};
use serde_json::{Map, Value, json};

/// How often what is missing is filled in: a rule may ask for something once another is fulfilled.
const ROUNDS: usize = 8;
/// The words of a text that has to be longer.
const FILLING: &str = "and then, slowly, the light comes up over the sea ";
/// A file, and a task, of nobody.
const FILE: &str = "file_01h455vb4pex5vsknk084sn02q";
const TASK: &str = "task_01h455vb4pex5vsknk084sn02q";

/// Such a request with these parameters, which stay as they are, and what it resolves to.
///
/// # Errors
/// What is wrong with it all the same, as the API would say it.
pub(crate) fn complete(
    model: &Model,
    chosen: &Map<String, Value>,
) -> Result<(Map<String, Value>, Resolved), Vec<String>> {
    let mut sent = beginning(model);
    sent.extend(chosen.clone());
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        let problems = match model.resolve(sent.clone()) {
            Ok(resolved) => return Ok((sent, resolved)),
            Err(problems) => problems,
        };
        let mut is_mended = false;
        for problem in &problems {
            let (name, kind) = (&problem.param, problem.kind);
            let param = model.params.iter().find(|param| param.name == *name);
            if let (ProblemKind::Missing, Some(param)) = (kind, param) {
                sent.insert(name.clone(), example(model, param));
                is_mended = true;
            } else if !chosen.contains_key(name) && sent.remove(name).is_some() {
                is_mended = true;
            }
        }
        told = problems
            .into_iter()
            .map(|problem| problem.message)
            .collect();
        if !is_mended {
            break;
        }
    }
    Err(told)
}

/// What people write first, where the model takes it.
fn beginning(model: &Model) -> Map<String, Value> {
    let prompts = model
        .params
        .iter()
        .filter(|param| param.name == "prompt" && matches!(param.of, ParamType::Text { .. }));
    let first = prompts.map(|param| (param.name.clone(), example(model, param)));
    let demanded = model
        .params
        .iter()
        .filter(|param| param.required && !param.ours && param.default.is_none());
    first
        .chain(demanded.map(|param| (param.name.clone(), example(model, param))))
        .collect()
}

/// A value that the parameter takes.
fn example(model: &Model, param: &Param) -> Value {
    match &param.of {
        ParamType::Text { min, max } => {
            let text = if param.name == "prompt" {
                prompt(model.category)
            } else {
                "Hello from the other side of the bay."
            };
            let mut text = text.to_owned();
            while text.chars().count() < *min {
                text.push_str(FILLING);
            }
            json!(text.chars().take(*max).collect::<String>())
        }
        ParamType::Choice { values, .. } => json!(values.first()),
        ParamType::Integer { min, .. } => json!(min),
        ParamType::Number { min, .. } => json!(min),
        ParamType::Boolean => json!(true),
        ParamType::Url => json!(url(param)),
        ParamType::Urls { min, .. } => {
            json!(vec![url(param); (*min).max(1)])
        }
        ParamType::Task(_) => json!(TASK),
        // A sound whose seconds are counted has to be uploaded.
        ParamType::Sound { .. } => json!(FILE),
        ParamType::Items { min, fields, .. } => {
            let wanted = fields
                .iter()
                .filter(|field| field.required || matches!(field.of, ParamType::Choice { .. }));
            let item: Map<String, Value> = wanted
                .map(|field| {
                    let value = field.default.clone();
                    let value = value.unwrap_or_else(|| example(model, field));
                    (field.name.clone(), value)
                })
                .collect();
            json!(vec![Value::Object(item); (*min).max(1)])
        }
    }
}

const fn url(param: &Param) -> &'static str {
    match param.kind {
        Some(Medium::Video) => "https://example.com/clip.mp4",
        Some(Medium::Audio | Medium::Recording) => "https://example.com/sound.mp3",
        Some(Medium::Image) | None => "https://example.com/photo.jpg",
    }
}

const fn prompt(category: Category) -> &'static str {
    match category {
        Category::Video => "A lighthouse at dawn, waves rolling in, slow pan to the right",
        Category::Music => "A calm piano piece for a rainy afternoon",
        Category::Chat
        | Category::Image
        | Category::Speech
        | Category::Transcription
        | Category::Tool
        | Category::Embedding => "A lighthouse at dawn, soft light, a calm sea",
    }
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;

    use super::*;

    #[test]
    fn every_model_takes_its_example() {
        let catalogue = Catalogue::built_in().unwrap();
        for model in catalogue.models() {
            let made = complete(model, &Map::new());
            assert!(made.is_ok(), "{}: {made:?}", model.slug);
        }
    }

    #[test]
    fn what_was_chosen_stays() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("kling-3").unwrap();
        let chosen = |seconds: u64| Map::from_iter([("duration".to_owned(), json!(seconds))]);
        let (sent, resolved) = complete(model, &chosen(7)).unwrap();
        assert_eq!(
            (&sent["duration"], &resolved["duration"]),
            (&json!(7), &json!(7))
        );
        let told = complete(model, &chosen(99)).unwrap_err();
        assert!(told[0].contains("duration must be"), "{told:?}");
    }
}
