//! The whole path, from the queue to SQL and back, against the naive model: random operations in random batches. Few accounts,
//! few ids and small amounts, so that everything collides; each answer must be the model's.

use billing::{
    By, CreditsRequest, Error, HoldRequest, Life, Outcome, Purse, SettleRequest,
    ledger::{BalanceId, Kind, Op, Refusal, Reply},
};
use db::Engine;
use domain::{AccountId, Micros, Mode, OperationId};
use futures::future::join_all;
use proptest::{prelude::*, test_runner::TestRunner};
use std::time::Duration;

use crate::{house::House, laws::any_op, model::Model};

/// One batch, and what follows.
type Batch = (Vec<Op>, Then);

/// What follows a batch.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// Every chat hold is past its moment.
    Sweep,
}

/// The real accounts and ids behind the made-up ones.
struct Cast {
    accounts: [AccountId; 3],
    ids: Vec<OperationId>,
}

#[test]
fn sqlite_answers_like_the_model() {
    compare(Engine::Sqlite, 64);
}

#[test]
fn postgres_answers_like_the_model() {
    compare(Engine::Postgres, 40);
}

fn compare(engine: Engine, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // One lane takes what waits in the order in which it came, as one batch.
    let house = runtime.block_on(House::with(engine, "lanes = 1"));
    let then = prop_oneof![4 => Just(Then::Nothing), 1 => Just(Then::Sweep)];
    let batch = (prop::collection::vec(any_op(), 0..20), then);
    let plan = prop::collection::vec(batch, 0..8);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&plan, |batches| runtime.block_on(play(&house, batches)));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    runtime.block_on(house.audit());
}

async fn play(house: &House, batches: Vec<Batch>) -> Result<(), TestCaseError> {
    let cast = Cast::new(house).await;
    let mut model = Model::new(&cast.balances());
    for (ops, then) in batches {
        let ops: Vec<Op> = ops.iter().filter_map(|op| cast.real(op)).collect();
        let mut answers = Vec::new();
        // A transfer has a transaction of its own: what comes before it is done, and what comes after has not begun.
        for some in ops.chunk_by(|one, next| !is_transfer(one) && !is_transfer(next)) {
            answers.extend(join_all(some.iter().map(|op| send(house, op))).await);
        }
        for (op, answer) in ops.iter().zip(answers) {
            let expected = as_told(op, model.apply(op));
            prop_assert_eq!(answer, expected, "{:?} of {:?}", op, ops);
        }
        if matches!(then, Then::Sweep) {
            let now = house.db.now_micros() + 3_600_000_000;
            house.billing.sweep(now).await.unwrap();
            for hold in &cast.ids {
                // What is not an open chat hold says no.
                let _ = model.apply(&Op::Expire {
                    hold: *hold,
                    now: i64::MAX,
                });
            }
        }
        for id in cast.balances() {
            let (posted, held, _) = house.figures(id).await;
            prop_assert_eq!((posted, held), (model.posted(id), model.held(id)));
        }
    }
    Ok(())
}

fn is_transfer(op: &Op) -> bool {
    matches!(op, Op::Transfer { .. })
}

/// Sends an operation, and gives the ledger's answer as far as callers are told.
async fn send(house: &House, op: &Op) -> Result<Reply, Refusal> {
    let ledger = house.billing.ledger();
    let answer = match op {
        Op::Hold { hold, terms } => {
            let request = HoldRequest {
                hold: *hold,
                balance: terms.balance,
                amount: terms.amount,
                floor: terms.floor,
                life: match terms.kind {
                    Kind::Chat { .. } => Life::Chat(Duration::from_secs(60)),
                    Kind::Media => Life::Media,
                },
                key: terms.key,
                price_version: terms.price_version.clone(),
            };
            ledger.hold(request).await.map(|held| Reply::Held {
                granted: held.granted,
                available: held.available,
            })
        }
        Op::Capture { hold, amount } => settle(house, *hold, Outcome::Capture(*amount), None).await,
        Op::Late {
            hold,
            amount,
            balance,
        } => settle(house, *hold, Outcome::Capture(*amount), Some(*balance)).await,
        Op::Extend { hold, .. } => {
            let extended = ledger.extend(*hold, Duration::from_secs(60)).await;
            extended.map(|()| Reply::Extended)
        }
        Op::Release { hold } => settle(house, *hold, Outcome::Release, None)
            .await
            .map(|_| Reply::Released),
        Op::Transfer { id, transfer } => {
            let request = CreditsRequest {
                transfer: *id,
                balance: transfer.balance,
                amount: transfer.amount,
                reason: transfer.reason.clone(),
                by: By {
                    actor: transfer.actor.clone(),
                    request: String::new(),
                },
                expires_at: None,
            };
            let booked = house.billing.add_credits(request).await;
            booked.map(|()| Reply::Booked {
                available: Micros::ZERO,
            })
        }
        Op::Expire { .. } => panic!("nobody can ask for this"),
    };
    answer.map_err(|error| match error {
        Error::Refused(refusal) => refusal,
        Error::Insufficient { available, of, .. } => match of {
            Purse::Balance => Refusal::Insufficient { available },
            Purse::Key => Refusal::CapReached { left: available },
        },
        Error::TransferConflict => Refusal::Conflict,
        other => panic!("{other:?}"),
    })
}

async fn settle(
    house: &House,
    hold: OperationId,
    outcome: Outcome,
    payer: Option<BalanceId>,
) -> Result<Reply, Error> {
    let request = SettleRequest {
        hold,
        outcome,
        payer,
        receipt: r#"{"quoted":"\"\\"}"#.to_owned(),
    };
    let captured = house.billing.ledger().settle(request).await?;
    Ok(Reply::Captured { captured })
}

/// What a caller is told of the model's answer.
fn as_told(op: &Op, answer: Result<Reply, Refusal>) -> Result<Reply, Refusal> {
    match (op, answer) {
        (Op::Capture { .. }, Err(Refusal::UnknownHold)) => Ok(Reply::Captured {
            captured: Micros::ZERO,
        }),
        (_, Ok(Reply::Booked { .. })) => Ok(Reply::Booked {
            available: Micros::ZERO,
        }),
        (_, answer) => answer,
    }
}

// === impl Cast ===

impl Cast {
    /// Accounts 1 and 2 exist, 3 does not.
    async fn new(house: &House) -> Self {
        let account = async || {
            let made = house
                .billing
                .create_account("x", Some(Micros::ZERO), By::operator())
                .await;
            made.unwrap().id
        };
        Self {
            accounts: [account().await, account().await, chassis::mint()],
            ids: (0..=u8::MAX).map(|_| chassis::mint()).collect(),
        }
    }

    fn balances(&self) -> [BalanceId; 4] {
        let [one, two, _] = self.accounts;
        let id = |account, mode| BalanceId { account, mode };
        [
            id(one, Mode::Live),
            id(one, Mode::Test),
            id(two, Mode::Live),
            id(two, Mode::Test),
        ]
    }

    fn real(&self, op: &Op) -> Option<Op> {
        let id = |made_up: OperationId| self.ids[usize::from(made_up.to_bytes()[0])];
        let balance = |made_up: BalanceId| BalanceId {
            account: self.accounts[usize::from(made_up.account.to_bytes()[0]) - 1],
            ..made_up
        };
        let mut op = op.clone();
        match &mut op {
            Op::Hold { hold, terms } => {
                *hold = id(*hold);
                terms.balance = balance(terms.balance);
            }
            Op::Late {
                hold, balance: to, ..
            } => {
                *hold = id(*hold);
                *to = balance(*to);
            }
            Op::Capture { hold, .. } | Op::Extend { hold, .. } | Op::Release { hold } => {
                *hold = id(*hold);
            }
            Op::Transfer { id: own, transfer } => {
                *own = id(*own);
                transfer.balance = balance(transfer.balance);
            }
            Op::Expire { .. } => return None,
        }
        Some(op)
    }
}
