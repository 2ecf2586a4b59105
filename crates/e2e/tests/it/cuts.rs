//! Streams cut behind each of the provider's events: by the customer, by the provider, and by our own process that is killed; over all
//! protocols of providers and both of customers, without and with an Idempotency-Key. What each costs is what docs/api.md says, to the
//! micro-credit; every receipt is computed again, all together come to what the balance lost, no hold stays open, and the ledger holds.

pub(crate) mod ways;

use std::{collections::BTreeMap, io::Write as _};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, future::try_join_all, stream};
use serde_json::Value;
use testkit::{Account, Aio, Api, Role, Shape, eventually, micros};

use self::ways::{Ask, Heard, TOKENS, Way};
use crate::{crash_chat::SHORT_HOLDS, receipts::operations, say::UNHURRIED};

/// What an account begins with, in micro-credits.
const FULL: i64 = 1_000_000_000;
/// How many streams are open at once, where it does not matter.
const AT_ONCE: usize = 24;

/// A head that waits for its first event leaves soon, so that who leaves has something to leave.
const EARLY: (&str, &str) = ("AIO_LIMITS__STREAMS__FIRST_EVENT_WAIT", "300ms");

/// How one operation ended, as its receipt says.
struct Ended {
    operation: Value,
    receipt: Value,
}

/// Everything an account did, by its labels.
struct Books {
    ended: BTreeMap<String, Vec<Ended>>,
}

async fn started(more: &[(&str, &str)]) -> Result<(Aio, Account)> {
    let aio = Aio::with(&[&UNHURRIED, more].concat()).await?;
    let account = aio.account(FULL / 1_000_000).await?;
    Ok((aio, account))
}

/// Runs `each` for every one, several at once.
async fn all<T, F>(asks: &[Ask], each: impl Fn(Ask) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    let each = &each;
    let running = asks.iter().map(|ask| async move {
        let label = ask.label.clone();
        each(ask.clone()).await.context(label)
    });
    let done: Vec<_> = stream::iter(running).buffered(AT_ONCE).collect().await;
    done.into_iter().collect()
}

// === impl Books ===

impl Books {
    /// Reads them when nothing is open any more. What they come to is what the balance lost, and every receipt fits.
    async fn read(aio: &Aio, api: &Api, count: usize) -> Result<Self> {
        let lost = FULL - api.settled().await?.posted;
        let listed = operations(api, count).await?;
        ensure!(listed.len() == count, "{} operations", listed.len());
        let mut receipts = tempfile::NamedTempFile::new()?;
        let (mut ended, mut sum) = (BTreeMap::<String, Vec<Ended>>::new(), 0);
        let shown = listed.iter().map(|operation| async move {
            let id = operation["operation_id"].as_str().context("no id")?;
            let path = format!("/operations/{id}/receipt");
            api.get(&path).await?.data(200)
        });
        for shown in try_join_all(shown).await? {
            let charged = shown["charged_microcredits"]
                .as_i64()
                .context("no charge")?;
            sum += charged;
            writeln!(receipts, "{shown}")?;
            let label = shown["receipt"]["tags"]["user"].as_str();
            // Of what a dead process had held is known that it is free, and no more.
            let Some(label) = label.map(str::to_owned) else {
                ensure!(charged == 0, "no receipt: {shown}");
                continue;
            };
            let receipt = shown["receipt"].clone();
            ensure!(receipt["total_microcredits"] == charged, "{shown}");
            ended.entry(label).or_default().push(Ended {
                operation: shown.clone(),
                receipt,
            });
        }
        assert_eq!(sum, lost, "the charges are not what the balance lost");
        let file = receipts.path().to_string_lossy().into_owned();
        let told = aio.command(&["receipt", "verify", &file, "--json"]).await?;
        let said = String::from_utf8_lossy(&told.stdout);
        ensure!(told.status.success(), "{said}{told:?}");
        let said: Value = serde_json::from_str(&said)?;
        assert_eq!(said["total_microcredits"], sum, "{said}");
        Ok(Self { ended })
    }

    /// The one operation of a request.
    fn of(&self, ask: &Ask) -> Result<&Ended> {
        match self.ended.get(&ask.label).map(Vec::as_slice) {
            Some([one]) => Ok(one),
            other => anyhow::bail!("{}: {} operations", ask.label, other.map_or(0, <[_]>::len)),
        }
    }
}

// === impl Ended ===

impl Ended {
    fn charged(&self) -> i64 {
        self.operation["charged_microcredits"]
            .as_i64()
            .unwrap_or(-1)
    }

    fn class(&self) -> &str {
        self.receipt["class"].as_str().unwrap_or_default()
    }

    fn used(&self, class: &str) -> i64 {
        self.receipt["usage"][class].as_i64().unwrap_or_default()
    }

    /// Free, and given back.
    fn is_free(&self) -> Result<()> {
        ensure!(self.charged() == 0, "{}", self.receipt);
        ensure!(
            self.operation["outcome"] == "released",
            "{}",
            self.operation
        );
        Ok(())
    }

    /// What had arrived is charged: the text and the input, by the provider's report if there was one, else as a published tokenizer
    /// counts them. Who leaves may do so just before that.
    fn is_cut(&self, ask: &Ask) -> Result<()> {
        let tokens = ask.way.tokens(ask.after);
        if tokens == 0 {
            return self.is_free();
        }
        let reported = self.receipt["estimated"].is_null();
        let (left, due) = (
            self.class() == "client_left",
            ask.way.is_reported(ask.after),
        );
        ensure!(reported == due || left && !reported, "{}", self.receipt);
        let (input, output) = ask.way.prices();
        let (counted_input, counted_output) = ask.counted()?;
        let came = if reported {
            i64::try_from(tokens)?
        } else {
            counted_output
        };
        ensure!(self.used("output") == came, "{}", self.receipt);
        let source = if reported { "provider" } else { "tokenizer" };
        ensure!(self.receipt["usage_source"] == source, "{}", self.receipt);
        let sum = self.used("input") * input + self.used("output") * output;
        ensure!(self.charged() == sum, "{}", self.receipt);
        ensure!(self.used("input") > 0, "{}", self.receipt);
        ensure!(
            reported || self.used("input") == counted_input,
            "{}",
            self.receipt
        );
        Ok(())
    }

    /// The whole answer is charged, as the provider reports it.
    fn is_whole(&self, ask: &Ask) -> Result<()> {
        ensure!(self.class() == "completed", "{}", self.receipt);
        ensure!(self.receipt["estimated"].is_null(), "{}", self.receipt);
        let whole = Ask {
            after: ask.way.events(),
            ..ask.clone()
        };
        self.is_cut(&whole)
    }
}

#[tokio::test]
async fn the_provider_breaks_off_behind_each_event() -> Result<()> {
    let (aio, account) = started(&[]).await?;
    let api = &account.api;
    let without = Ask::everywhere("cut", "outcome=cut");
    let with = Ask::everywhere("cutkey", "outcome=cut");
    let asks: Vec<Ask> = without
        .into_iter()
        .chain(with.into_iter().map(Ask::keyed))
        .collect();
    let heard = all(&asks, async |ask| ask.hear(api).await).await?;
    let books = Books::read(&aio, api, asks.len()).await?;
    for (ask, heard) in asks.iter().zip(&heard) {
        let ended = books.of(ask)?;
        let what = format!("{}: {heard:?}", ask.label);
        ended.is_cut(ask).context(what.clone())?;
        assert!(!heard.done && !heard.replayed, "{what}");
        assert_eq!(heard.told()?, ended.charged(), "{what}");
        let says = ask.way.says(ask.way.tokens(ask.after));
        assert_eq!(heard.text, says, "{what}");
        if ask.way.has_begun(ask.after) {
            assert_eq!(
                (heard.status, ended.class()),
                (200, "upstream_cut"),
                "{what}"
            );
        }
    }
    aio.finish().await
}

#[tokio::test]
async fn the_customer_leaves_behind_each_event() -> Result<()> {
    let (aio, account) = started(&[EARLY]).await?;
    let api = &account.api;
    let asks = Ask::everywhere("left", "outcome=hang");
    let left = async |ask: Ask| {
        let mut hearing = ask.open(api).await?;
        ensure!(hearing.heard.status == 200, "{:?}", hearing.heard);
        hearing.until(ask.way.tokens(ask.after)).await
    };
    all(&asks, left).await?;
    let books = Books::read(&aio, api, asks.len()).await?;
    for ask in &asks {
        let ended = books.of(ask)?;
        ended.is_cut(ask).context(ask.label.clone())?;
        assert_eq!(ended.class(), "client_left", "{}", ask.label);
    }
    aio.finish().await
}

/// With a key, whoever leaves cuts nothing: the answer is heard to its end, charged once, and given to who asks again.
#[tokio::test]
async fn the_customer_leaves_behind_each_event_of_an_answer_that_is_kept() -> Result<()> {
    let (aio, account) = started(&[]).await?;
    let api = &account.api;
    let place = |way| (0..=TOKENS).map(move |tokens| (way, tokens));
    let places = Way::ALL.into_iter().flat_map(place);
    let asks: Vec<Ask> = places
        .map(|place| Ask::new(place, "kept", "chunk_delay=40ms").keyed())
        .collect();
    let again = async |ask: Ask| {
        let mut hearing = ask.open(api).await?;
        hearing.until(ask.after).await?;
        drop(hearing);
        eventually("the answer is kept", async || {
            let heard = ask.hear(api).await?;
            ensure!(matches!(heard.status, 200 | 409), "{heard:?}");
            Ok((heard.status == 200).then_some(heard))
        })
        .await
    };
    let heard: Vec<Heard> = all(&asks, again).await?;
    let books = Books::read(&aio, api, asks.len()).await?;
    for (ask, heard) in asks.iter().zip(&heard) {
        let ended = books.of(ask)?;
        let what = format!("{}: {heard:?}", ask.label);
        ended.is_whole(ask).context(what.clone())?;
        assert!(heard.done && heard.replayed, "{what}");
        assert_eq!(heard.text.len(), 4 * TOKENS, "{what}");
        let told = heard.credits.as_ref().map(micros).transpose()?;
        let silent = ask.way == Way::OpenAiPlain;
        assert_eq!(told, (!silent).then_some(ended.charged()), "{what}");
    }
    aio.finish().await
}

/// The provider breaks off when whoever asked is gone: there is nothing that could be kept, and nothing is charged.
#[tokio::test]
async fn an_answer_that_breaks_off_unread_is_free() -> Result<()> {
    let (aio, account) = started(&[]).await?;
    let api = &account.api;
    // Long enough behind the first event that whoever leaves there is gone.
    let unread = |ask: &Ask| ask.way.tokens(ask.after) >= 3;
    let asks = Ask::everywhere("unread", "outcome=cut chunk_delay=300ms");
    let asks: Vec<Ask> = asks.into_iter().filter(unread).map(Ask::keyed).collect();
    all(&asks, async |ask| ask.open(api).await?.until(1).await).await?;
    let books = Books::read(&aio, api, asks.len()).await?;
    for ask in &asks {
        let ended = books.of(ask)?;
        ended.is_free().context(ask.label.clone())?;
        assert_eq!(ended.class(), "cut_unread", "{}", ask.label);
    }
    aio.finish().await
}

/// All streams stand still, each behind another event, when the process that serves them is killed: the customer pays for none. A key
/// is free again afterwards.
#[tokio::test]
async fn our_process_dies_behind_each_event() -> Result<()> {
    let short = [
        EARLY,
        ("AIO_LIMITS__UPSTREAM__IDLE_TIMEOUT", "14s"),
        ("AIO_LIMITS__UPSTREAM__FIRST_BYTE_TIMEOUT", "14s"),
    ];
    let (mut aio, account) = started(&[&SHORT_HOLDS[..], &short].concat()).await?;
    let api = &account.api;
    let without = Ask::everywhere("died", "outcome=hang");
    let with = Ask::everywhere("diedkey", "outcome=hang");
    let keyed: Vec<Ask> = with.into_iter().map(Ask::keyed).collect();
    let asks = [&without[..], &keyed].concat();
    let open = asks.iter().map(|ask| async move {
        let mut hearing = ask.open(api).await?;
        hearing.until(ask.way.tokens(ask.after)).await?;
        Ok::<_, anyhow::Error>(hearing)
    });
    let open = try_join_all(open).await?;
    let held = api.credits().await?;
    assert_eq!(held.open_holds, i64::try_from(asks.len())?);
    aio.kill_role(Role::Chat)?;
    for mut hearing in open {
        while let Ok(true) = hearing.next().await {}
        assert!(!hearing.heard.done, "{:?}", hearing.heard);
    }
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart_role(Role::Chat).await?;
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    // A key whose run died is another run's.
    let again: Vec<_> = keyed
        .iter()
        .filter(|ask| ask.way.tokens(ask.after) == 2)
        .cloned()
        .collect();
    let rerun = async |ask: Ask| {
        eventually("the key is free", async || {
            let mut hearing = ask.open(api).await?;
            if hearing.heard.status == 409 {
                return Ok(None);
            }
            ensure!(!hearing.heard.replayed, "{:?}", hearing.heard);
            hearing.until(2).await?;
            Ok(Some(()))
        })
        .await
    };
    all(&again, rerun).await?;
    // They leave, and the provider stays silent: that is no answer.
    Books::read(&aio, api, asks.len() + again.len()).await?;
    assert_eq!(api.settled().await?.posted, FULL);
    aio.finish().await
}

/// Who hands the events on to the customer dies, and not who asks the provider: nothing is charged either, and nothing waits for a hold to
/// expire. What is kept for a key is heard to its end all the same, where it is not the same process.
#[tokio::test]
async fn the_process_between_us_and_the_customer_dies_behind_each_event() -> Result<()> {
    let (mut aio, account) = started(&[&[EARLY], &SHORT_HOLDS[..]].concat()).await?;
    let api = &account.api;
    let cut = Ask::everywhere("edge", "outcome=hang");
    let kept = Way::ALL.map(|way| Ask::new((way, 99), "edgekey", "chunk_delay=400ms").keyed());
    let open = cut.iter().chain(&kept).map(|ask| async move {
        let mut hearing = ask.open(api).await?;
        let most = if ask.key.is_some() {
            1
        } else {
            ask.way.tokens(ask.after)
        };
        hearing.until(most).await?;
        Ok::<_, anyhow::Error>(hearing)
    });
    let open = try_join_all(open).await?;
    aio.kill_role(Role::Edge)?;
    drop(open);
    aio.restart_role(Role::Edge).await?;
    let again = async |ask: Ask| {
        eventually("the answer is kept", async || {
            let heard = ask.hear(api).await?;
            let code = heard.error.as_ref().map(|error| &error["code"]);
            let goes_on = code.is_none_or(|code| code == "idempotency_in_progress");
            ensure!(goes_on, "{heard:?}");
            Ok(heard.done.then_some(heard))
        })
        .await
    };
    let heard = all(&kept, again).await?;
    let whole = |heard: &Heard| heard.text.len() == 4 * TOKENS;
    assert!(heard.iter().all(whole), "{heard:?}");
    // In one process the runs that died with it are operations as well.
    let count = match Shape::of_this_run()? {
        Shape::Embedded => cut.len() + 2 * kept.len(),
        Shape::Split | Shape::Split3 => cut.len() + kept.len(),
    };
    let books = Books::read(&aio, api, count).await?;
    for ask in &kept {
        books.of(ask)?.is_whole(ask).context(ask.label.clone())?;
    }
    for ask in &cut {
        // Where its hold expired nothing more is known of it.
        if let Ok(ended) = books.of(ask) {
            ended.is_free().context(ask.label.clone())?;
            assert_eq!(ended.class(), "process_died", "{}", ask.label);
        }
    }
    let told = books.ended.len();
    assert_eq!(told == count, Shape::of_this_run()? != Shape::Embedded);
    aio.finish().await
}
