//! An operation as a line of a list.

use domain::{Id, OperationId, TaskId};
use proto::billing::v1::Operation;

use crate::{app::named::Keys, show};

/// How an operation ended: the word on the wire, what pages say, and of a badge its class.
pub(crate) const OUTCOMES: [(&str, &str, &str); 4] = [
    ("captured", "Charged", "good"),
    ("released", "Not charged", ""),
    ("expired", "Expired", ""),
    ("late", "Charged late", "bad"),
];

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The page with its receipt.
    pub(crate) href: String,
    pub(crate) time: show::Time,
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) route: String,
    /// How it ended, and the class of its badge.
    pub(crate) outcome: (&'static str, &'static str),
    /// Tokens read and written; empty: none are counted.
    pub(crate) tokens: String,
    /// Credits.
    pub(crate) charged: String,
    pub(crate) key: String,
}

impl Line {
    /// Of an operation; `None`: it has no id.
    pub(crate) fn of(operation: Operation, keys: &Keys) -> Option<Self> {
        let id: OperationId = Id::from_slice(&operation.operation_id)?;
        Some(Self {
            href: format!("/requests/{id}"),
            time: show::Time::of(operation.created_at),
            outcome: outcome(&operation),
            tokens: tokens(operation.input_tokens, operation.output_tokens),
            charged: show::credits(operation.charged),
            key: keys.name(&operation.key_id),
            model: operation.model,
            provider: operation.provider,
            route: operation.route,
        })
    }
}

/// How an operation ended, in words, and the class of its badge.
pub(crate) fn outcome(operation: &Operation) -> (&'static str, &'static str) {
    let mut known = OUTCOMES.iter();
    match known.find(|(word, ..)| *word == operation.outcome) {
        // A charge of nothing is none.
        Some(("captured", ..)) if operation.charged == 0 => ("Not charged", ""),
        Some((_, name, class)) => (name, class),
        None => ("Ended", ""),
    }
}

/// The id that a page is asked for by: an operation's own, or that of its task.
pub(crate) fn id(text: &str) -> Option<OperationId> {
    OperationId::parse(text).or_else(|| TaskId::parse(text).map(Id::cast))
}

fn tokens(input: i64, output: i64) -> String {
    match (input, output) {
        (0, 0) => String::new(),
        (input, output) => format!("{} → {}", show::count(input), show::count(output)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_becomes_a_line() {
        let own: OperationId = chassis::mint();
        let operation = Operation {
            operation_id: own.to_vec().into(),
            model: "gemini".to_owned(),
            outcome: "captured".to_owned(),
            charged: 1_500_000,
            input_tokens: 1_200,
            output_tokens: 3,
            ..Operation::default()
        };
        let line = Line::of(operation.clone(), &Keys::default()).unwrap();
        assert_eq!(line.href, format!("/requests/{own}"));
        assert_eq!(line.outcome, ("Charged", "good"));
        assert_eq!(
            (line.tokens.as_str(), line.charged.as_str()),
            ("1,200 → 3", "1.5")
        );
        for (outcome, charged, name) in [
            ("captured", 0, "Not charged"),
            ("released", 0, "Not charged"),
            ("late", 1, "Charged late"),
            ("new", 1, "Ended"),
        ] {
            let operation = Operation {
                outcome: outcome.to_owned(),
                charged,
                ..operation.clone()
            };
            assert_eq!(super::outcome(&operation).0, name);
        }
        assert_eq!(Line::of(Operation::default(), &Keys::default()), None);
    }

    #[test]
    fn a_task_names_its_operation() {
        let own: OperationId = chassis::mint();
        let task: TaskId = own.cast();
        assert_eq!(id(&own.to_string()), Some(own));
        assert_eq!(id(&task.to_string()), Some(own));
        assert_eq!(id("key_1"), None);
    }
}
