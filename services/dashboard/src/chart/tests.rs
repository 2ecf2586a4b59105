//! What charts look like.

use super::*;

fn series(name: &str, values: &[i64]) -> Series {
    Series {
        name: name.to_owned(),
        colour: 0,
        values: values.to_vec(),
    }
}

#[test]
fn figures_at_the_side_are_round_and_reach_the_largest() {
    for (most, ticks) in [
        (0, &[0, 1_000_000][..]),
        (1, &[0, 1]),
        (3, &[0, 1, 2, 3]),
        (4, &[0, 1, 2, 3, 4]),
        (5, &[0, 2, 4, 6]),
        (
            17_000_000,
            &[0, 5_000_000, 10_000_000, 15_000_000, 20_000_000],
        ),
        (20_000_001, &[0, 10_000_000, 20_000_000, 30_000_000]),
    ] {
        assert_eq!(scale::ticks(most), ticks, "{most}");
    }
    assert!(scale::ticks(i64::MAX).last() >= Some(&(i64::MAX - 4)));
}

#[test]
fn a_part_is_never_longer_than_the_whole() {
    for (own, whole, length) in [
        (1, 3, 333),
        (3, 3, 1_000),
        (0, 0, 0),
        (5, 0, 0),
        (-5, 10, 0),
        (i64::MAX, i64::MAX, 1_000),
        (9, 3, 1_000),
    ] {
        assert_eq!(scale::part(own, whole, 1_000), length, "{own} of {whole}");
    }
}

#[test]
fn bars_stand_on_one_another_and_reach_the_top() {
    let all = [
        Series {
            colour: 0,
            ..series("Chat", &[1_000_000, 0, 2_000_000])
        },
        Series {
            colour: 3,
            ..series("Images <b>", &[0, 0, 2_000_000])
        },
    ];
    let bars = Bars::by_day("spent", "Spent", 20_000, &all);
    let view = &bars.views[0];
    assert_eq!(view.ticks.first().map(|tick| tick.0), Some(Tenths(2_520)));
    assert_eq!(view.ticks.last().map(|tick| tick.0), Some(Tenths(120)));
    let [(0, chat), (3, images)] = &view.paths[..] else {
        panic!("{:?}", view.paths);
    };
    // A quarter and a half of 240; the second begins where the first ends, at the top.
    assert!(chat.contains(" 192h") && chat.contains("v60H"), "{chat}");
    assert!(chat.contains(" 132h") && chat.contains("v120H"), "{chat}");
    assert!(
        images.contains(" 12h") && images.contains("v120H"),
        "{images}"
    );
    let html = bars.with_table(20_000, &all).to_string();
    for text in [
        "role=\"img\"",
        "2024-10-04 to 2024-10-06: 5 credits in all, most on 2024-10-06: 4.",
        "Images &#60;b&#62;",
        "<th scope=\"row\">2024-10-06</th>",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
    // Nothing that the policy for content forbids, and no day without anything in the table.
    assert!(!html.contains("style=") && !html.contains("<th scope=\"row\">2024-10-05</th>"));
}

#[test]
fn a_chart_of_nothing_says_so() {
    let html = Bars::by_day("spent", "Spent", 20_000, &[]).to_string();
    assert!(html.contains("No days."), "{html}");
    let html = Bars::by_day("spent", "Spent", 20_000, &[series("a", &[0, 0])]).to_string();
    for text in ["nothing was spent", ">Nothing was spent<", ">1</text>"] {
        assert!(html.contains(text), "{text}\n{html}");
    }
}

#[test]
fn names_of_days_keep_their_distance() {
    for count in [1, 7, 30, 90, 366] {
        let values = vec![1; count];
        let bars = Bars::by_day("spent", "Spent", 20_000, &[series("a", &values)]);
        for view in &bars.views {
            let places: Vec<i64> = view.names.iter().map(|(place, _)| place.0).collect();
            let pairs = places.iter().zip(places.iter().skip(1));
            assert!(pairs.into_iter().all(|(a, b)| b - a >= DAY_NAME * TENTHS));
            assert!(!places.is_empty(), "the last day has its name");
            assert_eq!(view.days.len(), count);
        }
    }
}

#[test]
fn there_are_no_more_series_than_colours() {
    let many = (0..20).map(|n| series(&format!("{n:02}"), &[n, 1]));
    let folded = folded(many.collect());
    assert_eq!(folded.len(), COLOURS);
    assert_eq!((folded[0].name.as_str(), folded[0].colour), ("19", 0));
    let last = &folded[COLOURS - 1];
    assert_eq!((last.name.as_str(), last.colour), ("13 others", GREY));
    assert_eq!(last.values, [(0..13).sum::<i64>(), 13]);
    let few = super::folded(vec![series("b", &[1]), series("a", &[1])]);
    let names: Vec<_> = few.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn lines_and_bars_stay_in_their_boxes() {
    assert!(spark(&[0, 5, 10]).contains("M0 26L60 14L120 2"));
    assert!(spark(&[3]).contains("M0 2"));
    assert!(bar(1, 4, 2).contains("class=\"ch-2\" width=\"250\""));
}
