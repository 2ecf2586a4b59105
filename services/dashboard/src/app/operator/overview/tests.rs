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
    let told = heard.by_provider();
    assert!(told.values().all(|of| of.told() == Work::default()));
}

/// Two operations of chat, of one of which the tokens are known.
fn talk(mode: Mode, provider: &str) -> ServedSum {
    ServedSum {
        model: "talker".to_owned(),
        counted: 1,
        counted_charged: 4_000_000,
        tokens: vec![100_000, 50_000, 0, 20_000, 5_000, 0],
        ..served(mode, provider, 5_000_000)
    }
}

/// What they cost.
const TALK: i64 = 100_000 * 10 + 50_000 + 25_000 * 40;

#[test]
fn what_chat_costs_is_what_the_model_s_file_says_of_its_tokens() {
    let sums = vec![
        talk(Mode::Live, "told"),
        talk(Mode::Test, "told"),
        talk(Mode::Live, "bfl"),
    ];
    let heard = heard(sums, Vec::new());
    let of = heard.by_provider();
    let known = Work {
        charged: 4_000_000,
        runs: 2,
        known: 1,
        cost: TALK,
    };
    assert_eq!(of["told"].told(), known, "of two operations one");
    assert_eq!(of["bfl"].told(), Work::default(), "its row does not say");
    let told = heard.money();
    assert_eq!(value(&told, "Provider cost"), "2.05");
    assert_eq!(value(&told, "Margin"), "1.95");
}

#[test]
fn what_media_earned_is_no_margin_because_chat_s_cost_is_known() {
    let sums = vec![
        talk(Mode::Live, "told"),
        served(Mode::Live, "told", 70_000_000),
    ];
    let run = |known, cost| RunSum {
        mode: mode_to_wire(Mode::Live).into(),
        provider: "told".to_owned(),
        runs: 2,
        known,
        cost,
        ..RunSum::default()
    };
    let margin = |heard: &Heard| heard.by_provider()["told"].told().margin();
    let mut silent = heard(sums.clone(), vec![run(0, 0)]);
    assert_eq!(
        margin(&silent),
        4_000_000 - TALK,
        "no run says what it cost"
    );
    silent.media = None;
    assert_eq!(margin(&silent), 4_000_000 - TALK, "nobody says it");
    let told = heard(sums, vec![run(2, 60_000_000)]);
    assert_eq!(margin(&told), 74_000_000 - TALK - 60_000_000);
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
