//! The providers of media: one adapter a file. An adapter speaks one wire protocol and nothing else: it does not retry,
//! keep state, know prices or decide whether a task fails.
mod ark;
mod at_once;
mod bfl;
mod bria;
mod bytes;
mod dashscope;
mod declared;
mod elevenlabs;
mod fal;
mod fastapi;
#[cfg(test)]
mod for_tests;
mod form;
mod gemini;
mod ideogram;
mod jobs;
mod jwks;
mod kie;
mod kling;
mod minimax;
mod openai;
mod openai_audio;
mod photoroom;
mod piapi;
mod pixverse;
mod policy;
mod refusal;
mod removebg;
mod replicate;
mod segmind;
mod signature;
mod sound;
mod suno;
mod svix;
mod topaz;
mod transcript;
mod veo;
mod vidu;
mod wire;
mod xai;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chassis::config::Access;
use domain::Micros;
use http::HeaderMap;
use serde_json::{Map, Value};
use upstream::{Class, Failure, ProviderClient, Verdict};

pub(crate) use self::at_once::{has_made, shown_name};
pub use self::declared::{Declared, Limits as DeclaredLimits, Mistakes};
pub(crate) use self::form::ending;

use crate::{listen::Ear, task::About};

/// A provider's wire protocol.
#[async_trait]
pub(crate) trait MediaProvider: Send + Sync {
    /// What a submit of this model is answered with.
    fn answers(&self, _model: &str) -> Answers {
        Answers::Later
    }

    /// What it is given of inputs that are elsewhere.
    fn takes(&self) -> Takes {
        Takes::Links
    }

    /// How the names of the files end that it takes, where it refuses all others by that.
    fn endings(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether our credential there is one for this model. A row that it is not for is passed over.
    fn can(&self, _access: &Access, _model: &str) -> bool {
        true
    }

    /// What the provider's own address wants to be shown for a file that it made; nothing where a link is enough.
    fn file_headers(&self, _access: &Access) -> HeaderMap {
        HeaderMap::new()
    }

    /// Submits a job, once. A failure says whether the provider may have taken it.
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure>;

    /// The same for somebody who listens: a provider that sends a sound while it makes it has him hear it.
    async fn start_aloud(
        &self,
        access: &Access,
        order: &Order<'_>,
        _ear: &Ear,
    ) -> Result<Started, Failure> {
        self.start(access, order).await
    }

    /// Asks how a job stands.
    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure>;

    /// Asks it to stop a job. After a failure it may have stopped it or not: only a look tells.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure>;

    /// Whether a callback is the provider's, by its signature. One that signs nothing is trusted for the path it was given.
    async fn hears(&self, _access: &Access, _callback: &Callback<'_>) -> Heard {
        Heard::Unsigned
    }
}

/// When a provider answers a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// When it took the job.
    Later,
    /// When it is done, with what it made: that takes as long as the work.
    AtOnce,
}

/// What a provider is given in the place of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// The URL, which it fetches.
    Links,
    /// What it leads to, as a data URL: it fetches nothing.
    Bytes,
}

/// For calls whose time is limited by who makes them.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What a provider is asked to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    /// What the provider calls the model.
    pub model: &'a str,
    /// What it is sent: resolved parameters, in its own names where the catalogue has some for it.
    pub parameters: &'a Map<String, Value>,
    /// Where it may say that something has changed. That only hastens a look: nothing else of it is believed.
    pub callback: Option<&'a str>,
}

/// What stands before the bytes, in base64, of a file that is itself in the place of its URL. Such a URL is never written down.
pub(crate) const IN_BASE64: &str = ";base64,";

/// The provider took the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// What [`MediaProvider::check`] needs to find it again, after a restart and at another address of ours too.
    pub job: String,
    /// What it says that the job costs us, where it tells at once.
    pub cost: Option<Cost>,
    /// What it made, where that is a text of JSON that it answered at once. A check does not give it again.
    pub text: Option<String>,
    /// Where what it made is, where it answered with that at once; or the files themselves, as data URLs.
    pub files: Vec<String>,
    /// How long at least a recording lasts that it heard, where its text does not say it; else nothing.
    pub lasts: Duration,
}

/// What a provider says it billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Millionths of a US dollar.
    pub micro_usd: i64,
}

/// How a job stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Not done.
    Running {
        /// 0 to 100, where the provider tells.
        percent: Option<i64>,
        /// How many jobs are before it in the provider's queue, where the provider tells.
        position: Option<i64>,
        /// What it knows of the songs that it makes, as customers read it.
        clips: Vec<Map<String, Value>>,
    },
    /// Done: where the files are, for a short while.
    Done {
        /// The provider's URLs. They never leave the house. None: it calls the job done, and does not say where they are (yet).
        files: Vec<String>,
        /// What it knows of them, in their order; nothing where it knows nothing but the files.
        about: Vec<About>,
        /// What it says that the job cost us, where it tells.
        cost: Option<Cost>,
    },
    /// Done: it made a text of JSON, which is here.
    Told {
        /// The text.
        text: String,
        /// What it says that the job cost us, where it tells.
        cost: Option<Cost>,
    },
    /// Over, without a result, and for nothing.
    Failed(Failure),
    /// Over, without a result, and billed all the same: as much, where the provider tells.
    Wasted(Failure, Option<Cost>),
    /// The provider does not know the job (yet).
    Missing,
}

/// What came of asking a provider to stop a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It will not run, or end without a result that we use.
    Stopped,
    /// It was told, and the job may go on all the same: only a look tells.
    Asked,
    /// It is done, or runs to its end.
    TooLate,
    /// The provider has no way to stop one.
    Impossible,
}

/// What came to the address that a provider was given with a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callback<'a> {
    /// The job whose address it is, as [`Started::job`] names it.
    pub job: &'a str,
    /// The path of that address, as the provider was given it.
    pub path: &'a str,
    /// All that were sent.
    pub headers: &'a HeaderMap,
    /// As it came.
    pub body: &'a [u8],
    /// Seconds since 1970.
    pub now: i64,
}

/// Whose word a callback is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Theirs: the signature is right.
    Signed,
    /// Nobody's that signs: the provider has no signature, or the operator did not configure its secret.
    Unsigned,
    /// Not theirs, or too old.
    Forged,
}

/// The provider's content policy refused a request, or what it made of one.
fn moderated(words: &str) -> Failure {
    Failure::reported(Verdict::with_detail(Class::Moderated, words))
}

// === impl Started ===

impl Started {
    /// A job that takes its time.
    pub(crate) const fn taken(job: String, cost: Option<Cost>) -> Self {
        Self {
            job,
            cost,
            text: None,
            files: Vec::new(),
            lasts: Duration::ZERO,
        }
    }

    /// Whether it has answered with what it made.
    pub(crate) fn is_done(&self) -> bool {
        self.text.is_some() || !self.files.is_empty()
    }

    /// Whether what it made is in its answer alone, so that no check leads to it.
    pub(crate) fn is_in_answer(&self) -> bool {
        let is_inline = |url: &String| url.starts_with("data:");
        self.text.is_some() || self.files.iter().any(is_inline)
    }
}

// === impl Progress ===

impl Progress {
    /// Over, without a result: for nothing, unless its provider says that it billed something.
    fn over(failure: Failure, cost: Option<Cost>) -> Self {
        match cost.filter(|cost| cost.micro_usd > 0) {
            Some(cost) => Self::Wasted(failure, Some(cost)),
            None => Self::Failed(failure),
        }
    }
}

// === impl Cancelled ===

impl Cancelled {
    const ALL: [Self; 4] = [Self::Stopped, Self::Asked, Self::TooLate, Self::Impossible];

    /// The word kept in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Asked => "asked",
            Self::TooLate => "too_late",
            Self::Impossible => "impossible",
        }
    }

    /// Reads the word kept in SQL.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.as_str() == word)
    }

    /// Whether the job goes on whoever asks.
    pub(crate) const fn is_refusal(self) -> bool {
        match self {
            Self::TooLate | Self::Impossible => true,
            Self::Stopped | Self::Asked => false,
        }
    }
}

// === impl Cost ===

impl Cost {
    /// The same in micro-credits, of which a cent buys a million.
    pub(crate) const fn in_micros(self) -> Micros {
        Micros::new(self.micro_usd.saturating_mul(100))
    }

    /// So many of a provider's own credits, as its JSON has them, at so much each. What is less than a millionth of a credit is left out.
    pub(crate) fn of_credits(credits: &Value, micro_usd_each: i64) -> Option<Self> {
        let text = match credits {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        let short = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.contains(['e', 'E']) => {
                let kept: String = fraction.chars().take(6).collect();
                format!("{whole}.{kept}")
            }
            _ => text,
        };
        let credits = Micros::parse_credits(&short).ok()?.get();
        let micro_usd = credits
            .checked_mul(micro_usd_each)?
            .checked_div(1_000_000)?;
        (micro_usd >= 0).then_some(Self { micro_usd })
    }
}

/// The names of the adapters that are code.
pub const BUILT_IN: [&str; 25] = [
    "ark",
    "bfl",
    "bria",
    "dashscope",
    "elevenlabs",
    "fal",
    "gemini",
    "ideogram",
    "kie",
    "kie-suno",
    "kling",
    "minimax",
    "openai",
    "openai-audio",
    "photoroom",
    "piapi",
    "pixverse",
    "removebg",
    "replicate",
    "segmind",
    "sunoapi",
    "topaz",
    "veo",
    "vidu",
    "xai",
];

/// Those whose providers fetch nothing: see [`Takes::Bytes`].
pub(crate) const GIVEN_BYTES: [&str; 7] = [
    "elevenlabs",
    "gemini",
    "ideogram",
    "openai-audio",
    "photoroom",
    "pixverse",
    "veo",
];

/// The adapters, by the name the catalogue uses.
pub(crate) type Providers = HashMap<String, Arc<dyn MediaProvider>>;

/// Every adapter: those that are code, and those that files describe.
pub(crate) fn all(client: &ProviderClient, declared: &Declared) -> Providers {
    let built_in: [(&str, Arc<dyn MediaProvider>); BUILT_IN.len()] = [
        ("ark", Arc::new(ark::Ark::new(client.clone()))),
        ("bfl", Arc::new(bfl::Bfl::new(client.clone()))),
        ("bria", Arc::new(bria::Bria::new(client.clone()))),
        (
            "dashscope",
            Arc::new(dashscope::DashScope::new(client.clone())),
        ),
        (
            "elevenlabs",
            Arc::new(elevenlabs::ElevenLabs::new(client.clone())),
        ),
        ("fal", Arc::new(fal::Fal::new(client.clone()))),
        ("gemini", Arc::new(gemini::Gemini::new(client.clone()))),
        (
            "ideogram",
            Arc::new(ideogram::Ideogram::new(client.clone())),
        ),
        ("kie", Arc::new(kie::Kie::new(client.clone()))),
        ("kie-suno", suno(client, suno::Host::Kie)),
        ("kling", Arc::new(kling::Kling::new(client.clone()))),
        ("minimax", Arc::new(minimax::MiniMax::new(client.clone()))),
        ("openai", Arc::new(openai::OpenAi::new(client.clone()))),
        (
            "openai-audio",
            Arc::new(openai_audio::OpenAiAudio::new(client.clone())),
        ),
        (
            "photoroom",
            Arc::new(photoroom::Photoroom::new(client.clone())),
        ),
        ("piapi", Arc::new(piapi::PiApi::new(client.clone()))),
        (
            "pixverse",
            Arc::new(pixverse::PixVerse::new(client.clone())),
        ),
        (
            "removebg",
            Arc::new(removebg::RemoveBg::new(client.clone())),
        ),
        (
            "replicate",
            Arc::new(replicate::Replicate::new(client.clone())),
        ),
        ("segmind", Arc::new(segmind::Segmind::new(client.clone()))),
        ("sunoapi", suno(client, suno::Host::SunoApi)),
        ("topaz", Arc::new(topaz::Topaz::new(client.clone()))),
        ("veo", Arc::new(veo::Veo::new(client.clone()))),
        ("vidu", Arc::new(vidu::Vidu::new(client.clone()))),
        ("xai", Arc::new(xai::Xai::new(client.clone()))),
    ];
    let built_in = built_in.map(|(name, adapter)| (name.to_owned(), adapter));
    let declared = declared.adapters(client).into_iter();
    let declared = declared.map(|(name, adapter)| {
        let adapter: Arc<dyn MediaProvider> = Arc::new(adapter);
        (name, adapter)
    });
    built_in.into_iter().chain(declared).collect()
}

fn suno(client: &ProviderClient, host: suno::Host) -> Arc<dyn MediaProvider> {
    Arc::new(suno::Suno::new(client.clone(), host))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_adapter_that_is_code_is_named() {
        let adapters = all(&for_tests::client(), &Declared::default());
        let mut names: Vec<&str> = adapters.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, BUILT_IN);
        let given_bytes = |name: &&str| adapters[*name].takes() == Takes::Bytes;
        names.retain(given_bytes);
        assert_eq!(names, GIVEN_BYTES);
    }

    #[test]
    fn what_a_provider_billed_is_read_without_a_float() {
        for (credits, micro_usd) in [
            (json!(3.0), Some(30_000)),
            (json!(3), Some(30_000)),
            (json!("4.5"), Some(45_000)),
            (json!(0.1 + 0.2), Some(3_000)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!("many"), None),
            (json!(null), None),
            (json!(1e300), None),
        ] {
            let cost = Cost::of_credits(&credits, 10_000);
            assert_eq!(cost.map(|cost| cost.micro_usd), micro_usd, "{credits}");
        }
    }
}
