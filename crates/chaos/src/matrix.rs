//! The whole matrix: every fault there is a name for, and what shows that it does no harm: a case of this program, a test of the suite, or
//! nothing so far, which is said. It stands in `matrix.txt`. Tests of this file look that each test and each case that is named is there.

/// One fault.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// A letter and two digits: crashes (F), the network (N), the queue (Q), clocks (C), races (R).
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) what: &'static str,
    /// What shows that it does no harm.
    pub(crate) proofs: Vec<Proof>,
}

/// What shows that a fault does no harm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// Cases of this program whose names hold this.
    Case(&'static str),
    /// A test, by its file and its name.
    Test(&'static str, &'static str),
    /// Nothing so far, and why.
    Open(&'static str),
}

/// A fault begins a line; its proofs are below it, each indented. A line that begins with `#` is for readers.
const TEXT: &str = include_str!("matrix.txt");

/// All faults.
pub(crate) fn matrix() -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
        let indented = line.starts_with(' ');
        let Some((word, rest)) = line.trim_start().split_once(' ') else {
            continue;
        };
        if !indented {
            faults.push(Fault {
                name: word,
                what: rest,
                proofs: Vec::new(),
            });
            continue;
        }
        let proof = match word {
            "case" => Proof::Case(rest),
            "test" => rest
                .split_once(' ')
                .map_or(Proof::Open(rest), |(file, name)| Proof::Test(file, name)),
            _ => Proof::Open(rest),
        };
        if let Some(fault) = faults.last_mut() {
            fault.proofs.push(proof);
        }
    }
    faults
}

// === impl Proof ===

impl Proof {
    pub(crate) fn to_markdown(self) -> String {
        match self {
            Self::Case(part) => format!("case `{part}`"),
            Self::Test(file, name) => format!("`{name}` in {file}"),
            Self::Open(why) => why.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Length, case};
    use std::path::Path;

    #[test]
    fn each_fault_has_one_row_and_each_row_a_proof() {
        let faults = matrix();
        let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
        let numbered = |letter: char, last: u32| (1..=last).map(move |n| format!("{letter}{n:02}"));
        let all: Vec<String> = numbered('F', 34)
            .chain(numbered('N', 8))
            .chain(numbered('Q', 6))
            .chain(numbered('C', 6))
            .chain(numbered('R', 12))
            .collect();
        assert_eq!(names, all);
        assert!(faults.iter().all(|fault| !fault.proofs.is_empty()));
    }

    #[test]
    fn each_test_that_is_named_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut tests = 0;
        for fault in matrix() {
            for proof in fault.proofs {
                let Proof::Test(file, name) = proof else {
                    continue;
                };
                let text = std::fs::read_to_string(root.join(file)).unwrap();
                let there = text.contains(&format!("fn {name}("));
                assert!(there, "{}: {file}: {name}", fault.name);
                tests += 1;
            }
        }
        assert!(tests > 40, "only {tests} tests are named");
    }

    #[test]
    fn each_case_that_is_named_is_there() {
        let names = case::names(Length::Full);
        for fault in matrix() {
            for proof in fault.proofs {
                let Proof::Case(part) = proof else { continue };
                let found = names.iter().any(|name| name.contains(part));
                assert!(found, "{}: no case {part}", fault.name);
            }
        }
    }
}
