//! What every adapter must make of every way a job can go: one list of cases, and one of adapters. An adapter whose simulator cannot show a
//! case says so, and why; none is left out silently.
//!
//! For each: how the task ends, what the customer is charged (which ends the hold), how many jobs the provider was asked for, and what it
//! would charge us.

mod wires;

use std::sync::Arc;

use domain::Catalogue;
use proto::{Code, code};
use sandbox::directive::Outcome;
use serde_json::json;

use self::wires::WIRES;
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
#[derive(Clone, Copy)]
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
#[derive(Clone, Copy)]
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

/// An adapter, and a model behind it. One that has several ways to work is there once for each.
struct Wire {
    name: &'static str,
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
    /// What goes otherwise there.
    differs: &'static [Differs],
    /// What its simulator cannot show, and why.
    except: &'static [(Outcome, &'static str)],
}

type Differs = (Outcome, Ends, Billed);

/// The file of the docs.
const ACME: &str = include_str!("../../../../docs/providers/acme.toml");
/// The table of all this for operators to read.
const DOCS: &str = include_str!("../../../../docs/providers/cases.md");
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

impl Billed {
    /// As the docs have it.
    const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "no job",
            Self::Free => "free",
            Self::Price => "billed",
            Self::Hundredfold => "billed a hundredfold",
        }
    }

    fn of(self, wire: &Wire) -> Bill {
        let (jobs, times) = match self {
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
        let what = format!("{}: {words}", self.name);
        let (ends, billed) = self.expects(case);
        let before = sandboxed.bill(self.billed_as).await;
        // Whoever never answers is waited for until then, whatever that is called.
        let is_brief = matches!(ends, Ends::AtItsDeadline) || matches!(case.outcome, Outcome::Hang);
        let model = if is_brief { "brief" } else { "flux-2" };
        let task = sandboxed.asked_of(model, &words).await;
        if let Some(code) = self.code(ends) {
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
        let found = Bill {
            jobs: after.jobs - before.jobs,
            billed: after.billed - before.billed,
        };
        assert_eq!(found, billed.of(self), "{what}");
    }

    /// How a case ends there, and what is billed.
    fn expects(&self, case: &Case) -> (Ends, Billed) {
        let mut differs = self.differs.iter();
        differs
            .find(|(outcome, _, _)| *outcome == case.outcome)
            .map_or((case.ends, case.billed), |(_, ends, billed)| {
                (*ends, *billed)
            })
    }

    /// What a task fails with.
    fn code(&self, ends: Ends) -> Option<Code> {
        match ends {
            Ends::Completed => None,
            Ends::Failed(code) => Some(code),
            Ends::Busy => Some(self.busy),
            Ends::AtItsDeadline => Some(code::DEADLINE_EXCEEDED),
        }
    }

    /// Its line in the docs.
    fn line(&self) -> String {
        let cell = |case: &Case| {
            let mut except = self.except.iter();
            if let Some((_, why)) = except.find(|(outcome, _)| *outcome == case.outcome) {
                return format!("not shown: {why}");
            }
            let (ends, billed) = self.expects(case);
            let ends = match self.code(ends) {
                None => "completed".to_owned(),
                Some(code) => format!("`{}`", code.word),
            };
            format!("{ends}, {}", billed.words())
        };
        let cells: Vec<String> = CASES.iter().map(cell).collect();
        format!("| {} | {} |\n", self.name, cells.join(" | "))
    }

    fn is_excepted(&self, case: &Case) -> bool {
        self.except
            .iter()
            .any(|(outcome, _)| *outcome == case.outcome)
    }
}

/// Every case of one adapter.
async fn every_case(name: &str) {
    let wire = WIRES.iter().find(|wire| wire.name == name).unwrap();
    let sandboxed = Sandboxed::with(wire.catalogue(), declared()).await;
    for case in CASES.iter().filter(|case| !wire.is_excepted(case)) {
        wire.shows(&sandboxed, case).await;
    }
}

#[tokio::test]
async fn ark() {
    every_case("ark").await;
}

#[tokio::test]
async fn ark_films() {
    every_case("ark films").await;
}

#[tokio::test]
async fn bfl() {
    every_case("bfl").await;
}

#[tokio::test]
async fn bria() {
    every_case("bria").await;
}

#[tokio::test]
async fn bria_films() {
    every_case("bria films").await;
}

#[tokio::test]
async fn dashscope() {
    every_case("dashscope").await;
}

#[tokio::test]
async fn dashscope_pictures() {
    every_case("dashscope pictures").await;
}

#[tokio::test]
async fn elevenlabs() {
    every_case("elevenlabs").await;
}

#[tokio::test]
async fn elevenlabs_transcripts() {
    every_case("elevenlabs transcripts").await;
}

#[tokio::test]
async fn fal() {
    every_case("fal").await;
}

#[tokio::test]
async fn fal_transcripts() {
    every_case("fal transcripts").await;
}

#[tokio::test]
async fn gemini() {
    every_case("gemini").await;
}

#[tokio::test]
async fn ideogram() {
    every_case("ideogram").await;
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
async fn kling() {
    every_case("kling").await;
}

#[tokio::test]
async fn kling_its_older_() {
    every_case("kling, its older API").await;
}

#[tokio::test]
async fn minimax() {
    every_case("minimax").await;
}

#[tokio::test]
async fn minimax_songs() {
    every_case("minimax songs").await;
}

#[tokio::test]
async fn openai() {
    every_case("openai").await;
}

#[tokio::test]
async fn openai_speech() {
    every_case("openai speech").await;
}

#[tokio::test]
async fn openai_transcripts() {
    every_case("openai transcripts").await;
}

#[tokio::test]
async fn photoroom() {
    every_case("photoroom").await;
}

#[tokio::test]
async fn piapi() {
    every_case("piapi").await;
}

#[tokio::test]
async fn pixverse() {
    every_case("pixverse").await;
}

#[tokio::test]
async fn sunoapi() {
    every_case("sunoapi").await;
}

#[tokio::test]
async fn removebg() {
    every_case("removebg").await;
}

#[tokio::test]
async fn replicate() {
    every_case("replicate").await;
}

#[tokio::test]
async fn segmind() {
    every_case("segmind").await;
}

#[tokio::test]
async fn topaz() {
    every_case("topaz").await;
}

#[tokio::test]
async fn veo() {
    every_case("veo").await;
}

#[tokio::test]
async fn vidu() {
    every_case("vidu").await;
}

#[tokio::test]
async fn xai() {
    every_case("xai").await;
}

#[tokio::test]
async fn xai_films() {
    every_case("xai films").await;
}

#[tokio::test]
async fn acme() {
    every_case("acme").await;
}

#[test]
fn the_docs_have_the_table_of_it() {
    let outcomes = CASES.map(|case| format!("`{}`", case.outcome.as_str()));
    let head = format!("| provider | {} |\n", outcomes.join(" | "));
    let rule = format!("| --- |{}\n", " --- |".repeat(CASES.len()));
    let lines: String = WIRES.iter().map(Wire::line).collect();
    let table = format!("{head}{rule}{lines}");
    let (_, found) = DOCS.split_once("\n\n| ").unwrap();
    assert_eq!(
        format!("| {found}"),
        table,
        "docs/providers/cases.md is:\n{table}"
    );
}

#[test]
fn no_adapter_and_no_case_is_left_out() {
    let declared = declared();
    let adapters = media::ADAPTERS.iter().copied().chain(declared.names());
    let mut adapters: Vec<&str> = adapters.collect();
    let mut listed: Vec<&str> = WIRES.iter().map(|wire| wire.adapter).collect();
    adapters.sort_unstable();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(adapters, listed, "each adapter has a line");
    for (outcome, word) in Outcome::ALL {
        let cases = CASES.iter().filter(|case| case.outcome == outcome);
        assert_eq!(cases.count(), 1, "{word}");
    }
    for (wire, (outcome, why)) in WIRES
        .iter()
        .flat_map(|wire| wire.except.iter().map(move |row| (wire, row)))
    {
        assert!(!why.is_empty(), "{} {}", wire.name, outcome.as_str());
    }
    // Each line of the list has its test above.
    let source = include_str!("contract.rs");
    for wire in &WIRES {
        let call = format!("every_case(\"{}\")", wire.name);
        assert!(source.contains(&call), "{call}");
    }
}
