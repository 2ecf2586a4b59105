//! Words that only certain rooms may say: the table of what is forbidden where, and why. One entry is one rule.

use super::{Finding, source::Source};

/// A rule about words.
struct Ban {
    /// Any of these sequences of tokens, blanks between them, is a finding.
    patterns: &'static [&'static str],
    within: Within,
    problem: &'static str,
    allowed: &'static str,
}

/// Where a ban holds, as beginnings of paths.
enum Within {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// The code itself, and the constructors of `tonic::Status` that choose one.
const GRPC: [&str; 11] = [
    "tonic :: Code",
    "Status :: aborted",
    "Status :: already_exists",
    "Status :: deadline_exceeded",
    "Status :: failed_precondition",
    "Status :: internal",
    "Status :: invalid_argument",
    "Status :: not_found",
    "Status :: permission_denied",
    "Status :: unauthenticated",
    "Status :: unavailable",
];

const BANS: [Ban; 7] = [
    Ban {
        patterns: &[". unwrap ("],
        within: Within::AllBut(&["crates/testkit/", "crates/e2e/"]),
        problem: "unwrap() outside tests",
        allowed: "`?`, a default, or a Fault",
    },
    Ban {
        patterns: &["env :: var", "env :: var_os", "env :: vars"],
        within: Within::AllBut(&[
            "crates/chassis/src/config",
            // Where cargo wants generated files is told by a variable.
            "crates/proto/build.rs",
            "services/chat/build.rs",
            "crates/xtask/",
            "crates/bench/",
            "crates/testkit/",
            "crates/e2e/",
        ]),
        problem: "reads the environment",
        allowed: "only crates/chassis/src/config: settings are read once and passed down",
    },
    Ban {
        patterns: &["tokio :: spawn", "task :: spawn"],
        within: Within::AllBut(&["crates/chassis/src/tasks.rs"]),
        problem: "spawns a task that shutdown does not wait for",
        allowed: "chassis::Tasks::spawn",
    },
    Ban {
        patterns: &["f32", "f64"],
        within: Within::Only(&[
            "crates/domain/src/money",
            "crates/domain/src/price",
            "crates/domain/src/usage",
            "services/billing/src/",
        ]),
        problem: "a float near money",
        allowed: "domain::Micros and checked integers",
    },
    Ban {
        patterns: &["StatusCode"],
        within: Within::AllBut(&[
            "services/edge/",
            "services/dashboard/",
            // These read statuses that somebody else chose.
            "services/webhooks/",
            "services/aio/src/operator/door.rs",
            "services/chat/src/fault.rs",
            "services/chat/src/providers",
            "services/media/src/providers",
            "crates/proto/src/fault",
            "crates/chassis/",
            "crates/upstream/",
            "crates/sandbox/",
            "crates/testkit/",
            "crates/e2e/",
            "crates/bench/",
        ]),
        problem: "chooses an HTTP status",
        allowed: "a Fault; proto::fault is the table from kinds to statuses",
    },
    Ban {
        patterns: &GRPC,
        within: Within::AllBut(&["crates/proto/src/fault", "crates/chassis/src/rpc"]),
        problem: "chooses a gRPC code",
        allowed: "a Fault; proto::fault is the table from kinds to codes",
    },
    Ban {
        patterns: &["async", "await"],
        within: Within::Only(&["crates/domain/src/"]),
        problem: "domain is not pure",
        allowed: "plain functions: no async, no clock, no IO",
    },
];

/// Every banned word of one file.
pub(crate) fn banned_words(source: &Source) -> Vec<Finding> {
    let holds = BANS.iter().filter(|ban| ban.within.holds(source));
    let hits = holds.flat_map(|ban| ban.patterns.iter().map(move |pattern| (ban, pattern)));
    hits.flat_map(|(ban, pattern)| {
        let words: Vec<_> = pattern.split(' ').collect();
        let lines = source.lines_with(&words).into_iter();
        lines.map(|line| Finding::new(&source.path, line, ban.problem, ban.allowed))
    })
    .collect()
}

// === impl Within ===

impl Within {
    fn holds(&self, source: &Source) -> bool {
        match self {
            Self::Only(places) => source.is_in(places),
            Self::AllBut(places) => !source.is_in(places),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, banned_words};

    /// The problems found in a file with this one function body.
    fn check(path: &str, body: &str) -> Vec<String> {
        let text = format!("//! A.\nfn f() {{ {body} }}\n");
        let source = Source::parse(path, &text).unwrap();
        let findings = banned_words(&source).into_iter();
        findings.map(|finding| finding.problem).collect()
    }

    #[test]
    fn each_ban_fires_outside_its_places_and_not_inside() {
        let cases = [
            (
                "services/chat/src/a.rs",
                "crates/testkit/src/a.rs",
                "x.unwrap()",
            ),
            (
                "services/chat/src/a.rs",
                "crates/chassis/src/config.rs",
                "std::env::var(\"A\")",
            ),
            (
                "services/chat/src/a.rs",
                "crates/chassis/src/tasks.rs",
                "tokio::spawn(x)",
            ),
            (
                "services/billing/src/a.rs",
                "services/edge/src/a.rs",
                "let x: f64 = y;",
            ),
            (
                "services/media/src/a.rs",
                "services/media/src/providers/a.rs",
                "StatusCode::OK",
            ),
            (
                "services/chat/src/a.rs",
                "crates/proto/src/fault.rs",
                "tonic::Code::Ok",
            ),
            (
                "services/chat/src/a.rs",
                "crates/chassis/src/rpc.rs",
                "Status::not_found(x)",
            ),
            (
                "crates/domain/src/a.rs",
                "crates/db/src/a.rs",
                "g(async {})",
            ),
        ];
        for (forbidden, allowed, body) in cases {
            assert_eq!(check(forbidden, body).len(), 1, "{body} in {forbidden}");
            assert!(check(allowed, body).is_empty(), "{body} in {allowed}");
        }
    }

    #[test]
    fn unwrap_or_is_no_unwrap() {
        assert!(check("services/chat/src/a.rs", "x.unwrap_or(y)").is_empty());
    }

    #[test]
    fn the_words_after_import_are_not_needed_to_notice_it() {
        let source = Source::parse(
            "services/chat/src/a.rs",
            "//! A.\nuse tonic::{Code, Status};\n",
        );
        assert_eq!(banned_words(&source.unwrap()).len(), 1);
    }
}
