//! Amounts of money, which come in minor units of their currency.

/// Currencies without minor units, as Stripe counts them.
const WHOLE: [&str; 15] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];
/// Currencies with a thousand of them.
const THOUSANDTHS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// An amount with its currency: `10.00 USD`.
pub(crate) fn money(minor: i64, currency: &str) -> String {
    let places = if WHOLE.contains(&currency) {
        0
    } else if THOUSANDTHS.contains(&currency) {
        3
    } else {
        2
    };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(places));
    let sign = if minor < 0 { "−" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{rest} {}", currency.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_are_those_of_the_currency() {
        for (minor, currency, text) in [
            (1_000, "usd", "10.00 USD"),
            (5, "eur", "0.05 EUR"),
            (-250, "usd", "−2.50 USD"),
            (1_000, "jpy", "1000 JPY"),
            (1_500, "kwd", "1.500 KWD"),
        ] {
            assert_eq!(money(minor, currency), text);
        }
    }
}
