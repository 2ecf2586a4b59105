//! The load generator: keep-alive connections on one thread, a closed or an open loop, and one sample at the end.
//!
//! In the open loop each request has a time at which it is due. When the program under test falls behind, latency counts
//! from that time on, so that waiting in our own queue is not left out (no coordinated omission).

mod connection;
mod meter;
mod sample;

pub(crate) use connection::Connection;
use meter::Meter;
pub(crate) use meter::{OURSELVES, Watched};
use sample::Book;
pub(crate) use sample::{Sample, percentile_us};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    task::LocalSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// How long an answer may take after the end of the window before it counts as an error.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an error, so that a program that is down is not hammered.
const RECOVERY: Duration = Duration::from_millis(20);
/// The longest rest, twice the time from one chunk of a stream to the next.
const LONGEST_REST_MILLIS: u32 = 20;
/// How often the memory of the processes is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What load, on whom, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to send the requests.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// File with the whole request, head and body.
    #[arg(long)]
    pub(crate) request: PathBuf,
    /// Connections.
    #[arg(long)]
    pub(crate) connections: u32,
    /// Requests per second of an open loop; 0 is a closed loop.
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u32,
    /// Each connection sends one request and no more.
    #[arg(long)]
    pub(crate) once: bool,
    /// Each connection rests a little before each request, never as long as another one: streams of one length would come to keep step.
    #[arg(long)]
    pub(crate) rests: bool,
    /// Length of the window that is measured.
    #[arg(long)]
    pub(crate) seconds: u32,
    /// Time before the window.
    #[arg(long)]
    pub(crate) warm_seconds: u32,
    /// A process under test, as `NAME=PID`: what it and its children use is sampled. There may be several.
    #[arg(long)]
    pub(crate) under_test: Vec<Watched>,
    /// A process that works beside those, such as the upstream: sampled as well, so that it is not noise.
    #[arg(long)]
    pub(crate) beside: Vec<Watched>,
}

/// What every connection needs to know.
struct Plan {
    address: SocketAddr,
    request: Vec<u8>,
    pace: Pace,
    start: Instant,
    /// The window that is measured.
    from: Instant,
    until: Instant,
}

enum Pace {
    /// Each connection sends as soon as it has its answer.
    Closed,
    /// The same after a rest.
    Rested,
    /// Each connection sends once.
    Once,
    /// One request every `interval`, whichever connection is free.
    Open { interval: Duration, sent: Cell<u32> },
}

/// Puts the load on and returns what was seen as one line of JSON.
pub(crate) fn load(runtime: &Runtime, arguments: Arguments) -> anyhow::Result<String> {
    let sample = LocalSet::new().block_on(runtime, measure(arguments))?;
    Ok(serde_json::to_string(&sample)?)
}

async fn measure(arguments: Arguments) -> anyhow::Result<Sample> {
    let connections = arguments.connections;
    let plan = Rc::new(Plan::new(&arguments)?);
    let mut meter = Meter::new(arguments.under_test, arguments.beside);
    let book = Rc::new(RefCell::new(Book::default()));
    let workers: Vec<_> = (0..connections)
        .map(|number| {
            let begins = plan.begins(number, connections);
            let work = work(Rc::clone(&plan), Rc::clone(&book), number);
            tokio::task::spawn_local(async move {
                sleep_until(begins).await;
                work.await;
            })
        })
        .collect();
    sleep_until(plan.from).await;
    let before = meter.read();
    while Instant::now() + LOOK < plan.until {
        sleep(LOOK).await;
        meter.look_at_memory();
    }
    sleep_until(plan.until).await;
    let used = meter.used_since(&before);
    for worker in workers {
        worker.await?;
    }
    Ok(book.take().close(used))
}

/// One connection's loop, until the window is over.
async fn work(plan: Rc<Plan>, book: Rc<RefCell<Book>>, number: u32) {
    let mut idle: Option<Connection> = None;
    let mut sent = 0_u32;
    while let Some(due) = plan.next(number, sent).await {
        sent += 1;
        let exchange = async {
            let mut connection = match idle.take() {
                Some(connection) => connection,
                None => Connection::open(plan.address).await?,
            };
            let answer = connection.exchange(&plan.request).await?;
            Ok::<_, std::io::Error>((connection, answer))
        };
        let outcome = timeout_at(plan.until + PATIENCE, exchange).await;
        let now = Instant::now();
        let counts = now >= plan.from && now < plan.until;
        match outcome {
            Ok(Ok((connection, answer))) => {
                if answer.status != 200 {
                    book.borrow_mut().refused(&connection, answer.status);
                } else if counts {
                    let first = answer.first.duration_since(due);
                    book.borrow_mut().answered(now.duration_since(due), first);
                }
                idle = answer.reusable.then_some(connection);
            }
            Ok(Err(broken)) => {
                book.borrow_mut().failed(&broken);
                sleep(RECOVERY).await;
            }
            Err(late) => book.borrow_mut().failed(&late),
        }
    }
}

/// A rest that differs from one connection to the next, and from one request to the next.
fn rest(number: u32, sent_before: u32) -> Duration {
    let mixed = number
        .wrapping_mul(2_654_435_761)
        .wrapping_add(sent_before.wrapping_mul(40_503))
        .rotate_right(16);
    Duration::from_millis((mixed % LONGEST_REST_MILLIS).into())
}

// === impl Plan ===

impl Plan {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let start = Instant::now();
        let from = start + Duration::from_secs(arguments.warm_seconds.into());
        let interval = Duration::from_secs(1).checked_div(arguments.rate);
        Ok(Self {
            address: arguments.address,
            request: std::fs::read(&arguments.request)?,
            pace: match interval {
                None if arguments.once => Pace::Once,
                None if arguments.rests => Pace::Rested,
                None => Pace::Closed,
                Some(interval) => Pace::Open {
                    interval,
                    sent: Cell::new(0),
                },
            },
            start,
            from,
            until: from + Duration::from_secs(arguments.seconds.into()),
        })
    }

    /// When a connection begins: one after another over the time before the window. At once, many would wait for a listener that has no room
    /// for them; and streams, which all take the same time, would go on coming in one burst for ever.
    fn begins(&self, number: u32, connections: u32) -> Instant {
        let part = match self.pace {
            Pace::Closed | Pace::Rested | Pace::Once => f64::from(number) / f64::from(connections),
            Pace::Open { .. } => 0.0,
        };
        self.start + self.from.duration_since(self.start).mul_f64(part)
    }

    /// Waits until a request of a connection that has sent so many is due, and returns the time from which its latency counts; `None`
    /// when the window is over.
    async fn next(&self, number: u32, sent_before: u32) -> Option<Instant> {
        if matches!(self.pace, Pace::Rested) {
            sleep(rest(number, sent_before)).await;
        }
        let due = match &self.pace {
            Pace::Once if sent_before > 0 => return None,
            Pace::Closed | Pace::Rested | Pace::Once => Instant::now(),
            Pace::Open { interval, sent } => {
                let number = sent.get();
                sent.set(number + 1);
                self.start + *interval * number
            }
        };
        if due >= self.until {
            return None;
        }
        if due <= Instant::now() {
            return Some(due);
        }
        sleep_until(due).await;
        // The timer wakes up to a millisecond late; that is nobody's latency.
        Some(Instant::now())
    }
}
