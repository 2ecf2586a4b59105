//! What every adapter must make of every way a job can go: one list of cases, and one of adapters. An adapter whose simulator cannot show a
//! case says so, and why; none is left out silently.
//!
//! For each: how the task ends, what the customer is charged (which ends the hold), how many jobs the provider was asked for, and what it
//! would charge us.

use std::sync::Arc;

use domain::Catalogue;
use proto::{Code, code};
use sandbox::directive::Outcome;
use serde_json::json;

use crate::sandboxed::{Bill, Sandboxed};

/// One way a job can go.
struct Case {
    outcome: Outcome,
    /// How long it takes there.
    delay: &'static str,
    ends: Ends,
    billed: Billed,
}

/// How the task ends. What fails is free.
enum Ends {
    /// With its files, at its price.
    Completed,
    Failed(Code),
    /// With the code for a provider that has no room, where its wire tells that from other failures.
    Busy,
    /// Only when its time is up.
    AtItsDeadline,
}

/// What the provider has on its bill for it.
enum Billed {
    /// It took nothing.
    Nothing,
    /// A job, free.
    Free,
    /// A job, at its price: our loss where the task failed.
    Price,
    /// A job, at a hundred times its price: our loss.
    Hundredfold,
}

/// An adapter, and a model behind it.
struct Wire {
    adapter: &'static str,
    provider: &'static str,
    /// What the sandbox's bill calls it.
    billed_as: &'static str,
    model: &'static str,
    /// What the model is sent, as a row of a model file says it; nothing: the parameters as they are.
    input: &'static str,
    /// How many files a job makes.
    files: usize,
    /// What the provider charges for one job, in micro-US-dollars.
    price: i64,
    /// What a submit ends with that it has no room for, again and again.
    busy: Code,
    /// What its simulator cannot show, and why.
    except: &'static [(Outcome, &'static str)],
}

/// The file of the docs.
const ACME: &str = include_str!("../../../../docs/providers/acme.toml");
/// What the task costs, in micro-credits.
const PRICE: i64 = 7_000_000;

const CASES: [Case; 13] = [
    case(Outcome::Success, Ends::Completed, Billed::Price),
    case(
        Outcome::Fail,
        Ends::Failed(code::UPSTREAM_FAILED),
        Billed::Free,
    ),
    case(
        Outcome::Moderated,
        Ends::Failed(code::CONTENT_MODERATED),
        Billed::Free,
    ),
    // Patience ends with the deadline.
    case(Outcome::RateLimited, Ends::AtItsDeadline, Billed::Nothing),
    case(Outcome::Overloaded, Ends::Busy, Billed::Nothing),
    case(
        Outcome::OutOfBalance,
        Ends::Failed(code::UPSTREAM_FAILED),
        Billed::Nothing,
    ),
    case(Outcome::Hang, Ends::AtItsDeadline, Billed::Free),
    case(Outcome::Malformed, Ends::AtItsDeadline, Billed::Price),
    case(
        Outcome::Vanish,
        Ends::Failed(code::UPSTREAM_FAILED),
        Billed::Price,
    ),
    case(Outcome::DuplicateCallback, Ends::Completed, Billed::Price),
    case(Outcome::LateCallback, Ends::Completed, Billed::Price),
    case(Outcome::Overreport, Ends::Completed, Billed::Hundredfold),
    // The file never comes whole.
    case(Outcome::Cut, Ends::AtItsDeadline, Billed::Price),
];

/// Every adapter. A new one is a line here.
const WIRES: [Wire; 7] = [
    picture("bfl", "flux-2-pro", 75_000),
    picture("fal", "fal-ai/nano-banana-pro", 150_000),
    enveloped(picture("kie", "nano-banana-pro", 90_000)),
    enveloped(songs("kie-suno", "kie")),
    enveloped(songs("sunoapi", "suno")),
    picture("replicate", "google/nano-banana-pro", 150_000),
    // The adapter of whatever a file describes.
    Wire {
        billed_as: "rest",
        ..picture("acme", "picture-1", 20_000)
    },
];

const fn picture(adapter: &'static str, model: &'static str, price: i64) -> Wire {
    Wire {
        adapter,
        provider: adapter,
        billed_as: adapter,
        model,
        input: "",
        files: 1,
        price,
        busy: code::UPSTREAM_BUSY,
        except: &[],
    }
}

/// Whatever goes wrong, HTTP says that all is well.
const fn enveloped(wire: Wire) -> Wire {
    Wire {
        busy: code::UPSTREAM_FAILED,
        ..wire
    }
}

const fn songs(adapter: &'static str, provider: &'static str) -> Wire {
    Wire {
        provider,
        billed_as: provider,
        input: "[providers.input]\nmodel = \"V4\"\ncustomMode = false\ninstrumental = false\nprompt = \"$prompt\"\n",
        files: 2,
        ..picture(adapter, "generate", 60_000)
    }
}

const fn case(outcome: Outcome, ends: Ends, billed: Billed) -> Case {
    Case {
        outcome,
        delay: "5ms",
        ends,
        billed,
    }
}

fn declared() -> media::Declared {
    let file = ("acme.toml".to_owned(), ACME.to_owned());
    media::Declared::read(&[file], media::DeclaredLimits::default()).unwrap()
}

impl Case {
    fn bill(&self, wire: &Wire) -> Bill {
        let (jobs, times) = match self.billed {
            Billed::Nothing => (0, 0),
            Billed::Free => (1, 0),
            Billed::Price => (1, 1),
            Billed::Hundredfold => (1, 100),
        };
        let billed = wire.price * times;
        Bill { jobs, billed }
    }
}

impl Wire {
    /// Two models that it serves alone: one with time enough, and one without.
    fn catalogue(&self) -> Arc<Catalogue> {
        let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
        let (ours, _) = text.split_once("[[providers]]").unwrap();
        let (adapter, provider, model) = (self.adapter, self.provider, self.model);
        let route =
            format!("adapter = \"{adapter}\"\nprovider = \"{provider}\"\nmodel = \"{model}\"\n");
        let route = format!("{route}{}", self.input);
        let patient = format!("{ours}[[providers]]\n{route}");
        let brief = patient
            .replace("slug = \"flux-2\"", "slug = \"brief\"")
            .replace("deadline_seconds = 300", "deadline_seconds = 1");
        let files = [("patient.toml", &*patient), ("brief.toml", &*brief)];
        Arc::new(Catalogue::parse(&files).unwrap())
    }

    async fn shows(&self, sandboxed: &Sandboxed, case: &Case) {
        let words = format!("outcome={} delay={}", case.outcome.as_str(), case.delay);
        let what = format!("{}: {words}", self.adapter);
        let before = sandboxed.bill(self.billed_as).await;
        let model = match case.ends {
            Ends::AtItsDeadline => "brief",
            Ends::Completed | Ends::Failed(_) | Ends::Busy => "flux-2",
        };
        let task = sandboxed.asked_of(model, &words).await;
        let code = match case.ends {
            Ends::Completed => None,
            Ends::Failed(code) => Some(code),
            Ends::Busy => Some(self.busy),
            Ends::AtItsDeadline => Some(code::DEADLINE_EXCEEDED),
        };
        if let Some(code) = code {
            let view = sandboxed.fails(task, code).await;
            assert_eq!(view["consumed_microcredits"], json!(0), "{what}: {view}");
        } else {
            let view = sandboxed.running.reaches(task, "completed").await;
            assert_eq!(view["consumed_microcredits"], PRICE, "{what}: {view}");
            let files = view["output"].as_array().unwrap().len();
            assert_eq!(files, self.files, "{what}: {view}");
            sandboxed.settles(task, &[PRICE]).await;
        }
        let after = sandboxed.bill(self.billed_as).await;
        let billed = Bill {
            jobs: after.jobs - before.jobs,
            billed: after.billed - before.billed,
        };
        assert_eq!(billed, case.bill(self), "{what}");
    }

    fn is_excepted(&self, case: &Case) -> bool {
        self.except
            .iter()
            .any(|(outcome, _)| *outcome == case.outcome)
    }
}

/// Every case of one adapter.
async fn every_case(adapter: &str) {
    let wire = WIRES.iter().find(|wire| wire.adapter == adapter).unwrap();
    let sandboxed = Sandboxed::with(wire.catalogue(), declared()).await;
    for case in CASES.iter().filter(|case| !wire.is_excepted(case)) {
        wire.shows(&sandboxed, case).await;
    }
}

#[tokio::test]
async fn bfl() {
    every_case("bfl").await;
}

#[tokio::test]
async fn fal() {
    every_case("fal").await;
}

#[tokio::test]
async fn kie() {
    every_case("kie").await;
}

#[tokio::test]
async fn kie_suno() {
    every_case("kie-suno").await;
}

#[tokio::test]
async fn sunoapi() {
    every_case("sunoapi").await;
}

#[tokio::test]
async fn replicate() {
    every_case("replicate").await;
}

#[tokio::test]
async fn acme() {
    every_case("acme").await;
}

#[test]
fn no_adapter_and_no_case_is_left_out() {
    let declared = declared();
    let adapters = media::ADAPTERS.iter().copied().chain(declared.names());
    let mut adapters: Vec<&str> = adapters.collect();
    let mut listed = WIRES.map(|wire| wire.adapter);
    adapters.sort_unstable();
    listed.sort_unstable();
    assert_eq!(adapters, listed, "each adapter has a line");
    for (outcome, word) in Outcome::ALL {
        let cases = CASES.iter().filter(|case| case.outcome == outcome);
        assert_eq!(cases.count(), 1, "{word}");
    }
    for (wire, (outcome, why)) in WIRES
        .iter()
        .flat_map(|wire| wire.except.iter().map(move |row| (wire, row)))
    {
        assert!(!why.is_empty(), "{} {}", wire.adapter, outcome.as_str());
    }
    // Each line of the list has its test above.
    let source = include_str!("contract.rs");
    for wire in &WIRES {
        let call = format!("every_case(\"{}\")", wire.adapter);
        assert!(source.contains(&call), "{call}");
    }
}
