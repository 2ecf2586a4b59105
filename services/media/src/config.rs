//! What an operator can set about media tasks, and about the files that customers upload.

mod files;
mod submit;

use std::time::Duration;

use chassis::{
    clock::micros,
    config::{Error, Settings, duration},
};
use db::RelayLimits;
use serde::Deserialize;
use upstream::{EgressConfig, UpstreamConfig};

pub(crate) use self::files::{FileLimits, Looks, PassedAs};
use self::submit::Submit;
use crate::{providers::DeclaredLimits, storage::StorageConfig};

/// A lease shorter than this could run out while its holder is only waiting for its turn.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// Everything media can be told, but where providers are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The section `limits.media`.
    pub limits: Limits,
    /// The section `limits.files`.
    pub files: FileLimits,
    /// The section `limits.declared`.
    pub declared: DeclaredLimits,
    /// The section `limits.outbox`.
    pub outbox: RelayLimits,
    /// The section `limits.upstream`.
    pub upstream: UpstreamConfig,
    /// The section `egress`.
    pub egress: EgressConfig,
    /// The section `storage`.
    pub storage: StorageConfig,
}

/// The section `limits.media`. What a field is when it is left out, its `Default` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Steps (a submit, a look, a download) at once in this process. Default 64.
    pub max_steps: usize,
    /// How long after the last sign of life of the process that is at a task another one takes it over. Whoever is at it gives a
    /// sign three times as often, however long its step takes. Default 30 s.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How long a provider may take to answer one call. Default 90 s.
    #[serde(with = "duration")]
    pub call_timeout: Duration,
    /// How often due tasks are looked for. Default 100 ms.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// The longest wait between two tries while the database is away; the first waits `tick`. Default 2 s.
    #[serde(with = "duration")]
    pub max_backoff: Duration,
    /// Tasks taken at once when they are due. Default 100.
    pub batch: u32,
    /// Submits of one task that providers may certainly refuse, because they are down, before it fails. Default 5.
    pub max_attempts: i64,
    /// A queued task is rung for again after this long. Default 1 min.
    #[serde(with = "duration")]
    pub ring_again: Duration,
    /// Accepting tasks, and giving them to providers.
    pub submit: Submit,
    /// Going on while the queue is away.
    pub fallback: Fallback,
    /// Looking how jobs stand.
    pub poll: Poll,
    /// Keeping what tasks made.
    pub outputs: Outputs,
}

/// `limits.media.fallback`: going on while the queue is away. Then tasks are taken straight from the database, at a lower rate.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fallback {
    /// After the queue has been away for this long. Default 10 s.
    #[serde(with = "duration")]
    pub after: Duration,
    /// How often each process takes tasks then. Default 1 s.
    #[serde(with = "duration")]
    pub every: Duration,
    /// Tasks it takes at once. Default 32.
    pub batch: u32,
}

/// `limits.media.poll`: looking how jobs stand at their providers. What `providers.<name>.poll` says of one provider counts there.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// From submit to the first look at a job. Default: what suits its provider, from 500 ms to 10 s.
    #[serde(with = "duration::maybe")]
    pub first: Option<Duration>,
    /// The longest wait between two looks. Default: what suits the provider, from 2 s to 30 s.
    #[serde(with = "duration::maybe")]
    pub longest: Option<Duration>,
    /// Each wait is this much of the one before. Default 125.
    pub factor_percent: Option<u32>,
    /// Each wait is shorter or longer by up to this much of it. Default 20.
    pub jitter_percent: Option<u32>,
    /// The longest wait between two looks that fail; each waits twice as long as the one before. Default 30 s.
    #[serde(with = "duration")]
    pub failing: Duration,
    /// A provider may not know a job for this long after taking it. Default 10 s.
    #[serde(with = "duration")]
    pub settle_in: Duration,
    /// Being told by them when to look.
    pub callbacks: Callbacks,
    /// Telling them to stop.
    pub cancel: Cancel,
    /// Looking at jobs whose tasks have ended.
    pub late: Late,
}

/// `limits.media.poll.callbacks`: providers that say when something has changed, which only hastens a look.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callbacks {
    /// Whether providers are given an address to call. For live keys also only where `server.public_url` is one that they can reach: https,
    /// and no private name or address. Default `true`.
    pub enabled: bool,
    /// A task is looked at because of a callback no more often than this. Default 1 s.
    #[serde(with = "duration")]
    pub pause: Duration,
}

/// `limits.media.poll.cancel`: cancelling tasks that run at providers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cancel {
    /// How long a cancellation waits for a submit that is under way: only then it is known who has the task. Default 2 s.
    #[serde(with = "duration")]
    pub wait: Duration,
    /// How long a provider may take to answer that it stops a job; as long the task is not asked for again. Default 2 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long a customer who cancels waits for all of it: less than the edge does, `limits.deadlines.media`. Default 4 s.
    #[serde(with = "duration")]
    pub within: Duration,
}

/// `limits.media.poll.late`: looking at jobs that a provider has and no task waits for: it has ended by its deadline, was cancelled, was put
/// back by an operator, was lost by its provider, or had an answer to its submit too late. What still runs is asked to stop, unless its provider
/// has refused; what succeeded all the same is counted, and charged to nobody.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Late {
    /// From the first look, which is at once, to the second; each later one waits twice as long as the one before. At what its provider has
    /// stopped the first look is after so long, too. Default 1 min.
    #[serde(with = "duration")]
    pub first: Duration,
    /// How many looks that providers answer. 0: none, and nothing is stopped. Default 3.
    pub looks: u32,
    /// After a look that its provider does not answer: the next one waits an eighth of the time since the task's end, at least `first`, and no
    /// longer than this. Default 10 min.
    #[serde(with = "duration")]
    pub longest: Duration,
    /// How long after the task's end a job is given up whose provider does not answer. Default 24 h.
    #[serde(with = "duration")]
    pub patience: Duration,
}

/// `limits.media.outputs`: keeping what tasks made.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outputs {
    /// How long outputs are kept. Default 14 days.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// Bytes of one output. Default 512 MiB: a minute of film at four times the usual size.
    pub max_bytes: u64,
    /// How long one output may take to arrive; and not beyond the deadline of its task. Default 5 min.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Outputs of one task: one whose provider makes more fails. Default 64.
    pub max_files_per_task: usize,
    /// Bytes of all outputs of one task, `max_bytes` at least. Default 2 GiB.
    pub max_bytes_per_task: u64,
    /// Outputs that an account may keep in a mode; with as many, it submits no further task. Default 0: not limited.
    pub max_files: u64,
    /// Bytes of all of them. Default 0: not limited.
    pub max_total_bytes: u64,
    /// Customers of this process who hear a sound while it is made, half of them at most of one account in a mode; any more wait until it is there.
    /// 0: nobody hears one. Default 256.
    pub listeners: usize,
    /// Bytes that wait for one of them, and for all as many as `listeners` have together, of which one account may have half as well. Who is slower
    /// hears the rest from what is kept. Default 1 MiB.
    pub listener_bytes: usize,
}

// === impl Config ===

impl Config {
    /// Reads every section that media reads, but `providers`.
    ///
    /// # Errors
    /// What is wrong, naming the setting.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let config = Self {
            limits: settings.section("limits.media")?,
            files: settings.section("limits.files")?,
            declared: settings.section("limits.declared")?,
            outbox: settings.section("limits.outbox")?,
            upstream: settings.section("limits.upstream")?,
            egress: settings.section("egress")?,
            storage: StorageConfig::read(settings)?,
        };
        if config.limits.lease < SHORTEST_LEASE {
            // Its holder could not renew it in time.
            return Err(Error::Setting(
                "limits.media.lease must be at least 1s".to_owned(),
            ));
        }
        config.limits.submit.check()?;
        config.limits.poll.cancel.check()?;
        config.limits.outputs.check()?;
        config.files.check()?;
        Ok(config)
    }
}

// === impl Cancel ===

impl Cancel {
    /// Refuses times that leave none for the provider.
    fn check(&self) -> Result<(), Error> {
        if self.within > self.wait {
            return Ok(());
        }
        Err(Error::Setting(
            "limits.media.poll.cancel.within must be longer than limits.media.poll.cancel.wait"
                .to_owned(),
        ))
    }

    /// How long the next call to a provider may take for a customer who has waited so long.
    pub(crate) fn time_after(&self, waited: Duration) -> Duration {
        self.timeout.min(self.within.saturating_sub(waited))
    }
}

// === impl Late ===

impl Late {
    /// When to look at a job that nobody waits for from now on and nobody was asked to stop, if ever.
    pub(crate) fn at_once(&self, now: i64) -> Option<i64> {
        (self.looks > 0).then_some(now)
    }

    /// When to look first at a job that was stopped now, if ever.
    pub(crate) fn first_look(&self, now: i64) -> Option<i64> {
        self.next_look(now, 0)
    }

    /// When to look at a job again that was looked at so often.
    pub(crate) fn next_look(&self, now: i64, looks: i64) -> Option<i64> {
        let looks = u32::try_from(looks)
            .ok()
            .filter(|looks| *looks < self.looks)?;
        let doublings = looks.saturating_sub(1);
        let pause = self.first.saturating_mul(2_u32.saturating_pow(doublings));
        Some(now.saturating_add(micros(pause)))
    }

    /// When to look again at a job whose provider has not answered, and that nobody waits for since then, if ever.
    pub(crate) fn unanswered(&self, now: i64, since: i64) -> Option<i64> {
        let waited = Duration::from_micros(u64::try_from(now.saturating_sub(since)).unwrap_or(0));
        let eighth = waited.checked_div(8).unwrap_or_default();
        let pause = eighth.min(self.longest).max(self.first);
        (waited < self.patience).then(|| now.saturating_add(micros(pause)))
    }
}

// === impl Outputs ===

impl Outputs {
    /// Refuses a bound of one output that the one of all makes untrue.
    fn check(&self) -> Result<(), Error> {
        let (all, one) = (self.max_bytes_per_task, self.max_bytes);
        if all >= one {
            return Ok(());
        }
        Err(Error::Setting(format!(
            "limits.media.outputs.max_bytes_per_task ({all}) must be at least limits.media.outputs.max_bytes ({one})"
        )))
    }
}

// === impl Default ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_steps: 64,
            lease: Duration::from_secs(30),
            call_timeout: Duration::from_secs(90),
            tick: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            batch: 100,
            max_attempts: 5,
            ring_again: Duration::from_secs(60),
            submit: Submit::default(),
            fallback: Fallback::default(),
            poll: Poll::default(),
            outputs: Outputs::default(),
        }
    }
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(10),
            every: Duration::from_secs(1),
            batch: 32,
        }
    }
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            first: None,
            longest: None,
            factor_percent: None,
            jitter_percent: None,
            failing: Duration::from_secs(30),
            settle_in: Duration::from_secs(10),
            callbacks: Callbacks::default(),
            cancel: Cancel::default(),
            late: Late::default(),
        }
    }
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            enabled: true,
            pause: Duration::from_secs(1),
        }
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            within: Duration::from_secs(4),
        }
    }
}

impl Default for Late {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(60),
            looks: 3,
            longest: Duration::from_secs(600),
            patience: Duration::from_secs(24 * 3600),
        }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(14 * 24 * 3600),
            max_bytes: 512 * 1024 * 1024,
            timeout: Duration::from_secs(300),
            max_files_per_task: 64,
            max_bytes_per_task: 2 * 1024 * 1024 * 1024,
            max_files: 0,
            max_total_bytes: 0,
            listeners: 256,
            listener_bytes: 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_nobody_come_ever_later_and_end() {
        let late = Late::default();
        let minutes = |looks| late.next_look(0, looks).map(|at| at / 60_000_000);
        assert_eq!([0, 1, 2, 3].map(minutes), [Some(1), Some(1), Some(2), None]);
        assert_eq!(late.at_once(7), Some(7));
        let never = Late {
            looks: 0,
            ..late.clone()
        };
        assert_eq!((never.at_once(7), never.first_look(7)), (None, None));
    }

    #[test]
    fn a_provider_that_is_away_is_asked_ever_more_seldom_for_a_day() {
        let minutes = |waited: i64| {
            let again = Late::default().unanswered(waited * 60_000_000, 0);
            again.map(|at| at / 60_000_000 - waited)
        };
        let waits = [0, 8, 40, 80, 1439, 1440].map(minutes);
        let expected = [Some(1), Some(1), Some(5), Some(10), Some(10), None];
        assert_eq!(waits, expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        let refusal = |text: &str| Config::read(&Settings::from_toml(text)).err();
        assert!(refusal("").is_none());
        assert!(refusal("[limits.files]\nmax_bytes = 9\nmax_total_bytes = 9").is_none());
        for (text, named) in [
            (
                "[limits.media]\nlease = '999ms'",
                "limits.media.lease must be at least 1s",
            ),
            (
                "[limits.media.outputs]\nmax_bytes = 9\nmax_bytes_per_task = 8",
                "limits.media.outputs.max_bytes_per_task (8) must be at least limits.media.outputs.max_bytes (9)",
            ),
            (
                "[limits.files.coming]\nat_once = 0",
                "limits.files.coming.at_once must be from 1 to",
            ),
            (
                "[limits.files.coming]\nat_once = 4611686018427387904",
                "limits.files.coming.at_once must be from 1 to",
            ),
            (
                "[limits.files.coming]\nat_once_per_account = 0",
                "limits.files.coming.at_once_per_account must be at least 1",
            ),
            (
                "[limits.files]\nmax_bytes = 9\nmax_total_bytes = 8",
                "limits.files.max_total_bytes (8) must be at least limits.files.max_bytes (9)",
            ),
            (
                "[limits.files]\ncontent_types = []",
                "limits.files.content_types must name at least one type",
            ),
            (
                "[limits.files]\ninline_bytes = 9\ninline_total_bytes = 8",
                "limits.files.inline_total_bytes (8) must be at least limits.files.inline_bytes (9)",
            ),
            (
                "[limits.files.looks]\npiece_bytes = 0",
                "limits.files.looks.piece_bytes must be at least 1",
            ),
        ] {
            let message = refusal(text).unwrap().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
