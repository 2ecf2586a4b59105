//! What operators are told of money, of services that are silent, and of what was sold.

use domain::Mode;
use proto::mode_to_wire;

use super::*;

const TALKER: &str = r#"
    slug = "talker"
    name = "Talker"
    owned_by = "us"
    category = "chat"
    route = "chat/completions"
    [chat]
    default_output_bound = 1
    max_output = 1
    media_part = 1
    [price]
    unit = "token"
    input = 20
    cached = 2
    output = 50
    [[providers]]
    adapter = "openai"
    provider = "told"
    model = "m"
    bills = { input = 10, cached = 1, output = 40 }
    [[providers]]
    adapter = "openai"
    provider = "bfl"
    model = "m"
"#;

fn served(mode: Mode, provider: &str, charged: i64) -> ServedSum {
    ServedSum {
        mode: mode_to_wire(mode).into(),
        provider: provider.to_owned(),
        class: "completed".to_owned(),
        operations: 2,
        charged,
        ..ServedSum::default()
    }
}

fn heard(served: Vec<ServedSum>, runs: Vec<RunSum>) -> Heard {
    Heard {
        now: 0,
        billing: Some(billing::Overview {
            served,
            ..billing::Overview::default()
        }),
        media: Some(media::Overview {
            runs,
            ..media::Overview::default()
        }),
        webhooks: None,
        chat: None,
        catalogue: Arc::new(Catalogue::parse(&[("talker.toml", TALKER)]).unwrap()),
    }
}

fn value<'s>(stats: &'s [Stat], name: &str) -> &'s str {
    let found = stats.iter().find(|stat| stat.name == name);
    found.map_or("", |stat| &stat.value)
}

#[test]
fn a_margin_is_said_only_where_the_cost_is_known_and_of_live_keys() {
    let sums = vec![
        served(Mode::Live, "bfl", 10_000_000),
        served(Mode::Live, "gemini", 5_000_000),
        served(Mode::Test, "bfl", 99_000_000),
    ];
    let told = heard(sums.clone(), Vec::new()).money();
    assert_eq!(value(&told, "Charged"), "15");
    assert_eq!(value(&told, "Margin"), "unknown");
    let run = |mode, known, cost| RunSum {
        mode: mode_to_wire(mode).into(),
        provider: "bfl".to_owned(),
        runs: 3,
        known,
        cost,
        ..RunSum::default()
    };
    let runs = vec![run(Mode::Live, 2, 4_000_000), run(Mode::Test, 3, 7_000_000)];
    let talk = ServedSum {
        model: "talker".to_owned(),
        ..served(Mode::Live, "bfl", 3_000_000)
    };
    let mut heard = heard([sums, vec![talk]].concat(), runs);
    let told = heard.money();
    assert_eq!(value(&told, "Charged"), "18");
    assert_eq!(value(&told, "Provider cost"), "4");
    assert_eq!(
        value(&told, "Margin"),
        "6",
        "of bfl alone, without its chat"
    );
    if let Some(media) = &mut heard.media {
        media.cut = true;
    }
    let told = heard.money();
    for name in ["Provider cost", "Margin"] {
        let stat = told.iter().find(|stat| stat.name == name);
        let said = stat.map(|stat| (stat.value.as_str(), stat.note.as_str()));
        assert_eq!(said, Some(("unknown", CUT)), "{name}");
    }
    assert!(heard.by_provider().values().all(|of| of.known == 0));
}

#[test]
fn what_chat_costs_is_what_the_model_s_file_says_of_its_tokens() {
    let sum = |mode, provider, tokens: [i64; 6]| ServedSum {
        model: "talker".to_owned(),
        counted: 1,
        tokens: tokens.to_vec(),
        ..served(mode, provider, 5_000_000)
    };
    let tokens = [100_000, 50_000, 0, 20_000, 5_000, 0];
    let sums = vec![
        sum(Mode::Live, "told", tokens),
        sum(Mode::Test, "told", tokens),
        sum(Mode::Live, "bfl", tokens),
    ];
    let heard = heard(sums, Vec::new());
    let cost = 100_000 * 10 + 50_000 + 25_000 * 40;
    let of = heard.by_provider()["told"];
    assert_eq!(
        (of.runs, of.known, of.cost),
        (2, 1, cost),
        "two operations, of one the tokens"
    );
    assert_eq!(heard.by_provider()["bfl"].known, 0, "its row does not say");
    let told = heard.money();
    assert_eq!(value(&told, "Provider cost"), "2.05");
    assert_eq!(value(&told, "Margin"), "2.95");
}

#[test]
fn who_does_not_answer_is_named() {
    assert_eq!(heard(Vec::new(), Vec::new()).silent(), ["chat", "webhooks"]);
}

#[test]
fn what_is_sold_has_the_minor_units_of_its_currency() {
    let sum = SoldSum {
        currency: "jpy".to_owned(),
        received: 123_400,
        refunded: 400,
        ..SoldSum::default()
    };
    let told = sold(&[sum]);
    assert_eq!(value(&told, "Sold"), "123,000 JPY");
}
