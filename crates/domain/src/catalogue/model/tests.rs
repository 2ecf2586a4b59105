//! What a model file may say, and who may use what it says.

use crate::{Catalogue, Micros, Usage};

const CHAT: &str = include_str!("../../../catalogue/gemini.toml");
const IMAGE: &str = include_str!("../../../catalogue/flux-2.toml");
const LIMITS: &str =
    "[chat]\ndefault_output_bound = 1\nmax_output = 1\nmedia_part = 1\n\n[price]\n";

/// A chat model with these provider rows behind its own.
fn with_rows(own: &str, rows: &[&str]) -> Result<Catalogue, String> {
    let mut text = format!("{CHAT}{own}\n");
    for (place, row) in rows.iter().enumerate() {
        let row = format!(
            "[[providers]]\nadapter = \"openai\"\nprovider = \"p{place}\"\nmodel = \"m\"\n{row}\n"
        );
        text.push_str(&row);
    }
    Catalogue::parse(&[("a.toml", &text)]).map_err(|error| error.to_string())
}

#[test]
fn rows_of_one_order_are_equals_and_all_others_fallbacks() {
    let tiers = |own, rows: &[&str]| {
        let catalogue = with_rows(own, rows).unwrap();
        let model = catalogue.find("gemini").unwrap();
        model.tiers().map(<[_]>::len).collect::<Vec<_>>()
    };
    assert_eq!(tiers("", &[]), [1]);
    assert_eq!(tiers("", &["", ""]), [1, 1, 1]);
    assert_eq!(tiers("order = 1", &["order = 1\nweight = 3", ""]), [2, 1]);
    assert_eq!(
        tiers("", &["order = 1", "order = 1", "order = 2"]),
        [1, 2, 1]
    );
    for (own, rows, told) in [
        ("weight = 0", [""; 2], "weight"),
        ("weight = 101", [""; 2], "weight"),
        ("order = 2", ["order = 1", ""], "rise"),
        ("order = 1", ["", "order = 1"], "stand together"),
    ] {
        let error = with_rows(own, &rows).unwrap_err();
        assert!(error.contains(told), "{own} {rows:?}: {error}");
    }
}

#[test]
fn a_row_that_costs_more_than_it_brings_is_a_task_s_and_stands_last() {
    let with = |own: &str, behind: &str| {
        let row = |model: &str, more: &str| {
            format!(
                "[[providers]]\nadapter = \"a\"\nprovider = \"a\"\nmodel = \"{model}\"\n{more}\n"
            )
        };
        let (ours, _) = IMAGE.split_once("[[providers]]").unwrap();
        let text = format!("{ours}{}{}", row("first", own), row("last", behind));
        Catalogue::parse(&[("a.toml", &text)]).map_err(|error| error.to_string())
    };
    let catalogue = with("", "costly = true\nbills_micro_usd = 90_000").unwrap();
    let rows = &catalogue.find("flux-2").unwrap().providers;
    let costly: Vec<bool> = rows.iter().map(|row| row.costly).collect();
    assert_eq!(costly, [false, true]);
    assert_eq!(rows[1].bills_micro_usd, Some(90_000));
    for (own, behind, told) in [
        ("costly = true", "", "behind those that are not"),
        ("", "bills_micro_usd = 0", "at least 1"),
    ] {
        let error = with(own, behind).unwrap_err();
        assert!(error.contains(told), "{own} {behind}: {error}");
    }
    for own in ["costly = true", "bills_micro_usd = 1"] {
        let error = with_rows("", &[own]).unwrap_err();
        assert!(error.contains("models of tasks"), "{own}: {error}");
    }
}

#[test]
fn what_a_provider_bills_for_tokens_is_the_dearest_of_its_rows() {
    let row = |bills: &str| {
        format!(
            "[[providers]]\nadapter = \"openai\"\nprovider = \"them\"\nmodel = \"m\"\n{bills}\n"
        )
    };
    let text = [
        CHAT.to_owned(),
        row("bills = { input = 40, cached = 4, output = 200 }"),
        row("bills = { input = 50, cached = 5, output = 100, reasoning = 300 }"),
        row(""),
    ];
    let catalogue = Catalogue::parse(&[("a.toml", &text.join("\n"))]).unwrap();
    let model = catalogue.find("gemini").unwrap();
    let used = |output, reasoning| Usage {
        input: 10,
        cached: 100,
        output,
        reasoning,
        ..Usage::default()
    };
    let billed = |usage| model.billed("them", usage).map(Micros::get);
    assert_eq!(billed(used(7, 0)), Some(400 + 400 + 1_400));
    assert_eq!(billed(used(0, 7)), Some(500 + 500 + 2_100));
    assert_eq!(billed(Usage::default()), Some(0));
    assert_eq!(model.billed("nobody", used(7, 0)), None);

    let error = with_rows("", &["bills = { input = 0, cached = 0 }"]).unwrap_err();
    assert!(error.contains("above zero"), "{error}");
    let text = IMAGE.replace(
        "[[providers]]",
        "[[providers]]\nbills = { input = 1, cached = 1 }",
    );
    let error = Catalogue::parse(&[("a.toml", &text)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("priced by token"), "{error}");
}

#[test]
fn a_key_for_one_model_within_a_model_may_use_no_other() {
    let catalogue = Catalogue::built_in().unwrap();
    let model = catalogue.find("imagen-4").unwrap();
    let may = |listed: &[&str], name: &str| {
        let listed: Vec<String> = listed.iter().map(|name| (*name).to_owned()).collect();
        let sent = serde_json::json!({"prompt": "a fox"});
        let resolved = model.resolve_as(name, sent.as_object().unwrap().clone());
        model.allowed_by(&listed) && model.allows(&listed, &resolved.unwrap())
    };
    assert!(may(&[], "imagen4-ultra") && may(&["imagen-4"], "imagen4-ultra"));
    assert!(may(&["imagen4-fast"], "imagen4-fast"));
    assert!(may(&["imagen-4", "imagen4-fast"], "imagen4-ultra"));
    assert!(!may(&["imagen4-fast"], "imagen4-ultra"));
    // Its slug means its default.
    assert!(!may(&["imagen4-fast"], "imagen-4"));
    assert!(may(&["imagen4"], "imagen-4"));
    assert!(!may(&["flux-2"], "imagen4-fast"));
}

#[test]
fn parameters_do_not_contradict_themselves() {
    for (from, to, told) in [
        (
            "default = \"1K\"",
            "default = \"1k\"",
            "the default of resolution",
        ),
        (
            "default = \"1K\"",
            "default = 1",
            "the default of resolution",
        ),
        (
            "min = 3\nmax = 5000",
            "min = 3\nmax = 2",
            "no value fits the parameter prompt",
        ),
        (
            "name = \"seed\"",
            "name = \"prompt\"",
            "the parameter prompt is there twice",
        ),
        (
            "name = \"seed\"",
            "name = \"user\"",
            "the parameter user is there twice",
        ),
        (
            "name = \"seed\"",
            "name = \"seed\"\naliases = [\"type\"]",
            "the parameter type is there twice",
        ),
        (
            "when = { type = \"pro\"",
            "when = { type = \"PRO\"",
            "which it never is",
        ),
    ] {
        assert!(IMAGE.contains(from), "{from}");
        let text = IMAGE.replacen(from, to, 1);
        let error = Catalogue::parse(&[("a.toml", &text)]).unwrap_err();
        assert!(error.to_string().contains(told), "{to}: {error}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_what_is_allowed() {
    for (file, from, to, told) in [
        (
            CHAT,
            "\"chat/completions\"",
            "\"images/generations\"",
            "a chat model is",
        ),
        (
            CHAT,
            "category = \"chat\"",
            "category = \"image\"",
            "a model of tasks is",
        ),
        (
            IMAGE,
            "category = \"image\"",
            "category = \"chat\"",
            "a chat model is",
        ),
        (
            IMAGE,
            "\"images/generations\"",
            "\"chat/completions\"",
            "a model of tasks is",
        ),
        (IMAGE, "[price]\n", LIMITS, "a model of tasks is"),
        (IMAGE, "\"live\"", "\"succeeded\"", "name their successor"),
        (
            IMAGE,
            "\"live\"",
            "\"live\"\nsuccessor = \"x\"",
            "name their successor",
        ),
        (
            IMAGE,
            "\"live\"",
            "\"succeeded\"\nsuccessor = \"x\"",
            "not a live model",
        ),
    ] {
        assert!(file.contains(from), "{from}");
        let text = file.replacen(from, to, 1);
        let error = Catalogue::parse(&[("a.toml", &text)]).unwrap_err();
        assert!(error.to_string().contains(told), "{to}: {error}");
    }
}
