//! In which order those who can serve a model are asked. Pure, but for a count of whose turn it is.
//!
//! Tiers are asked one after another. In a tier, requests are shared among its rows by their weights, and in a row among its
//! credentials. Requests that belong together (the same `prompt_cache_key`, or else `user`, of one account) find the same order each
//! time, so that the provider's cache of their common beginning serves them: each row draws as many lots as it weighs, by a hash of
//! the key and its own place, and the highest lot is first (rendezvous hashing: another row takes from all others alike, and moves
//! nothing else). The remaining requests take turns.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::atomic::{AtomicU64, Ordering},
};

/// Everybody who can serve a model: never nobody, where a model is served at all.
pub(crate) struct Tiers<T>(Vec<Tier<T>>);

/// Equals.
struct Tier<T> {
    rows: Vec<Row<T>>,
    /// What they weigh together.
    weight: u64,
    turn: AtomicU64,
}

/// One provider, with each of our credentials there.
pub(crate) struct Row<T> {
    /// Its share among equals; at least 1.
    pub(crate) weight: u32,
    /// One for each credential; at least one.
    pub(crate) members: Vec<T>,
}

// === impl Tiers ===

impl<T> Tiers<T> {
    /// Rows without members are left out, and tiers without rows.
    pub(crate) fn new(tiers: Vec<Vec<Row<T>>>) -> Self {
        let tier = |rows: Vec<Row<T>>| {
            let is_there = |row: &Row<T>| row.weight > 0 && !row.members.is_empty();
            let rows: Vec<Row<T>> = rows.into_iter().filter(is_there).collect();
            Tier {
                weight: rows.iter().map(|row| u64::from(row.weight)).sum(),
                rows,
                turn: AtomicU64::new(0),
            }
        };
        let tiers = tiers.into_iter().map(tier);
        Self(tiers.filter(|tier| tier.weight > 0).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everybody, in no order that counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let rows = self.0.iter().flat_map(|tier| &tier.rows);
        rows.flat_map(|row| &row.members)
    }

    /// Everybody, in the order of one request. `affinity` stands for the requests it belongs to, if it does.
    pub(crate) fn in_order(&self, affinity: Option<u64>) -> Vec<&T> {
        let of = |tier| match affinity {
            Some(key) => Tier::by_key(tier, key),
            None => Tier::by_turn(tier),
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Everybody, tier by tier, and in each the lowest rank first; among those of the same rank, by turns.
    pub(crate) fn ranked(&self, rank: impl Fn(&T) -> u64) -> Vec<&T> {
        let of = |tier| {
            let mut members = Tier::by_turn(tier);
            members.sort_by_cached_key(|member| rank(member));
            members
        };
        self.0.iter().flat_map(of).collect()
    }
}

// === impl Tier ===

impl<T> Tier<T> {
    /// Whoever drew the highest lot is first.
    fn by_key(&self, key: u64) -> Vec<&T> {
        let lots = |place: usize, row: &Row<T>| {
            let lots = (0..row.weight).map(|lot| lot_of(&(key, place, lot)));
            lots.max().unwrap_or_default()
        };
        let mut rows: Vec<(u64, usize, &Row<T>)> = self
            .rows
            .iter()
            .enumerate()
            .map(|(place, row)| (lots(place, row), place, row))
            .collect();
        rows.sort_unstable_by_key(|(lot, place, _)| (std::cmp::Reverse(*lot), *place));
        rows.into_iter()
            .flat_map(|(_, place, row)| row.by_key((key, place)))
            .collect()
    }

    /// Whoever's turn it is, is first; those behind follow, and then those before.
    fn by_turn(&self) -> Vec<&T> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let round = turn.checked_div(self.weight).unwrap_or_default();
        let mut share = turn.checked_rem(self.weight).unwrap_or_default();
        let mut first = 0_usize;
        for row in &self.rows {
            let weight = u64::from(row.weight);
            if share < weight {
                break;
            }
            share -= weight;
            first += 1;
        }
        let (before, from) = self.rows.split_at(first.min(self.rows.len()));
        let rows = from.iter().chain(before);
        rows.flat_map(|row| row.by_turn(round)).collect()
    }
}

// === impl Row ===

impl<T> Row<T> {
    fn by_key(&self, key: (u64, usize)) -> Vec<&T> {
        let mut members: Vec<(u64, &T)> = self
            .members
            .iter()
            .enumerate()
            .map(|(place, member)| (lot_of(&(key, place)), member))
            .collect();
        members.sort_by_key(|(lot, _)| std::cmp::Reverse(*lot));
        members.into_iter().map(|(_, member)| member).collect()
    }

    fn by_turn(&self, round: u64) -> impl Iterator<Item = &T> {
        let count = u64::try_from(self.members.len()).unwrap_or(u64::MAX);
        let first = round.checked_rem(count).unwrap_or_default();
        let first = usize::try_from(first).unwrap_or_default();
        let (before, from) = self.members.split_at(first.min(self.members.len()));
        from.iter().chain(before)
    }
}

/// The same in every process of one build.
pub(crate) fn lot_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tiers(rows: &[&[(u32, &[&'static str])]]) -> Tiers<&'static str> {
        let row = |(weight, members): &(u32, &[&'static str])| Row {
            weight: *weight,
            members: members.to_vec(),
        };
        Tiers::new(
            rows.iter()
                .map(|tier| tier.iter().map(row).collect())
                .collect(),
        )
    }

    /// Who is first how often.
    fn firsts(
        tiers: &Tiers<&'static str>,
        affinity: impl Fn(u64) -> Option<u64>,
    ) -> BTreeMap<&'static str, u64> {
        let mut firsts = BTreeMap::new();
        for request in 0..1_000 {
            let order = tiers.in_order(affinity(request));
            *firsts.entry(**order.first().unwrap()).or_default() += 1;
        }
        firsts
    }

    #[test]
    fn requests_take_turns_by_weight_and_credentials_by_round() {
        let tiers = tiers(&[&[(2, &["a1", "a2"]), (1, &["b"])], &[(1, &["c"])]]);
        let orders: Vec<String> = (0..6)
            .map(|_| {
                let order = tiers.in_order(None);
                order.into_iter().copied().collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            orders,
            [
                "a1 a2 b c",
                "a1 a2 b c",
                "b a1 a2 c",
                "a2 a1 b c",
                "a2 a1 b c",
                "b a2 a1 c",
            ]
        );
    }

    #[test]
    fn ranks_count_within_a_tier_and_turns_among_equal_ones() {
        let tiers = tiers(&[&[(1, &["a1", "a2"]), (1, &["b"])], &[(1, &["c"])]]);
        let ranked = |rank: fn(&&str) -> u64| {
            let order = tiers.ranked(rank).into_iter().copied();
            order.collect::<Vec<_>>().join(" ")
        };
        let rank = |name: &&str| match *name {
            "a1" => 3,
            "a2" => 2,
            "b" => 1,
            _ => 0,
        };
        assert_eq!([ranked(rank), ranked(rank)], ["b a2 a1 c", "b a2 a1 c"]);
        let equal = |_: &&str| 7;
        assert_eq!([ranked(equal), ranked(equal)], ["a2 a1 b c", "b a2 a1 c"]);
    }

    #[test]
    fn what_belongs_together_finds_the_same_order() {
        let tiers = tiers(&[&[(1, &["a1", "a2"]), (1, &["b"])]]);
        for key in 0..100 {
            let first = tiers.in_order(Some(key));
            tiers.in_order(None);
            assert_eq!(tiers.in_order(Some(key)), first);
            assert_eq!(first.len(), 3);
        }
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let tiers = tiers(&[&[(3, &["a1", "a2"]), (1, &["b"])]]);
        let firsts = firsts(&tiers, |request| Some(lot_of(&request)));
        for (name, least, most) in [("a1", 320, 430), ("a2", 320, 430), ("b", 200, 300)] {
            assert!((least..most).contains(&firsts[name]), "{firsts:?}");
        }
    }

    #[test]
    fn another_row_takes_only_what_becomes_its_own() {
        let two = tiers(&[&[(1, &["a"]), (1, &["b"])]]);
        let three = tiers(&[&[(1, &["a"]), (1, &["b"]), (1, &["c"])]]);
        for key in 0..200 {
            let before = *two.in_order(Some(key)).first().unwrap();
            let after = *three.in_order(Some(key)).first().unwrap();
            assert!(after == before || *after == "c", "{key}");
        }
    }

    #[test]
    fn who_has_no_credential_is_not_there() {
        assert!(tiers(&[&[(1, &[])], &[]]).is_empty());
        let one = tiers(&[&[(1, &[]), (1, &["b"])], &[(5, &["c"])]]);
        assert_eq!(one.in_order(None), [&"b", &"c"]);
        assert_eq!(firsts(&one, |_| None)["b"], 1_000);
    }
}
