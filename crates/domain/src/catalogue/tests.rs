//! The catalogue that is compiled in, and files that do not hold together.

use super::*;

#[test]
fn the_built_in_files_hold_together() {
    let catalogue = Catalogue::built_in().unwrap();
    assert!(catalogue.find("gemini").is_some());
    assert!(catalogue.find("flux-2").is_some());
    assert_eq!(
        catalogue.find("no-such-model").map(|model| &model.slug),
        None
    );
}

#[test]
fn what_its_maker_retires_says_who_serves_it() {
    let catalogue = Catalogue::built_in().unwrap();
    let notice = |slug: &str| {
        let listing = catalogue.find(slug).unwrap().listing(Moment::default());
        serde_json::to_value(listing).unwrap()["notice"].clone()
    };
    for (slug, told) in [
        ("imagen-4", "Google has retired"),
        ("gpt-image-1-5", "on 1 December 2026"),
    ] {
        let notice = notice(slug);
        assert!(notice.as_str().unwrap().contains(told), "{notice}");
    }
    assert!(notice("flux-2").is_null());
}

#[test]
fn every_file_of_the_folder_is_compiled_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut listed: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(listed, there, "left: BUILT_IN, right: the folder");
}

#[test]
fn a_route_has_one_model_that_is_meant_without_a_name() {
    let catalogue = Catalogue::built_in().unwrap();
    assert_eq!(catalogue.unnamed("audio/music"), Some("suno"));
    for (route, tool) in [
        ("images/tools/remove-bg", "bg-remover"),
        ("images/tools/upscale", "image-upscale"),
        ("images/tools/face-swap", "face-swap"),
        ("videos/tools/bg-remover", "video-bg-remover"),
        ("videos/tools/upscale", "video-upscale"),
    ] {
        assert_eq!(catalogue.unnamed(route), Some(tool));
    }
    assert_eq!(catalogue.unnamed("images/generations"), None);
    let suno = include_str!("../../catalogue/suno.toml");
    let udio = include_str!("../../catalogue/minimax-music.toml").replacen(
        "status =",
        "default = true\nstatus =",
        1,
    );
    let error = Catalogue::parse(&[("a.toml", suno), ("b.toml", &udio)]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("suno is the default of audio/music")
    );
}

#[test]
fn an_earlier_task_is_one_of_a_model_that_there_is() {
    let grok = include_str!("../../catalogue/grok-imagine.toml");
    assert!(Catalogue::parse(&[("a.toml", grok)]).is_ok());
    let text = grok.replacen(
        "type = \"task\"\nmodel = \"grok-imagine\"",
        "type = \"task\"\nmodel = \"grok\"",
        1,
    );
    let error = Catalogue::parse(&[("a.toml", &text)]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("task_id is a task of grok, which is no model")
    );
}

#[test]
fn the_version_follows_the_text() {
    let text = include_str!("../../catalogue/flux-2.toml");
    let version = |text: &str| Catalogue::parse(&[("a.toml", text)]).unwrap().version;
    assert_eq!(version(text).len(), 16);
    assert_eq!(version(text), version(text));
    assert_ne!(version(text), version(&format!("{text}# dearer\n")));
}

#[test]
fn a_list_of_models_may_hold_any_of_a_models_names() {
    let text = include_str!("../../catalogue/flux-2.toml").replacen(
        "slug = \"flux-2\"",
        "slug = \"flux-2\"\naliases = [\"flux\"]",
        1,
    );
    let catalogue = Catalogue::parse(&[("a.toml", &text)]).unwrap();
    let model = catalogue.find("flux").unwrap();
    let allowed = |names: &[&str]| {
        let listed: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        model.allowed_by(&listed)
    };
    assert!(allowed(&[]));
    assert!(allowed(&["gemini", "flux"]));
    assert!(allowed(&["flux-2"]));
    assert!(!allowed(&["gemini"]));
}

#[test]
fn an_operators_file_is_one_more_model_or_takes_the_place_of_one() {
    let file = |name: &str, text: String| (name.to_owned(), text);
    let gemini = include_str!("../../catalogue/gemini.toml");
    let own = [
        file(
            "local.toml",
            gemini
                .replace("slug = \"gemini\"", "slug = \"meta/llama-4\"")
                .replace("aliases = [\"gemini-3-flash\"]", ""),
        ),
        file(
            "cheaper.toml",
            gemini.replace("output = 300", "output = 200"),
        ),
    ];
    let without = ["flux-2".to_owned()];
    let (all, catalogue) = (
        Catalogue::built_in().unwrap(),
        Catalogue::with(&own, &without).unwrap(),
    );
    assert_eq!(catalogue.models().len(), all.models().len());
    assert!(catalogue.find("meta/llama-4").is_some() && catalogue.find("flux-2").is_none());
    let gemini_now = catalogue.find("gemini").unwrap().listing(Moment::default());
    let listed = serde_json::to_value(gemini_now).unwrap();
    assert_eq!(listed["price"]["output"], 200);
    assert_ne!(catalogue.version(), all.version());
    assert_eq!(Catalogue::with(&[], &[]).unwrap().version(), all.version());
    for (own, without, told) in [
        (
            vec![file(
                "a.toml",
                gemini.replacen("gemini", "gemini-3-flash", 2),
            )],
            vec![],
            "a.toml: the name gemini-3-flash is taken by another model",
        ),
        (
            vec![file(
                "a.toml",
                gemini.replacen("slug = \"gemini\"", "slug = \"a model\"", 1),
            )],
            vec![],
            "a.toml: the name \"a model\" is not 1 to 128 letters, digits and . _ : / -, and no slash first or last",
        ),
        (
            vec![],
            vec!["gemini-3-flash".to_owned()],
            "models.without names gemini-3-flash, which is no model that is compiled in",
        ),
    ] {
        let error = Catalogue::with(&own, &without).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
}

#[test]
fn two_models_cannot_share_a_name() {
    let text = include_str!("../../catalogue/flux-2.toml");
    let error = Catalogue::parse(&[("a.toml", text), ("b.toml", text)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "b.toml: the name flux-2 is taken by another model"
    );
}

#[test]
fn what_is_ours_to_say_is_not_listed() {
    let catalogue = Catalogue::built_in().unwrap();
    let model = catalogue.find("suno-extend").unwrap();
    let listed = serde_json::to_value(model.listing(Moment::default())).unwrap();
    let parameters = listed["parameters"].as_array().unwrap().iter();
    let names: Vec<&str> = parameters
        .map(|param| param["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"custom_mode"), "{names:?}");
    assert!(!names.contains(&"model"), "{names:?}");
}
