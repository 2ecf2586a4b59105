//! What providers are sent, and what no row may say.

use serde_json::json;

use crate::Catalogue;

const IMAGE: &str = include_str!("../../../catalogue/flux-2.toml");

/// flux-2 with its maker alone, which is sent this for flex.
fn with_input(input: &str) -> Result<Catalogue, String> {
    let (own, _) = IMAGE.split_once("# When the maker cannot").unwrap();
    let text = format!("{own}\n[providers.input]\n{input}\n");
    Catalogue::parse(&[("a.toml", &text)]).map_err(|error| error.to_string())
}

#[test]
fn a_provider_is_sent_its_own_names_and_words() {
    let catalogue = with_input(
        r#"text = "$prompt"
        n = 1
        price = "$$5"
        size = { of = "resolution", map = { "1K" = "small", "2K" = { width = 2048 } } }
        seed = { of = "seed", as = "text" }
        steps = { of = "seed", or = 28 }
        rough = { of = "seed", nearest = [0, 5.5, 10] }
        images = ["$input_urls"]
        each = [{ url = "$input_urls[0]" }, { url = "$input_urls[1]" }, {}]
        first = "$input_urls[0]"
        second = { of = "input_urls[1]" }
        both = { join = ["$seed", "by", "$prompt"], by = "-" }
        none = { join = ["$input_urls[7]", "$input_urls[6]"], or = "any" }
        nested = { prompt = "$prompt", seed = "$seed", list = [1, "$seed"] }"#,
    )
    .unwrap();
    let model = catalogue.find("flux-2").unwrap();
    let route = model.providers.last().unwrap();
    let input = |sent: serde_json::Value| {
        let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
        serde_json::Value::Object(route.input(&resolved))
    };
    assert_eq!(
        input(json!({"prompt": "a fox", "resolution": "2k"})),
        json!({"text": "a fox", "n": 1, "price": "$5", "size": {"width": 2048}, "steps": 28, "each": [{}], "both": "by-a fox", "none": "any", "nested": {"prompt": "a fox", "list": [1]}})
    );
    assert_eq!(
        input(json!({"prompt": "a fox", "seed": "7", "input_urls": ["https://a.example/1"]})),
        json!({"text": "a fox", "n": 1, "price": "$5", "size": "small", "seed": "7", "steps": 7, "rough": 5.5, "images": [["https://a.example/1"]],
               "each": [{"url": "https://a.example/1"}, {}],
               "first": "https://a.example/1", "both": "7-by-a fox", "none": "any",
               "nested": {"prompt": "a fox", "seed": 7, "list": [1, 7]}})
    );
    let first = model.providers.first().unwrap();
    let resolved = model.resolve(json!({"prompt": "a fox"}).as_object().unwrap().clone());
    let resolved = resolved.unwrap();
    assert_eq!(first.input(&resolved), resolved);
}

#[test]
fn each_of_a_list_is_sent_in_the_providers_names() {
    let file = include_str!("../../../catalogue/elevenlabs-v3.toml");
    let (ours, _) = file.split_once("[[providers]]").unwrap();
    let route = "adapter = \"a\"\nprovider = \"p\"\nmodel = \"m\"\n[providers.input]\n";
    let with_input = |input: &str| {
        let text = format!("{ours}[[providers]]\n{route}{input}\n");
        Catalogue::parse(&[("a.toml", &text)]).map_err(|error| error.to_string())
    };
    let voices = |map: &str| {
        let voice = format!("{{ of = \"voice\", map = {{ {map} }} }}");
        with_input(&format!(
            "lines = {{ each = \"dialogue\", send = {{ line = \"$text\", by = {voice}, n = 1 }} }}"
        ))
    };
    let names: Vec<String> = [
        "Sarah", "Roger", "Laura", "Charlie", "George", "Callum", "River", "Liam", "Alice",
        "Matilda", "Will", "Jessica", "Eric", "Chris", "Brian", "Daniel", "Lily", "Bill",
    ]
    .map(|name| format!("{name} = \"the-{name}\""))
    .into();
    let catalogue = voices(&names.join(", ")).unwrap();
    let model = catalogue.find("elevenlabs-v3").unwrap();
    let sent = json!({"dialogue": [{"text": "Hi"}, {"text": "Oh", "voice": "narrator"}]});
    let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
    let input = model.providers.first().unwrap().input(&resolved);
    assert_eq!(
        serde_json::Value::Object(input),
        json!({"lines": [{"line": "Hi", "by": "the-Sarah", "n": 1}, {"line": "Oh", "by": "the-George", "n": 1}]})
    );
    for (input, told) in [
        (
            "a = { each = \"dialogue\", send = { b = \"$tex\" } }",
            "names tex",
        ),
        (
            "a = { each = \"dialog\", send = { b = \"$text\" } }",
            "names dialog",
        ),
        (
            "a = { each = \"dialogue\", as = \"text\" }",
            "each of dialogue with as",
        ),
        ("a = { each = \"dialogue\" }", "that is a list of objects"),
        (
            "a = { each = \"stability\", send = { b = 1 } }",
            "that is a list of objects",
        ),
    ] {
        let error = with_input(input).unwrap_err();
        assert!(error.contains(told), "{input}: {error}");
    }
    let error = voices("Sarah = \"s\"").unwrap_err();
    assert!(error.contains("each of its words once"), "{error}");
}

#[test]
fn the_nearest_step_is_sent() {
    let steps = [json!(0), json!(0.5), json!(1)];
    for (number, step) in [
        (json!(0), json!(0)),
        (json!(0.25), json!(0)),
        (json!(0.250_001), json!(0.5)),
        (json!(0.5), json!(0.5)),
        (json!(0.9), json!(1)),
        (json!(7), json!(1)),
        (json!(-3), json!(0)),
        (json!(1e-9), json!(0)),
    ] {
        assert_eq!(super::nearest(&steps, &number), Some(&step), "{number}");
    }
}

#[test]
fn an_input_names_what_there_is() {
    for (input, told) in [
        ("a = \"$promt\"", "names promt"),
        ("a = [{ b = \"$promt\" }]", "names promt"),
        ("a = { of = \"promt\" }", "names promt"),
        ("a = \"$input_urls[8]\"", "no such element"),
        ("a = { of = \"seed\", to = \"text\" }", "sends seed with to"),
        ("a = { join = [\"$sed\"] }", "names sed"),
        ("a = { join = [] }", "joins a list of texts"),
        ("a = { join = [7] }", "joins a list of texts"),
        ("a = { join = [\"$seed\"], of = 7 }", "joins texts with of"),
        (
            "a = { of = \"seed\", as = \"word\" }",
            "as text or as number",
        ),
        (
            "a = { of = \"prompt\", nearest = [1] }",
            "and both are numbers",
        ),
        (
            "a = { of = \"seed\", nearest = [\"1\"] }",
            "and both are numbers",
        ),
        (
            "a = { of = \"type\", map = { pro = 1 } }",
            "has each of its words once: pro, flex",
        ),
        (
            "a = { of = \"type\", map = { pro = 1, flex = 2, max = 3 } }",
            "each of its words",
        ),
        (
            "a = { of = \"seed\", map = { 1 = 2 } }",
            "each of its words",
        ),
    ] {
        let error = with_input(input).unwrap_err();
        assert!(error.contains(told), "{input}: {error}");
    }
}
