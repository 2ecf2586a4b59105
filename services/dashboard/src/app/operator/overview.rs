//! `/operator`: the house as a whole.

mod tables;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::IntoResponse as _,
};
use domain::{
    Catalogue, TokenClass, Usage,
    catalogue::{Category, Model},
};
use proto::{
    billing::v1::{self as billing, ServedSum, SoldSum},
    chat::v1::{GetHealthRequest, Health},
    media::v1::{self as media, RunSum},
    webhooks::v1::{self as webhooks},
};
use serde::Deserialize;

use self::tables::{earned, endings, models};
use super::{Cell, DAY, PART, Stat, Table, Tabs, age, answered, now, providers::mode_word};
use crate::{
    Site,
    app::{Frame, credits::money::money},
    page::Page,
    refused::Answer,
    show,
    who::{Member, Operates},
};

/// How far back the page looks: the word in its links, in words, and in days.
const SPANS: [(&str, &str, i64); 3] = [
    ("day", "24 hours", 1),
    ("week", "7 days", 7),
    ("month", "30 days", 30),
];

/// An open hold that is older than this is looked at, in microseconds: tasks may take hours, and no longer.
const OLD_HOLD: i64 = DAY;

/// Why nothing is said of what runs cost: media sums up the newest alone.
const CUT: &str = "too many runs to sum up";

/// What a link to the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    span: String,
}

/// A list of figures, for a template.
type Stats = Vec<Stat>;

#[derive(Template)]
#[template(path = "app/operator/overview.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    spans: Vec<(String, &'static str, bool)>,
    /// Services that do not answer: what is said here is without them.
    silent: Vec<&'static str>,
    services: Table,
    money: Stats,
    work: Stats,
    balances: Table,
    /// There were too many runs to say what they cost.
    is_cut: bool,
    earned: Table,
    endings: Table,
    models: Table,
}

/// What the services say; `None`: one does not answer.
struct Heard {
    now: i64,
    billing: Option<billing::Overview>,
    media: Option<media::Overview>,
    webhooks: Option<webhooks::Overview>,
    chat: Option<Health>,
    /// What chat's work costs stands in the models' files; what media's does, media says.
    catalogue: Arc<Catalogue>,
}

/// What is earned and spent at a provider, of live keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Earned {
    operations: i64,
    /// Micro-credits.
    charged: i64,
    /// What media tells: all that it charged, and what its runs cost.
    media: Work,
    /// What the models' files say of chat: what was charged for operations whose tokens are known, and what these cost.
    chat: Work,
}

/// Work and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    /// Micro-credits.
    charged: i64,
    /// Media's runs, or operations of chat.
    runs: i64,
    /// Those whose cost is known, and that in micro-credits.
    known: i64,
    cost: i64,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    let span = SPANS.iter().find(|(word, ..)| *word == asked.span);
    let (span, _, days) = *span.unwrap_or(&SPANS[0]);
    let heard = hear(&site, now(), days).await;
    let served = heard.served();
    let link = |(word, name, _): (&'static str, &'static str, i64)| {
        (format!("/operator?span={word}"), name, word == span)
    };
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Operator"),
        tabs: Tabs("/operator"),
        spans: SPANS.into_iter().map(link).collect(),
        silent: heard.silent(),
        services: heard.services(),
        money: heard.money(),
        work: heard.work(),
        balances: heard.balances(),
        is_cut: heard.is_cut(),
        earned: earned(&heard.by_provider()),
        endings: endings(served),
        models: models(served),
    };
    Ok(Page::html(&html).into_response())
}

async fn hear(site: &Site, now: i64, days: i64) -> Heard {
    let since = now.saturating_sub(days.saturating_mul(DAY));
    let peers = &site.peers;
    let (mut money, mut work, mut chat, mut told) = (
        peers.operators.billing.clone(),
        peers.operators.media.clone(),
        peers.operators.chat.clone(),
        peers.manage.clone(),
    );
    let (billing, media, webhooks, chat) = tokio::join!(
        answered(
            "billing",
            money.get_overview(peers.ask(billing::GetOverviewRequest { since }))
        ),
        answered(
            "media",
            work.get_overview(peers.ask(media::GetOverviewRequest { since }))
        ),
        answered(
            "webhooks",
            told.get_overview(peers.ask(webhooks::GetOverviewRequest {}))
        ),
        answered("chat", chat.get_health(peers.ask(GetHealthRequest {}))),
    );
    Heard {
        now,
        billing,
        media,
        webhooks,
        chat,
        catalogue: Arc::clone(&site.catalogue),
    }
}

// === impl Heard ===

impl Heard {
    fn versions(&self) -> [(&'static str, Option<&str>); 4] {
        [
            (
                "billing",
                self.billing.as_ref().map(|seen| seen.version.as_str()),
            ),
            ("chat", self.chat.as_ref().map(|seen| seen.version.as_str())),
            (
                "media",
                self.media.as_ref().map(|seen| seen.version.as_str()),
            ),
            (
                "webhooks",
                self.webhooks.as_ref().map(|seen| seen.version.as_str()),
            ),
        ]
    }

    fn silent(&self) -> Vec<&'static str> {
        let versions = self.versions().into_iter();
        versions
            .filter_map(|(name, version)| version.is_none().then_some(name))
            .collect()
    }

    fn services(&self) -> Table {
        let own = ("dashboard", Some(env!("CARGO_PKG_VERSION")));
        let row = |(name, version): (&'static str, Option<&str>)| {
            let state = match version {
                Some(_) => Cell::badge("good", "answers"),
                None => Cell::badge("bad", "does not answer"),
            };
            vec![
                Cell::text(name),
                state,
                Cell::text(version.unwrap_or("unknown")),
            ]
        };
        Table::new("Services", &["Service", "State", "Version"])
            .with(self.versions().into_iter().chain([own]).map(row))
    }

    fn served(&self) -> &[ServedSum] {
        self.billing.as_ref().map_or(&[], |seen| &seen.served)
    }

    /// Whether media had more runs than it sums up.
    fn is_cut(&self) -> bool {
        self.media.as_ref().is_some_and(|seen| seen.cut)
    }

    /// All runs, or none: the cost of the newest alone would pass for that of all.
    fn runs(&self) -> &[RunSum] {
        let whole = self.media.as_ref().filter(|seen| !seen.cut);
        whole.map_or(&[], |seen| &seen.runs)
    }

    /// What is earned and spent at each provider.
    fn by_provider(&self) -> BTreeMap<String, Earned> {
        let mut all: BTreeMap<String, Earned> = BTreeMap::new();
        for sum in self.served().iter().filter(|sum| is_live(sum.mode)) {
            let of = all.entry(sum.provider.clone()).or_default();
            of.operations = of.operations.saturating_add(sum.operations);
            of.charged = of.charged.saturating_add(sum.charged);
            let model = self.catalogue.find(&sum.model);
            match model.filter(|model| is_chat(model)) {
                Some(model) => of.chat = of.chat.plus(talked(model, sum)),
                None => of.media.charged = of.media.charged.saturating_add(sum.charged),
            }
        }
        for sum in self.runs().iter().filter(|sum| is_live(sum.mode)) {
            let of = all.entry(sum.provider.clone()).or_default();
            of.media = of.media.plus(Work {
                charged: 0,
                runs: sum.runs,
                known: sum.known,
                cost: sum.cost,
            });
        }
        all
    }

    fn money(&self) -> Stats {
        let Some(seen) = &self.billing else {
            return Vec::new();
        };
        let live = |pick: fn(&ServedSum) -> i64| {
            let sums = seen.served.iter().filter(|sum| is_live(sum.mode));
            sums.map(pick).fold(0, i64::saturating_add)
        };
        let lost = live(|sum| sum.written_off);
        let mut stats = vec![Stat::new(
            "Charged",
            show::credits(live(|sum| sum.charged)),
            "live credits",
        )];
        stats.extend(sold(&seen.sold));
        stats.extend(self.spent());
        stats.push(
            Stat::new("Written off", show::credits(lost), "live credits, our loss").watched(lost),
        );
        stats
    }

    /// What providers bill, and what is left of what their work earned.
    fn spent(&self) -> [Stat; 2] {
        let unknown = |why: &'static str| {
            ["Provider cost", "Margin"].map(|name| Stat::new(name, "unknown", why))
        };
        if self.is_cut() {
            return unknown(CUT);
        }
        let told = self.by_provider();
        let told = told.values().map(Earned::told);
        let told = told.fold(Work::default(), Work::plus);
        if told.known == 0 {
            return unknown("no provider told what it bills");
        }
        let note = format!(
            "credits; known of {} of {} runs where it is told",
            show::count(told.known),
            show::count(told.runs)
        );
        let at_most = "where the cost is told; at most this";
        [
            Stat::new("Provider cost", show::credits(told.cost), note),
            Stat::new("Margin", show::credits(told.margin()), at_most)
                .watched(0_i64.saturating_sub(told.margin())),
        ]
    }

    fn work(&self) -> Stats {
        let now = self.now;
        let mut stats = Vec::new();
        if let Some(seen) = &self.billing {
            let open = seen.balances.iter().map(|sum| sum.open_holds);
            let open = open.fold(0, i64::saturating_add);
            let oldest = seen.oldest_hold;
            let note = match oldest {
                0 => "none".to_owned(),
                oldest => format!("the oldest since {}", age(now, oldest)),
            };
            let over = match oldest {
                0 => 0,
                oldest => now.saturating_sub(oldest).saturating_sub(OLD_HOLD),
            };
            stats.push(Stat::new("Open holds", show::count(open), note).watched(over));
            stats.push(Stat::backlog("To be told by billing", seen.outbox, now));
        }
        if let Some(seen) = &self.media {
            let unknown = seen.unknown.map_or(0, |waits| waits.count);
            stats.extend([
                Stat::backlog("Tasks queued", seen.queued, now),
                Stat::backlog("Tasks processing", seen.processing, now),
                Stat::backlog("Submits of unknown outcome", seen.unknown, now).watched(unknown),
                Stat::backlog("To be told by media", seen.outbox, now),
            ]);
        }
        if let Some(seen) = &self.webhooks {
            let dead = seen.dead.map_or(0, |waits| waits.count);
            stats.extend([
                Stat::backlog("Deliveries waiting", seen.due, now),
                Stat::backlog("Deliveries given up", seen.dead, now).watched(dead),
                Stat::backlog("Endpoints disabled", seen.disabled, now),
            ]);
        }
        stats
    }

    fn balances(&self) -> Table {
        let sums = self.billing.as_ref().map_or(&[][..], |seen| &seen.balances);
        let row = |sum: &billing::BalanceSum| {
            vec![
                Cell::text(mode_word(sum.mode)),
                Cell::text(show::credits(sum.posted)),
                Cell::text(show::credits(sum.held)),
                Cell::text(show::count(sum.open_holds)),
                Cell::text(show::count(sum.accounts)),
                Cell::text(show::count(sum.frozen)),
            ]
        };
        let columns = [
            "Mode",
            "#Owed to customers",
            "#Held of it",
            "#Open holds",
            "#Accounts",
            "#Stopped",
        ];
        Table::new("Balances", &columns).with(sums.iter().map(row))
    }
}

// === impl Earned ===

impl Earned {
    /// The work whose cost is told: what else was earned is no margin.
    fn told(&self) -> Work {
        let sides = [self.media, self.chat].into_iter();
        let told = sides.filter(|side| side.known > 0);
        told.fold(Work::default(), Work::plus)
    }
}

// === impl Work ===

impl Work {
    const fn plus(self, other: Self) -> Self {
        Self {
            charged: self.charged.saturating_add(other.charged),
            runs: self.runs.saturating_add(other.runs),
            known: self.known.saturating_add(other.known),
            cost: self.cost.saturating_add(other.cost),
        }
    }

    const fn margin(self) -> i64 {
        self.charged.saturating_sub(self.cost)
    }
}

/// What chat did with a model, as far as its file says what that costs.
fn talked(model: &Model, sum: &ServedSum) -> Work {
    let mut usage = Usage::default();
    for (class, tokens) in TokenClass::ALL.into_iter().zip(&sum.tokens) {
        *usage.of_mut(class) = u64::try_from(*tokens).unwrap_or_default();
    }
    match model.billed(&sum.provider, usage) {
        Some(cost) => Work {
            charged: sum.counted_charged,
            runs: sum.operations,
            known: sum.counted,
            cost: cost.get(),
        },
        None => Work::default(),
    }
}

fn is_chat(model: &Model) -> bool {
    matches!(model.category, Category::Chat | Category::Embedding)
}

fn is_live(mode: i32) -> bool {
    mode_word(mode) == "live"
}

fn sold(sums: &[SoldSum]) -> Stats {
    let stat = |sum: &SoldSum| {
        let credited = sum.credited.saturating_sub(sum.reversed);
        Stat::new(
            "Sold",
            money(sum.received.saturating_sub(sum.refunded), &sum.currency),
            format!(
                "{} credits in {} {}",
                show::credits(credited),
                show::count(sum.orders),
                if sum.orders == 1 { "order" } else { "orders" },
            ),
        )
    };
    if sums.is_empty() {
        return vec![Stat::new("Sold", "nothing", "no order was paid")];
    }
    sums.iter().map(stat).collect()
}
