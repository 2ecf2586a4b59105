//! A storm of random operations on few accounts that never have enough: many at once, many of them twice, in any order, through
//! several billing processes, while the sweeper runs and, on PostgreSQL, sessions are ended in the middle of their work. Everybody
//! keeps what was answered; at the end the books must be exactly what the answers add up to.
//!
//! `examples/storm.rs` makes a program of it, for storms of a million.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::Duration,
};

use billing::{Error, HoldRequest, Life, Outcome, Verdict, ledger::BalanceId, verdict};
use chassis::secrets::Secrets;
use db::Engine;
use domain::OperationId;
use futures::future::{join, join_all};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    house::{House, capture, media},
    place::Place,
};

/// Billing processes over one PostgreSQL; a SQLite file has one.
const PROCESSES: usize = 3;
const ACCOUNTS: usize = 8;
/// What each account begins with. Holds want up to 90, so there is never enough; transfers give and take.
const CREDIT: i64 = 500;
/// Operations at once.
const CROWD: usize = 500;
/// New ids for each crowd, so that each is taken some four times, and how many are in use.
const FRESH: usize = 125;
const WINDOW: usize = 400;
/// So that a caller seldom hears of an ended session.
const SETTINGS: &str = "resends = 8\nresend_after = '5ms'";

/// What a storm came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Operations that were answered.
    pub(crate) operations: usize,
    /// Answers, by what was done and what was said.
    pub(crate) answers: BTreeMap<&'static str, usize>,
    /// Sessions of the server that were ended.
    pub(crate) killed: i64,
    /// Balances seen below zero.
    pub(crate) negative: usize,
    /// Micro-credits that the books are off from the answers.
    pub(crate) drift: i64,
    /// Ids that were granted, charged or given back in two ways.
    pub(crate) twice: usize,
    /// Checks of the audit that failed.
    pub(crate) broken: Vec<&'static str>,
}

/// One id, for a hold or a transfer. Whoever uses it asks for the same.
#[derive(Clone, Copy)]
struct Plan {
    id: OperationId,
    account: usize,
    amount: i64,
    /// A chat hold is past its moment at once.
    life: Life,
}

#[derive(Clone, Copy)]
enum Act {
    Hold,
    Capture(i64),
    Release,
    Transfer,
}

/// What was answered of one id.
#[derive(Default)]
struct Known {
    account: usize,
    granted: Option<i64>,
    charged: Option<i64>,
    released: bool,
    moved: Option<i64>,
    contradicts: bool,
}

struct Storm {
    houses: Vec<House>,
    accounts: Vec<BalanceId>,
    known: Mutex<HashMap<OperationId, Known>>,
    report: Mutex<Report>,
}

/// Runs so many operations, and adds up.
pub(crate) async fn storm(engine: Engine, operations: usize, seed: u64) -> Report {
    let storm = Storm::new(engine).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut plans: Vec<Plan> = Vec::new();
    let mut sent = 0;
    while sent < operations {
        plans.extend((0..FRESH).map(|_| plan(&mut random)));
        let old = plans.len().saturating_sub(WINDOW);
        plans.drain(..old);
        let crowd: Vec<_> = (0..CROWD.min(operations - sent))
            .map(|_| {
                let plan = plans[random.random_range(0..plans.len())];
                (
                    act(&mut random, plan),
                    plan,
                    random.random_range(0..PROCESSES),
                )
            })
            .collect();
        sent += crowd.len();
        let crowd = crowd
            .into_iter()
            .map(|(act, plan, house)| storm.send(act, plan, house));
        join(join_all(crowd), storm.trouble()).await;
        storm.look().await;
    }
    storm.add_up().await
}

fn plan(random: &mut StdRng) -> Plan {
    let life = if random.random_range(0..4) == 0 {
        Life::Chat(Duration::from_millis(1))
    } else {
        Life::Media
    };
    Plan {
        id: chassis::mint(),
        account: random.random_range(0..ACCOUNTS),
        amount: random.random_range(1..=90),
        life,
    }
}

fn act(random: &mut StdRng, plan: Plan) -> Act {
    match random.random_range(0..20) {
        0..8 => Act::Hold,
        // Mostly what it cost; now and then more than was held, and something else than before.
        8..13 => Act::Capture(plan.amount / 2 + 1),
        13 => Act::Capture(plan.amount + 5),
        14..17 => Act::Release,
        _ => Act::Transfer,
    }
}

// === impl Plan ===

impl Plan {
    /// What a transfer of this id gives, or takes. On the whole as much as holds can spend.
    fn gift(&self) -> i64 {
        match self.amount - 40 {
            0 => 1,
            amount => amount,
        }
    }
}

// === impl Storm ===

impl Storm {
    async fn new(engine: Engine) -> Self {
        let (place, secrets) = (Place::fresh(engine).await, Secrets::random());
        let processes = match engine {
            Engine::Sqlite => 1,
            Engine::Postgres => PROCESSES,
        };
        let mut houses = Vec::new();
        for _ in 0..processes {
            houses.push(House::over(place.clone(), secrets.clone(), SETTINGS).await);
        }
        let mut accounts = Vec::new();
        for _ in 0..ACCOUNTS {
            accounts.push(houses[0].account_with(CREDIT).await);
        }
        Self {
            houses,
            accounts,
            known: Mutex::default(),
            report: Mutex::default(),
        }
    }

    /// Sends one operation until it is answered; every third one twice at once, to two processes.
    async fn send(&self, act: Act, plan: Plan, house: usize) {
        let twice = plan.amount % 3 == 0;
        let other = async {
            if twice {
                self.ask(act, plan, house + 1).await;
            }
        };
        join(self.ask(act, plan, house), other).await;
    }

    async fn ask(&self, act: Act, plan: Plan, house: usize) {
        let house = &self.houses[house % self.houses.len()];
        let balance = self.accounts[plan.account];
        let answer = loop {
            let answer = match act {
                Act::Hold => {
                    let request = HoldRequest {
                        life: plan.life,
                        ..media(plan.id, balance, plan.amount)
                    };
                    let held = house.billing.ledger().hold(request).await;
                    held.map(|held| held.granted.get())
                }
                Act::Capture(amount) => house.settle(plan.id, capture(amount)).await,
                Act::Release => house.settle(plan.id, Outcome::Release).await,
                Act::Transfer => {
                    let moved = house.give(plan.id, balance, plan.gift()).await;
                    moved.map(|()| plan.gift())
                }
            };
            // Nobody knows whether it was done: it is asked again.
            if !answer.as_ref().is_err_and(is_away) {
                break answer;
            }
            tokio::task::yield_now().await;
        };
        self.note(act, plan, answer);
    }

    fn note(&self, act: Act, plan: Plan, answer: Result<i64, Error>) {
        let mut known = self.known.lock().unwrap();
        let known = known.entry(plan.id).or_default();
        known.account = plan.account;
        let said = match (act, answer) {
            (Act::Hold, Ok(granted)) => {
                known.contradicts |= known
                    .granted
                    .replace(granted)
                    .is_some_and(|was| was != granted);
                "held"
            }
            // There was no such hold yet.
            (Act::Capture(_), Ok(0)) => "nothing to capture",
            (Act::Capture(_), Ok(charged)) => {
                known.contradicts |= known
                    .charged
                    .replace(charged)
                    .is_some_and(|was| was != charged);
                "captured"
            }
            (Act::Release, Ok(_)) => {
                known.released = true;
                "released"
            }
            (Act::Transfer, Ok(moved)) => {
                known.moved = Some(moved);
                "transferred"
            }
            (_, Err(error)) => proto::Fault::from(error).code.word,
        };
        known.contradicts |= known.charged.is_some() && known.released;
        let mut report = self.report.lock().unwrap();
        report.operations += 1;
        *report.answers.entry(said).or_default() += 1;
    }

    /// What happens beside the crowd: chat holds expire, and sessions of the server end.
    async fn trouble(&self) {
        let house = &self.houses[0];
        let later = house.db.now_micros() + 1_000_000;
        if house.db.engine() == Engine::Postgres {
            let mut owner = house.place.server().connect_owner().await;
            let killed: i64 = sqlx::query_scalar(
                "select count(pg_terminate_backend(pid)) from
                   (select pid from pg_stat_activity
                    where datname = current_database() and usename <> current_user and state <> 'idle'
                      and random() < 0.3 offset 0) as victims",
            )
            .fetch_one(&mut owner)
            .await
            .unwrap();
            self.report.lock().unwrap().killed += killed;
        }
        // It may be cut off like everybody else, and comes again.
        let _ = house.billing.sweep(later).await;
    }

    /// No balance is ever below zero.
    async fn look(&self) {
        for balance in &self.accounts {
            let (posted, held, _) = self.figures(*balance).await;
            if held < 0 || posted < held {
                self.report.lock().unwrap().negative += 1;
            }
        }
    }

    async fn figures(&self, balance: BalanceId) -> (i64, i64, i64) {
        loop {
            match self.houses[0].billing.balance(balance).await {
                Ok(found) => return (found.posted.get(), found.held.get(), found.open_holds),
                Err(error) => assert!(is_away(&error), "{error:?}"),
            }
        }
    }

    async fn add_up(self) -> Report {
        let house = &self.houses[0];
        let later = house.db.now_micros() + 1_000_000;
        while house.billing.sweep(later).await.is_err() {}
        let mut report = self.report.lock().unwrap().clone();
        let known = std::mem::take(&mut *self.known.lock().unwrap());
        report.twice = known.values().filter(|known| known.contradicts).count();
        for (account, balance) in self.accounts.iter().enumerate() {
            let known = known.values().filter(|known| known.account == account);
            let (moved, charged): (Vec<_>, Vec<_>) =
                known.map(|known| (known.moved, known.charged)).unzip();
            let moved: i64 = moved.into_iter().flatten().sum();
            let charged: i64 = charged.into_iter().flatten().sum();
            let (posted, held, _) = self.figures(*balance).await;
            report.drift += (posted - (CREDIT + moved - charged)).abs();
            report.drift += (held - self.still_held(*balance).await).abs();
        }
        report.drift += misplaced(house, &known).await;
        let checks = house.billing.audit().await.unwrap();
        if verdict(&checks) == Verdict::Broken {
            let broken = checks.iter().filter(|check| check.holds == Verdict::Broken);
            report.broken = broken.map(|check| check.name).collect();
        }
        report
    }

    /// What the open holds of a balance set aside, row by row.
    async fn still_held(&self, balance: BalanceId) -> i64 {
        sqlx::query_scalar(
            "select cast(coalesce(sum(granted), 0) as bigint) from hold where state = 'open' and account = $1",
        )
        .bind(balance.account.to_vec())
        .fetch_one(self.houses[0].db.reader())
        .await
        .unwrap()
    }
}

/// Micro-credits of holds that are open although they were told to be over, or over although nobody ended them.
async fn misplaced(house: &House, known: &HashMap<OperationId, Known>) -> i64 {
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("select id, granted from hold where state = 'open'")
            .fetch_all(house.db.reader())
            .await
            .unwrap();
    let open: HashMap<OperationId, i64> = rows
        .into_iter()
        .filter_map(|(id, granted)| Some((OperationId::from_slice(&id)?, granted)))
        .collect();
    let over = |known: &Known| known.charged.is_some() || known.released;
    open.iter()
        .filter(|(id, granted)| {
            known
                .get(*id)
                .is_none_or(|known| over(known) || known.granted != Some(**granted))
        })
        .map(|(_, granted)| granted)
        .sum()
}

fn is_away(error: &Error) -> bool {
    matches!(
        error,
        Error::Db(_) | Error::Overloaded { .. } | Error::Overtaken
    )
}

// === impl Report ===

impl Report {
    /// Whether everything is as it must be, and the storm was one: each kind of answer was given.
    pub(crate) fn is_good(&self) -> bool {
        let given = [
            "held",
            "captured",
            "released",
            "transferred",
            "insufficient_credits",
            "hold_conflict",
        ];
        self.negative == 0
            && self.drift == 0
            && self.twice == 0
            && self.broken.is_empty()
            && given.iter().all(|said| self.answers.contains_key(said))
    }
}
