//! The connection that commands travel on. It is made, probed and replaced in the background; a command never waits for that.
//!
//! While there is no connection, a command fails at once. So it does after a few failures in a row: a Redis that is slow, or
//! swallows what it is sent, is left alone until it answers a probe. That makes this the circuit breaker as well.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chassis::Tasks;
use rand::RngExt as _;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, RedisError, RedisResult, Script, ScriptInvocation, ServerErrorKind,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, unbounded_channel},
        watch,
    },
    time::{Instant, sleep, timeout},
};

use super::{Config, owed::Owed};
use crate::Error;

/// Commands that may wait to be written.
const WAITING_COMMANDS: usize = 1_000;
/// The first pause between two attempts to connect, and the longest; it doubles in between.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A connection that was lost sooner than this did not work, although it answered its probe: the pauses go on getting longer.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// How often it is looked whether something is owed.
const PAY_EVERY: Duration = Duration::from_secs(1);
/// How long what a probe writes stays.
const PROBE_LIFE_MILLIS: u64 = 60_000;

/// How to reach Redis.
pub(super) struct Dialer {
    client: Client,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// A connection, and what the server says on it without being asked. That ends with the connection.
pub(super) struct Dialed {
    pub(super) connection: MultiplexedConnection,
    pub(super) pushes: UnboundedReceiver<PushInfo>,
}

/// The connection that commands travel on.
pub(super) struct Link {
    dialer: Dialer,
    standing: watch::Sender<Standing>,
    failures_in_a_row: AtomicU32,
    most_failures: u32,
    probe: Script,
    probe_key: String,
    owed: Owed,
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// There is no connection; it was not sent.
    NotAsked,
    /// It failed, or was not answered in time; it may have done its work all the same.
    Unknown,
}

/// Whether there is a connection.
enum Standing {
    /// Nobody knows yet.
    Starting,
    /// There is one. The number tells it from those before.
    Up(u64, MultiplexedConnection),
    /// There is none.
    Away,
}

/// Ever longer pauses.
pub(super) struct Pauses(Duration);

// === impl Dialer ===

impl Dialer {
    /// Reads the address.
    pub(super) fn new(url: &str, config: &Config) -> Result<Self, Error> {
        let info = url.into_connection_info().map_err(|_| Error::Address)?;
        // The third version of the protocol tells at once when a connection ends.
        let protocol = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(protocol)).map_err(|_| Error::Address)?;
        Ok(Self {
            client,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
        })
    }

    /// Makes a connection.
    pub(super) async fn dial(&self) -> RedisResult<Dialed> {
        let (sender, pushes) = unbounded_channel();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(WAITING_COMMANDS)
            .set_push_sender(sender);
        let dialing = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        // The client's own timeout does not cover everything that a connection begins with.
        let connection = timeout(self.connect_timeout, dialing)
            .await
            .map_err(|_| RedisError::from((ErrorKind::Io, "connecting took too long")))??;
        Ok(Dialed { connection, pushes })
    }
}

// === impl Link ===

impl Link {
    pub(super) fn new(dialer: Dialer, config: &Config) -> Self {
        Self {
            dialer,
            standing: watch::Sender::new(Standing::Starting),
            failures_in_a_row: AtomicU32::new(0),
            most_failures: config.failures.max(1),
            probe: Script::new(include_str!("probe.v1.lua")),
            probe_key: format!("{}:probe", config.prefix),
            owed: Owed::default(),
        }
    }

    /// How to make other connections to the same place.
    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// What is to be given back soon, or once Redis is there again.
    pub(super) fn owed(&self) -> &Owed {
        &self.owed
    }

    /// Waits until the first attempt to connect has come to something.
    pub(super) async fn tried(&self) {
        let mut standing = self.standing.subscribe();
        // An error says that we are gone ourselves.
        let _ = standing
            .wait_for(|standing| !matches!(standing, Standing::Starting))
            .await;
    }

    /// Runs a command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unanswered> {
        let (number, mut connection) = self.connection()?;
        let answer = command.query_async(&mut connection).await;
        self.judge(number, answer)
    }

    /// Runs a script; one that the server does not know any more is loaded again.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Unanswered> {
        let (number, mut connection) = self.connection()?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(number, answer)
    }

    /// Keeps a connection, until told to stop; then the last one stays for what is still under way.
    pub(super) async fn keep(self: Arc<Self>, tasks: Tasks) {
        let mut pauses = Pauses::new();
        let mut number = 0;
        while !tasks.is_stopping() {
            match self.connect().await {
                Ok(dialed) => {
                    number += 1;
                    let since = Instant::now();
                    tracing::info!("Redis is there");
                    let lost = self.hold(number, dialed);
                    tokio::select! {
                        () = lost => tracing::warn!(
                            "Redis is away; this process limits calls by itself and shows tasks from SQL"
                        ),
                        () = tasks.stopping() => return,
                    }
                    if since.elapsed() >= GOOD_LIFE {
                        pauses = Pauses::new();
                    }
                }
                Err(error) => self.note_failure(&error),
            }
            pauses.rest(&tasks).await;
        }
    }

    /// A connection that answers, and on which what was owed is paid.
    async fn connect(&self) -> RedisResult<Dialed> {
        let mut dialed = self.dialer.dial().await?;
        // A write: a replica, or a full Redis, is of no use to us. And by a script: without those, little would work.
        let () = self
            .probe
            .prepare_invoke()
            .arg(PROBE_LIFE_MILLIS)
            .key(&self.probe_key)
            .invoke_async(&mut dialed.connection)
            .await?;
        self.owed.pay(&mut dialed.connection).await?;
        Ok(dialed)
    }

    /// Lets commands use a connection until it is lost.
    async fn hold(&self, number: u64, mut dialed: Dialed) {
        let mut standing = self.standing.subscribe();
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        let paying = self.keep_paying(number, dialed.connection.clone());
        self.standing
            .send_replace(Standing::Up(number, dialed.connection));
        let given_up = standing.wait_for(|standing| matches!(standing, Standing::Away));
        let ended = async {
            while dialed
                .pushes
                .recv()
                .await
                .is_some_and(|push| !is_end(&push))
            {}
        };
        tokio::select! {
            _ = given_up => {}
            () = ended => {}
            never = paying => match never {},
        }
        self.standing.send_replace(Standing::Away);
    }

    /// Gives back what came to be owed on a connection that was slow for a moment and is not lost.
    async fn keep_paying(&self, number: u64, mut connection: MultiplexedConnection) -> Infallible {
        loop {
            sleep(PAY_EVERY).await;
            if !self.owed.is_empty() {
                let paid = self.owed.pay(&mut connection).await;
                // What failed is owed still, and counts like any other failure.
                let _ = self.judge(number, paid);
            }
        }
    }

    /// An attempt came to nothing. The first one at all is told; the others would only repeat what is known.
    fn note_failure(&self, error: &RedisError) {
        let reason = reason(error);
        let was = self.standing.send_replace(Standing::Away);
        if matches!(was, Standing::Starting) {
            tracing::warn!(
                reason,
                "Redis is away; this process limits calls by itself and shows tasks from SQL"
            );
        } else {
            tracing::debug!(reason, "Redis is still away");
        }
    }

    fn connection(&self) -> Result<(u64, MultiplexedConnection), Unanswered> {
        match &*self.standing.borrow() {
            Standing::Up(number, connection) => Ok((*number, connection.clone())),
            Standing::Starting | Standing::Away => Err(Unanswered::NotAsked),
        }
    }

    /// Takes an answer, and gives the connection up when it is of no use any more.
    fn judge<T>(&self, number: u64, answer: RedisResult<T>) -> Result<T, Unanswered> {
        let error = match answer {
            Ok(answer) => {
                self.failures_in_a_row.store(0, Ordering::Relaxed);
                return Ok(answer);
            }
            Err(error) => error,
        };
        tracing::debug!(reason = reason(&error), "a command to Redis failed");
        let enough = match Failure::of(&error) {
            Failure::Key => false,
            Failure::Connection => true,
            Failure::Moment => {
                let before = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
                before.saturating_add(1) >= self.most_failures
            }
        };
        if enough {
            self.give_up(number);
        }
        Err(Unanswered::Unknown)
    }

    /// Lets nobody use this connection any more; a newer one stays.
    fn give_up(&self, number: u64) {
        self.standing.send_if_modified(|standing| {
            let holds = matches!(standing, Standing::Up(now, _) if *now == number);
            if holds {
                *standing = Standing::Away;
            }
            holds
        });
    }
}

/// What failed.
enum Failure {
    /// What lies at the key is not ours; other keys are fine.
    Key,
    /// Nothing can come over this connection.
    Connection,
    /// Something that may not happen again.
    Moment,
}

// === impl Unanswered ===

impl From<Unanswered> for Error {
    fn from(_: Unanswered) -> Self {
        Self::Unavailable
    }
}

// === impl Failure ===

impl Failure {
    fn of(error: &RedisError) -> Self {
        let replaced = [
            ErrorKind::Server(ServerErrorKind::ReadOnly),
            ErrorKind::Server(ServerErrorKind::BusyLoading),
            ErrorKind::Server(ServerErrorKind::MasterDown),
        ];
        if error.code() == Some("WRONGTYPE") {
            Self::Key
        } else if error.is_unrecoverable_error() || replaced.contains(&error.kind()) {
            Self::Connection
        } else {
            Self::Moment
        }
    }
}

// === impl Pauses ===

impl Pauses {
    pub(super) fn new() -> Self {
        Self(PAUSES.0)
    }

    /// Rests, a little longer each time and never exactly as long as others, or until told to stop.
    pub(super) async fn rest(&mut self, tasks: &Tasks) {
        let most = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let millis = rand::rng().random_range(most / 2..=most);
        self.0 = self.0.saturating_mul(2).min(PAUSES.1);
        tokio::select! {
            () = sleep(Duration::from_millis(millis)) => {}
            () = tasks.stopping() => {}
        }
    }
}

/// Whether a push says that the connection has ended.
pub(super) fn is_end(push: &PushInfo) -> bool {
    push.kind == redis::PushKind::Disconnection
}

/// What went wrong, in words without anything that was sent: servers repeat commands in some of their errors.
pub(super) fn reason(error: &RedisError) -> String {
    error
        .code()
        .map_or_else(|| error.to_string(), ToOwned::to_owned)
}
