//! A song told stage by stage, to who looks, who listens and who is called: the same envelopes in the same order, and none is missing although the
//! process that looks after it is killed at each of them.

use std::{cell::RefCell, collections::BTreeMap};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Events, Method, Received, Role, Sink, eventually};

use crate::webhooks::verify;

const STAGES: [&str; 3] = ["text", "first", "complete"];
/// Between two stages there is time for a process to start.
const SONG: &str = "a song of a fox [sandbox delay=20s]";
/// Looks that come soon, so that each stage is seen.
const SOON: [(&str, &str); 3] = [
    ("AIO_LIMITS__MEDIA__POLL__FIRST", "100ms"),
    ("AIO_LIMITS__MEDIA__POLL__LONGEST", "300ms"),
    crate::say::SOON,
];

/// What was heard of a task: each change once, in the order of its coming.
#[derive(Default)]
struct Heard(RefCell<Vec<Value>>);

// === impl Heard ===

impl Heard {
    fn take(&self, view: Value) {
        let mut heard = self.0.borrow_mut();
        if heard.last() != Some(&view) {
            heard.push(view);
        }
    }

    fn has(&self, stage: &str) -> bool {
        self.0.borrow().iter().any(|view| view["stage"] == stage)
    }

    /// The number of the last change; nothing before the first.
    fn last(&self) -> String {
        let heard = self.0.borrow();
        let last = heard.last().map(|view| view["sequence"].to_string());
        last.unwrap_or_default()
    }

    /// The stages, each as it came first; each change has a number of its own, higher than those before.
    fn stages(&self) -> Result<Vec<Value>> {
        let heard = self.0.borrow();
        let numbers: Vec<Option<i64>> =
            heard.iter().map(|view| view["sequence"].as_i64()).collect();
        ensure!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
        let mut stages: Vec<Value> = heard.iter().map(|view| view["stage"].clone()).collect();
        stages.retain(|stage| !stage.is_null());
        stages.dedup();
        Ok(stages)
    }

    /// The change of this number.
    fn numbered(&self, sequence: &Value) -> Option<Value> {
        let heard = self.0.borrow();
        heard
            .iter()
            .find(|view| view["sequence"] == *sequence)
            .cloned()
    }
}

/// Looks until the end, and kills whoever looks after the song as soon as a stage is told.
async fn looked(
    aio: &mut Aio,
    (api, id): (&Api, &str),
    polls: &Heard,
    events: &Heard,
) -> Result<()> {
    for stage in STAGES {
        eventually(&format!("{stage} is told"), async || {
            // Where the process is away, nobody answers.
            if let Ok(task) = api.task(id).await {
                polls.take(task);
            }
            Ok((polls.has(stage) && events.has(stage)).then_some(()))
        })
        .await?;
        if stage != "complete" {
            aio.restart_role(Role::Media).await?;
        }
    }
    Ok(())
}

/// Follows the events until they end, and comes back with the number of the last one where they break off.
async fn listened((api, id): (&Api, &str), events: &Heard) -> Result<()> {
    let path = format!("/tasks/{id}/events");
    eventually("the events end", async || {
        let last = events.last();
        let headers = [("last-event-id", last.as_str())];
        let Ok(response) = api.open(Method::GET, &path, &headers, "").await else {
            return Ok(None);
        };
        if response.status() != 200 {
            // 204: nothing will follow.
            return Ok((response.status() == 204).then_some(()));
        }
        let mut stream = Events::of(response);
        while let Ok(Some(event)) = stream.next().await {
            let view = event.json()?;
            let number = event.id.parse().ok();
            ensure!(number == view["sequence"].as_i64(), "{view}");
            events.take(view);
        }
        Ok(events.has("complete").then_some(()))
    })
    .await
}

/// What was told to the callback, each telling once, by its number. One that came again came as it was.
async fn told(api: &Api, all: &[Received]) -> Result<Vec<Value>> {
    let mut told: BTreeMap<i64, (String, Value)> = BTreeMap::new();
    for received in all {
        let event = verify(api, received).await?;
        let number = event["data"]["sequence"].as_i64().context("no sequence")?;
        let this = (received.header("webhook-id").to_owned(), event);
        let before = told.entry(number).or_insert_with(|| this.clone());
        ensure!(*before == this, "{} is told in two ways", this.1);
    }
    Ok(told.into_values().map(|(_, event)| event).collect())
}

#[tokio::test]
async fn a_song_is_told_alike_by_all_ways_whoever_is_killed() -> Result<()> {
    let mut aio = Aio::with(&SOON).await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(204)).await?;
    let body = json!({ "gpt_description_prompt": SONG, "callback_url": sink.url("/") });
    let accepted = api.post("/audio/music", &body).await?.data(202)?;
    let id = accepted["task_id"].as_str().context("no task_id")?;
    let (polls, events) = (Heard::default(), Heard::default());
    tokio::try_join!(
        looked(&mut aio, (&api, id), &polls, &events),
        listened((&api, id), &events),
    )?;
    let webhooks = eventually("the end is told", async || {
        let told = told(&api, &sink.received()).await?;
        let is_over = told.iter().any(|event| event["type"] == "task.completed");
        Ok((is_over && told.len() >= STAGES.len()).then_some(told))
    })
    .await?;

    let types: Vec<&Value> = webhooks.iter().map(|event| &event["type"]).collect();
    assert_eq!(
        types,
        ["task.processing", "task.processing", "task.completed"]
    );
    for (event, stage) in webhooks.iter().zip(STAGES) {
        let view = &event["data"];
        assert_eq!(view["stage"], stage);
        assert_eq!(polls.numbered(&view["sequence"]).as_ref(), Some(view));
        assert_eq!(events.numbered(&view["sequence"]).as_ref(), Some(view));
    }
    assert_eq!(polls.stages()?, STAGES);
    assert_eq!(events.stages()?, STAGES);
    let song = api.task(id).await?;
    assert_eq!(song["attempts"], 1, "{song}");
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.open_holds), (95_000_000, 0));
    aio.finish().await
}
