//! Everything that customers do, mixed.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{Aio, Api, Method, Reply, Sink};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::customer::chat;

/// Accounts, and what each begins with, in credits.
const ACCOUNTS: usize = 4;
const CREDITS: i64 = 100_000_000;
/// Operations at once: of a machine that is asked for all it can do, and of one that is not.
const AT_ONCE: usize = 24;
const MOST_AT_ONCE: usize = 200;
/// How long what was begun may take to end.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(1);

/// What chats come to, whole ones and streams.
const CHATS: [&str; 8] = [
    "Hello [sandbox tokens=40]",
    "Hello [sandbox tokens=40]",
    "Hello [sandbox tokens=40]",
    "Hello [sandbox tokens=40]",
    "Hello [sandbox outcome=fail]",
    "Hello [sandbox outcome=moderated]",
    "Hello [sandbox outcome=cut tokens=20]",
    "Hello [sandbox outcome=overreport tokens=8]",
];
/// What images come to.
const IMAGES: [&str; 4] = [
    "a fox [sandbox delay=200ms]",
    "a fox [sandbox delay=2s]",
    "a fox [sandbox outcome=fail delay=100ms]",
    "a fox [sandbox outcome=moderated delay=100ms]",
];

/// What one operation is. Of sixteen, as many as there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chat,
    Stream,
    Leave,
    Image,
    Poll,
    List,
    Page,
}

const MIX: [Kind; 16] = [
    Kind::Chat,
    Kind::Stream,
    Kind::Chat,
    Kind::Image,
    Kind::Poll,
    Kind::Chat,
    Kind::Stream,
    Kind::Leave,
    Kind::Chat,
    Kind::Poll,
    Kind::List,
    Kind::Stream,
    Kind::Chat,
    Kind::Poll,
    Kind::Page,
    Kind::Chat,
];

/// The customers, and what they know.
pub(super) struct Load {
    apis: Vec<Api>,
    /// Where the web pages are.
    pages: String,
    sink: Sink,
    next: Cell<usize>,
    over: Cell<bool>,
    /// Tasks that were accepted and are not known to have ended.
    open: RefCell<VecDeque<(usize, String)>>,
    accepted: RefCell<BTreeSet<String>>,
    counts: RefCell<Counts>,
}

/// How operations ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) answered: u64,
    /// With a status of 500 and above, which is what some providers' failures are.
    pub(super) failed: u64,
    /// Not at all.
    pub(super) broken: u64,
}

/// What should not be there when all is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) holds: i64,
    pub(super) tasks: usize,
    pub(super) untold: usize,
}

// === impl Load ===

impl Load {
    pub(super) async fn new(aio: &mut Aio, sink: Sink) -> Result<Self> {
        let mut apis = Vec::new();
        for _ in 0..ACCOUNTS {
            apis.push(aio.account(CREDITS).await?.api);
        }
        Ok(Self {
            apis,
            pages: aio.pages().await?,
            sink,
            next: Cell::new(0),
            over: Cell::new(false),
            open: RefCell::default(),
            accepted: RefCell::default(),
            counts: RefCell::default(),
        })
    }

    /// One operation after another, on all connections, for so long. Says how many there were per second.
    pub(super) async fn closed(&self, lasting: Duration) -> f64 {
        let (begun, before) = (Instant::now(), self.counts().answered);
        let working = (0..AT_ONCE).map(async |_| {
            while begun.elapsed() < lasting {
                self.one(self.take()).await;
            }
        });
        join_all(working).await;
        let answered = self.counts().answered.saturating_sub(before);
        ::report::per_second(answered, begun.elapsed())
    }

    /// So many operations a second, until it is stopped.
    pub(super) async fn paced(&self, rate: f64) {
        let pause = Duration::from_secs_f64(rate.max(0.1).recip());
        let (begun, first) = (Instant::now(), self.next.get());
        let working = (0..MOST_AT_ONCE).map(async |_| {
            while !self.over.get() {
                let number = self.take();
                let turn = u32::try_from(number.saturating_sub(first)).unwrap_or(u32::MAX);
                sleep_until(begun + pause.saturating_mul(turn)).await;
                self.one(number).await;
            }
        });
        join_all(working).await;
    }

    pub(super) fn stop(&self) {
        self.over.set(true);
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Holds that are open, of all accounts; nothing while nobody says.
    pub(super) async fn holds(&self) -> Option<i64> {
        let mut sum = 0_i64;
        for api in &self.apis {
            sum = sum.saturating_add(api.credits().await.ok()?.open_holds);
        }
        Some(sum)
    }

    /// Tasks that were accepted and are not known to have ended.
    pub(super) fn open_tasks(&self) -> usize {
        self.open.borrow().len()
    }

    /// Waits until everything has ended and was told, or for long enough.
    pub(super) async fn left(&self) -> Left {
        let until = Instant::now() + PATIENCE;
        loop {
            for _ in 0..self.open_tasks() {
                let _ = self.poll().await;
            }
            let left = Left {
                holds: self.holds().await.unwrap_or(i64::MAX),
                tasks: self.open_tasks(),
                untold: self.untold(),
            };
            if left == Left::default() || Instant::now() >= until {
                return left;
            }
            sleep(LOOK).await;
        }
    }

    /// Tasks that the endpoint has not heard of.
    fn untold(&self) -> usize {
        let mut untold = self.accepted.borrow().clone();
        for received in self.sink.received() {
            let event = received.json().unwrap_or_default();
            let task = event.pointer("/data/task_id").and_then(Value::as_str);
            untold.remove(task.unwrap_or_default());
        }
        untold.len()
    }

    fn take(&self) -> usize {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    async fn one(&self, number: usize) {
        let done = timeout(PATIENCE, self.does(number)).await;
        let mut counts = self.counts.borrow_mut();
        let count = match done {
            Ok(Ok(status)) if status >= 500 => &mut counts.failed,
            Ok(Ok(_)) => &mut counts.answered,
            Ok(Err(_)) | Err(_) => &mut counts.broken,
        };
        *count = count.saturating_add(1);
    }

    async fn does(&self, number: usize) -> Result<u16> {
        let whose = number.checked_rem(ACCOUNTS).unwrap_or_default();
        let api = self.apis.get(whose).context("nobody")?;
        let kind = pick(&MIX, number).unwrap_or(Kind::Chat);
        let text = pick(&CHATS, number / MIX.len()).unwrap_or_default();
        match kind {
            Kind::Chat => {
                let body = json!({
                    "model": "gemini",
                    "max_tokens": 256,
                    "messages": [{ "role": "user", "content": text }],
                });
                Ok(api.post("/chat/completions", &body).await?.status)
            }
            Kind::Stream => stream(api, text, usize::MAX).await,
            Kind::Leave => stream(api, "Hello [sandbox tokens=40 chunk_delay=10ms]", 4).await,
            Kind::Image => {
                let prompt = pick(&IMAGES, number / MIX.len()).unwrap_or_default();
                let url = self.sink.url("/");
                let body = json!({ "model": "flux-2", "prompt": prompt, "callback_url": url });
                let reply = api.post("/images/generations", &body).await?;
                self.accept(whose, &reply)?;
                Ok(reply.status)
            }
            Kind::Poll => self.poll().await,
            Kind::List => Ok(api.get("/tasks?limit=20").await?.status),
            Kind::Page => {
                let url = format!("{}/models", self.pages);
                let reply = api.send(Method::GET, &url, &[], Vec::new()).await?;
                Ok(reply.status)
            }
        }
    }

    fn accept(&self, whose: usize, reply: &Reply) -> Result<()> {
        if reply.status == 202 {
            let data = reply.data(202)?;
            let id = data.get("task_id").and_then(Value::as_str);
            let id = id.context("no task_id")?.to_owned();
            self.accepted.borrow_mut().insert(id.clone());
            self.open.borrow_mut().push_back((whose, id));
        }
        Ok(())
    }

    /// Looks at the task that was not looked at for the longest time.
    async fn poll(&self) -> Result<u16> {
        let Some((whose, id)) = self.open.borrow_mut().pop_front() else {
            return Ok(200);
        };
        let api = self.apis.get(whose).context("nobody")?;
        let reply = api.get(&format!("/tasks/{id}")).await;
        let task = reply.as_ref().ok().and_then(|reply| reply.data(200).ok());
        let status = task.as_ref().and_then(|task| task.get("status"));
        if !matches!(status.and_then(Value::as_str), Some("completed" | "failed")) {
            self.open.borrow_mut().push_back((whose, id));
        }
        Ok(reply?.status)
    }
}

/// Reads a stream to its end, or leaves after so many events. One that is refused has its status in its error.
async fn stream(api: &Api, text: &str, most: usize) -> Result<u16> {
    let Ok(mut events) = api.stream(&chat(text)).await else {
        return Ok(500);
    };
    let mut seen = 0_usize;
    while seen < most && events.next().await?.is_some() {
        seen = seen.saturating_add(1);
    }
    Ok(200)
}

fn pick<T: Copy>(all: &[T], number: usize) -> Option<T> {
    all.get(number.checked_rem(all.len())?).copied()
}
