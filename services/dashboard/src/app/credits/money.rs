//! Amounts of money, which come in minor units of their currency.

use crate::show;

/// Currencies without minor units, as Stripe counts them.
const WHOLE: [&str; 15] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];
/// Currencies with a thousand of them.
const THOUSANDTHS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// An amount with its currency, its digits in groups: `1,000.00 USD`.
pub(crate) fn money(minor: i64, currency: &str) -> String {
    let code = currency.to_lowercase();
    let places = if WHOLE.contains(&code.as_str()) {
        0
    } else if THOUSANDTHS.contains(&code.as_str()) {
        3
    } else {
        2
    };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(places));
    let sign = if minor < 0 { "−" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    let (whole, code) = (show::count(whole), code.to_uppercase());
    format!("{sign}{whole}{point}{rest} {code}")
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
            (123_405, "eur", "1,234.05 EUR"),
            (1_000, "jpy", "1,000 JPY"),
            (1_000, "KRW", "1,000 KRW"),
            (1_500, "kwd", "1.500 KWD"),
        ] {
            assert_eq!(money(minor, currency), text);
        }
    }
}
