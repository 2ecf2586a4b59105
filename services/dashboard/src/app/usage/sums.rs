//! What was used, for people: sums of groups, and their days. Pure.

use std::collections::BTreeMap;

use proto::billing::v1::UsageRow;

use super::wanted::{By, Wanted};
use crate::{app::named::Keys, chart::Series, show};

/// What one group used, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) name: String,
    pub(super) operations: i64,
    /// Those that cost nothing.
    pub(super) free: i64,
    /// Micro-credits, and of each day.
    pub(super) charged: i64,
    pub(super) values: Vec<i64>,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
}

/// What a row belongs to, as pages name it.
pub(super) fn name(row: &UsageRow, by: By, keys: &Keys) -> String {
    let text = match by {
        By::Model => &row.model,
        By::Route => &row.route,
        By::Key => return keys.name(&row.key_id),
    };
    match text.as_str() {
        "" => "Not told".to_owned(),
        text => text.to_owned(),
    }
}

/// Sums of groups, the dearest first. Keys are told apart by their ids: names of several may be the same.
pub(super) fn sums(rows: &[UsageRow], wanted: &Wanted, keys: &Keys) -> Vec<Sum> {
    let mut groups: BTreeMap<(String, &[u8]), Sum> = BTreeMap::new();
    for row in rows {
        let id: &[u8] = match wanted.by {
            By::Key => &row.key_id,
            By::Model | By::Route => &[],
        };
        let name = name(row, wanted.by, keys);
        let group = groups.entry((name, id));
        let group = group.or_insert_with_key(|(name, _)| Sum {
            name: name.clone(),
            values: vec![0; wanted.length()],
            ..Sum::default()
        });
        let day = usize::try_from(row.day - wanted.first).ok();
        if let Some(value) = day.and_then(|day| group.values.get_mut(day)) {
            *value = value.saturating_add(row.charged);
        }
        group.add(row);
    }
    let mut sums: Vec<Sum> = groups.into_values().collect();
    // Equal ones stay in the order of their names.
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.charged));
    sums
}

/// All of it.
pub(super) fn total(rows: &[UsageRow]) -> Sum {
    let mut total = Sum::default();
    rows.iter().for_each(|row| total.add(row));
    total
}

/// What is drawn.
pub(super) fn series(sums: &[Sum]) -> Vec<Series> {
    let drawn = sums.iter().filter(|sum| sum.charged > 0);
    let series = drawn.map(|sum| Series {
        name: sum.name.clone(),
        colour: 0,
        values: sum.values.clone(),
    });
    crate::chart::folded(series.collect())
}

// === impl Sum ===

impl Sum {
    /// What it cost, as a large figure: [`show::figure`].
    pub(super) fn figure(&self) -> String {
        show::figure(self.charged)
    }

    /// What it cost, in words.
    pub(super) fn credits(&self) -> String {
        show::credits(self.charged)
    }

    fn add(&mut self, row: &UsageRow) {
        for (sum, more) in [
            (&mut self.operations, row.operations),
            (&mut self.free, row.free),
            (&mut self.charged, row.charged),
            (&mut self.input_tokens, row.input_tokens),
            (&mut self.output_tokens, row.output_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Catalogue, KeyId};
    use proto::billing::v1::Key;

    use super::*;

    #[test]
    fn rows_become_groups() {
        let uri = "/usage?from=2024-10-04&to=2024-10-05".parse().unwrap();
        let wanted = Wanted::read(&uri, &Catalogue::built_in().unwrap(), 366);
        let row = |day: i64, model: &str, charged: i64| UsageRow {
            day,
            model: model.to_owned(),
            operations: 2,
            free: 1,
            charged,
            input_tokens: 3,
            output_tokens: 4,
            ..UsageRow::default()
        };
        let rows = [
            row(20_000, "a", 1),
            row(20_001, "a", 2),
            row(20_001, "b", 30),
            row(20_001, "", 0),
        ];
        let sums = sums(&rows, &wanted, &Keys::default());
        let names: Vec<_> = sums.iter().map(|sum| sum.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "Not told"]);
        assert_eq!(
            (sums[1].values.as_slice(), sums[1].charged),
            (&[1, 2][..], 3)
        );
        let total = total(&rows);
        assert_eq!((total.operations, total.free, total.charged), (8, 4, 33));
        assert_eq!((total.input_tokens, total.output_tokens), (12, 16));
        assert_eq!(series(&sums).len(), 2);
    }

    #[test]
    fn keys_of_the_same_name_are_not_summed_up() {
        let uri = "/usage?by=key&from=2024-10-04&to=2024-10-05"
            .parse()
            .unwrap();
        let wanted = Wanted::read(&uri, &Catalogue::built_in().unwrap(), 366);
        let ids: [KeyId; 2] = [chassis::mint(), chassis::mint()];
        let named = ids.map(|id| Key {
            key_id: id.to_vec().into(),
            name: "Playground".to_owned(),
            ..Key::default()
        });
        let keys = Keys::of(Ok(named.to_vec())).unwrap();
        let row = |id: KeyId, charged: i64| UsageRow {
            day: 20_000,
            key_id: id.to_vec().into(),
            charged,
            ..UsageRow::default()
        };
        let rows = [row(ids[0], 1), row(ids[1], 5), row(ids[0], 2)];
        let sums = sums(&rows, &wanted, &keys);
        let charged: Vec<_> = sums.iter().map(|sum| sum.charged).collect();
        assert_eq!(charged, [5, 3]);
        assert_ne!(sums[0].name, sums[1].name);
        assert!(sums.iter().all(|sum| sum.name.starts_with("Playground (…")));
    }
}
