//! Sums over figures that were measured.

use std::time::Duration;

/// The one in the middle, or what lies half-way between the two there; not a number when there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

/// How much the second of each pair grows while the first grows by one: the straight line with the least squares. Not a number when
/// there are no two places on it.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.iter().fold(0.0, |count, _| count + 1.0);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let (mut product, mut square) = (0.0, 0.0);
    for (x, y) in points {
        let from_mean = x - x_mean;
        product += from_mean * (y - y_mean);
        square += from_mean * from_mean;
    }
    if square > 0.0 {
        product / square
    } else {
        f64::NAN
    }
}

/// A whole number as one that statistics are computed with.
pub fn number(whole: u64) -> f64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "what is counted here is far below 2^53"
    )]
    let number = whole as f64;
    number
}

/// How often something happened in a second, if it happened so often in this time.
pub fn per_second(count: u64, time: Duration) -> f64 {
    number(count) / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_or_half_way() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![9.0, 1.0, 5.0, 6.0]) - 5.5).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_slope_is_that_of_the_line() {
        let line: Vec<_> = [0.0, 1.0, 2.0, 3.0].map(|x| (x, 2.0 * x + 7.0)).into();
        assert!((slope(&line) - 2.0).abs() < 1e-9);
        assert!(slope(&[(1.0, 5.0)]).is_nan() && slope(&[]).is_nan());
    }
}
