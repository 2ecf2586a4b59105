//! The scale of a chart: round figures at its side, and how long a part of a whole is.

/// Gaps between the figures, at most.
const GAPS: i64 = 4;
/// How far the side of a chart of nothing reaches: one credit.
const NOTHING: i64 = 1_000_000;

/// So much of a length as a part is of a whole. Without a whole there is nothing.
pub(super) fn part(part: i64, whole: i64, length: i64) -> i64 {
    let product = i128::from(part.max(0)) * i128::from(length);
    let share = product.checked_div(i128::from(whole)).unwrap_or(0);
    i64::try_from(share).unwrap_or(length).min(length)
}

/// Round figures from 0 to the first that is not below the largest: 1, 2 or 5, with zeros behind it, apart.
pub(super) fn ticks(most: i64) -> Vec<i64> {
    if most <= 0 {
        return vec![0, NOTHING];
    }
    let mut steps = (0..18).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10_i64.pow(zeros)));
    let step = steps.find(|step| step.saturating_mul(GAPS) >= most);
    let step = step.unwrap_or(i64::MAX / GAPS);
    let mut ticks = vec![0];
    for gap in 1..=GAPS {
        let tick = step.saturating_mul(gap);
        ticks.push(tick);
        if tick >= most {
            break;
        }
    }
    ticks
}
