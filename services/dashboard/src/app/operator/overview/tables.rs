//! Sums in tables: by provider, by how work ended, by model.

use std::collections::BTreeMap;

use domain::charge::Ending;
use proto::billing::v1::ServedSum;

use super::Earned;
use crate::{
    app::operator::{
        Cell, Table,
        providers::{is_failure, mode_word},
        share,
    },
    show,
};

/// What is earned and spent at each provider.
pub(super) fn earned(all: &BTreeMap<String, Earned>) -> Table {
    let row = |(name, of): (&String, &Earned)| {
        let told = of.told();
        let (cost, margin) = if told.known == 0 {
            (Cell::text("unknown"), Cell::text("unknown"))
        } else {
            let cost = Cell::text(show::credits(told.cost));
            let margin = Cell::text(show::credits(told.margin()));
            let margin = if told.charged == of.charged {
                margin
            } else {
                margin.over(format!(
                    "of {} whose cost is told",
                    show::credits(told.charged)
                ))
            };
            let (known, runs) = (show::count(told.known), show::count(told.runs));
            (cost.over(format!("{known} of {runs} runs")), margin)
        };
        let name = match name.as_str() {
            "" => Cell::text("nobody was asked"),
            name => Cell::code(name),
        };
        vec![
            name,
            Cell::text(show::count(of.operations)),
            Cell::text(show::credits(of.charged)),
            cost,
            margin,
        ]
    };
    let columns = ["Provider", "#Operations", "#Charged", "#Cost", "#Margin"];
    Table::new("Earned by provider", &columns)
        .or("No live key was used.")
        .with(all.iter().map(row))
}

/// How work ended: the most frequent first, in both modes.
pub(super) fn endings(sums: &[ServedSum]) -> Table {
    let mut all: BTreeMap<(i32, &str, &str), (i64, i64)> = BTreeMap::new();
    let mut of_mode: BTreeMap<i32, i64> = BTreeMap::new();
    for sum in sums {
        let row = all.entry((sum.mode, &sum.class, &sum.outcome)).or_default();
        row.0 = row.0.saturating_add(sum.operations);
        row.1 = row.1.saturating_add(sum.charged);
        let whole = of_mode.entry(sum.mode).or_default();
        *whole = whole.saturating_add(sum.operations);
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|((mode, ..), (count, _))| std::cmp::Reverse((*mode, *count)));
    let row = |((mode, class, outcome), (count, charged)): ((i32, &str, &str), (i64, i64))| {
        let what = Ending::parse(class).map_or("no receipt says", Ending::what);
        let class = if class.is_empty() { "–" } else { class };
        let whole = of_mode.get(&mode).copied().unwrap_or_default();
        vec![
            Cell::code(class).over(what),
            Cell::text(mode_word(mode)),
            Cell::text(outcome),
            Cell::text(show::count(count)),
            Cell::text(share(count, whole)),
            Cell::text(show::credits(charged)),
        ]
    };
    let columns = [
        "How it ended",
        "Mode",
        "Hold",
        "#Operations",
        "#Share",
        "#Charged",
    ];
    Table::new("How operations ended", &columns)
        .or("Nothing has ended.")
        .with(all.into_iter().map(row))
}

/// What was used, the most first.
pub(super) fn models(sums: &[ServedSum]) -> Table {
    let mut all: BTreeMap<(i32, &str), (i64, i64, i64)> = BTreeMap::new();
    for sum in sums {
        let row = all.entry((sum.mode, &sum.model)).or_default();
        row.0 = row.0.saturating_add(sum.operations);
        row.1 = row.1.saturating_add(sum.charged);
        if is_failure(sum) {
            row.2 = row.2.saturating_add(sum.operations);
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|((mode, _), (count, ..))| std::cmp::Reverse((*mode, *count)));
    let row = |((mode, model), (count, charged, failed)): ((i32, &str), (i64, i64, i64))| {
        let name = match model {
            "" => Cell::text("no receipt says"),
            model => Cell::code(model).to(format!("/operator/models/{model}")),
        };
        vec![
            name,
            Cell::text(mode_word(mode)),
            Cell::text(show::count(count)),
            Cell::text(show::credits(charged)),
            Cell::text(share(failed, count)),
        ]
    };
    let columns = ["Model", "Mode", "#Operations", "#Charged", "#Failed"];
    Table::new("Models", &columns)
        .or("Nothing was used.")
        .with(all.into_iter().map(row))
}
