//! The ledger's rules as tables that need no Rust to read: `tests/it/ledger/*.txt`.
//! Every table is played twice: each line as a batch of its own, and all lines between two checks as one batch.

use std::collections::HashMap;

use billing::ledger::{
    BalanceId, Caps, HoldState, Kind, Op, PostingKind, Refusal, Reply, Terms, Transfer,
};
use domain::{KeyId, Micros, Mode, OperationId};

use crate::memory::{Memory, balance_id, key, operation};

/// How many operations are decided at once.
#[derive(Clone, Copy)]
enum Batches {
    OneEach,
    AsLargeAsPossible,
}

/// One table being played.
struct Player {
    memory: Memory,
    operations: HashMap<String, OperationId>,
    accounts: HashMap<String, u8>,
    keys: HashMap<String, u8>,
    /// Operations not yet decided, each with its line and the answer it should get.
    waiting: Vec<(String, Op, String)>,
}

#[test]
fn holds() {
    play(include_str!("ledger/holds.txt"));
}

#[test]
fn endings() {
    play(include_str!("ledger/endings.txt"));
}

#[test]
fn repeats() {
    play(include_str!("ledger/repeats.txt"));
}

#[test]
fn transfers() {
    play(include_str!("ledger/transfers.txt"));
}

#[test]
fn late() {
    play(include_str!("ledger/late.txt"));
}

#[test]
fn budgets() {
    play(include_str!("ledger/budgets.txt"));
}

fn play(table: &str) {
    for batches in [Batches::OneEach, Batches::AsLargeAsPossible] {
        let mut player = Player {
            memory: Memory::default(),
            operations: HashMap::new(),
            accounts: HashMap::new(),
            keys: HashMap::new(),
            waiting: Vec::new(),
        };
        for line in table.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                player.line(line, batches);
            }
        }
        player.decide();
    }
}

// === impl Player ===

impl Player {
    fn line(&mut self, line: &str, batches: Batches) {
        if let Some((op, answer)) = line.split_once("->") {
            let words: Vec<&str> = op.split_whitespace().collect();
            let op = self.op(&words);
            self.waiting
                .push((line.to_owned(), op, answer.trim().to_owned()));
            if matches!(batches, Batches::OneEach) {
                self.decide();
            }
            return;
        }
        self.decide();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["account", name] => {
                let id = self.balance(name);
                self.memory.open(id);
            }
            ["balance", name, ref expected @ ..] => {
                let id = self.balance(name);
                let balance = self.memory.balances[&id];
                let shown = format!(
                    "posted {} held {} open {}",
                    balance.posted.get(),
                    balance.held.get(),
                    balance.open_holds
                );
                assert_eq!(shown, expected.join(" "), "{line}");
            }
            ["now", "day", number] => {
                let day: i64 = number.parse().unwrap();
                self.memory.now = day * 86_400_000_000;
            }
            ["caps", name, "day", day, "month", month, "total", total] => {
                let caps = Caps {
                    day: cap(day),
                    month: cap(month),
                    total: cap(total),
                };
                let key = self.key(name);
                self.memory.budgets.entry(key).or_default().caps = caps;
            }
            ["budget", name, ref expected @ ..] => {
                let key = self.key(name);
                let budget = self.memory.budgets[&key].at(self.memory.now);
                let shown = format!(
                    "spent {} {} {} held {}",
                    budget.spent_day.get(),
                    budget.spent_month.get(),
                    budget.spent_total.get(),
                    budget.held.get()
                );
                assert_eq!(shown, expected.join(" "), "{line}");
            }
            [word @ ("freeze" | "thaw"), name] => {
                let id = self.balance(name);
                self.memory.balances.get_mut(&id).unwrap().frozen = word == "freeze";
            }
            ["written-off", amount] => {
                let losses = self.memory.postings.iter();
                let losses = losses.filter(|posting| posting.kind == PostingKind::WriteOff);
                let sum: i64 = losses.map(|posting| -posting.amount.get()).sum();
                assert_eq!(sum.to_string(), amount, "{line}");
            }
            ["over-reports", count] => {
                assert_eq!(self.memory.over_reports.to_string(), count, "{line}");
            }
            _ => panic!("cannot read: {line}"),
        }
    }

    fn decide(&mut self) {
        let ops: Vec<Op> = self.waiting.iter().map(|(_, op, _)| op.clone()).collect();
        let answers = self.memory.apply(&ops);
        for ((line, _, expected), answer) in self.waiting.drain(..).zip(answers) {
            assert_eq!(show(answer), expected, "{line}");
        }
    }

    fn op(&mut self, words: &[&str]) -> Op {
        match *words {
            ["hold", id, name, amount] => self.hold(id, (name, amount, amount), Kind::Media),
            ["hold", id, name, amount, "floor", floor] => {
                self.hold(id, (name, amount, floor), Kind::Media)
            }
            ["chat", id, name, amount, "until", moment] => {
                let expires_at = moment.parse().unwrap();
                self.hold(id, (name, amount, amount), Kind::Chat { expires_at })
            }
            ["hold", id, name, amount, "by", key] => {
                self.hold_by(id, (name, amount, amount), Kind::Media, Some(key))
            }
            ["hold", id, name, amount, "floor", floor, "by", key] => {
                self.hold_by(id, (name, amount, floor), Kind::Media, Some(key))
            }
            ["chat", id, name, amount, "until", moment, "by", key] => {
                let expires_at = moment.parse().unwrap();
                self.hold_by(
                    id,
                    (name, amount, amount),
                    Kind::Chat { expires_at },
                    Some(key),
                )
            }
            ["late", id, amount, "for", name] => Op::Late {
                hold: self.operation(id),
                amount: micros(amount),
                balance: self.balance(name),
            },
            ["extend", id, "until", moment] => Op::Extend {
                hold: self.operation(id),
                expires_at: moment.parse().unwrap(),
            },
            ["capture", id, amount] => Op::Capture {
                hold: self.operation(id),
                amount: micros(amount),
            },
            ["release", id] => Op::Release {
                hold: self.operation(id),
            },
            ["expire", id, "at", moment] => Op::Expire {
                hold: self.operation(id),
                now: moment.parse().unwrap(),
            },
            ["transfer", id, name, amount, ref reason @ ..] => Op::Transfer {
                id: self.operation(id),
                transfer: Transfer {
                    balance: self.balance(name),
                    amount: micros(amount),
                    actor: "operator".to_owned(),
                    reason: reason.join(" "),
                },
            },
            _ => panic!("cannot read: {words:?}"),
        }
    }

    fn hold(&mut self, id: &str, amounts: (&str, &str, &str), kind: Kind) -> Op {
        self.hold_by(id, amounts, kind, None)
    }

    fn hold_by(
        &mut self,
        id: &str,
        (name, amount, floor): (&str, &str, &str),
        kind: Kind,
        key: Option<&str>,
    ) -> Op {
        Op::Hold {
            hold: self.operation(id),
            terms: Terms {
                balance: self.balance(name),
                amount: micros(amount),
                floor: micros(floor),
                kind,
                key: key.map(|name| self.key(name)),
                price_version: "v1".to_owned(),
            },
        }
    }

    fn operation(&mut self, name: &str) -> OperationId {
        let next = u8::try_from(self.operations.len()).unwrap();
        *self
            .operations
            .entry(name.to_owned())
            .or_insert_with(|| operation(next))
    }

    fn key(&mut self, name: &str) -> KeyId {
        let next = u8::try_from(self.keys.len()).unwrap();
        key(*self.keys.entry(name.to_owned()).or_insert(next))
    }

    /// `alice` is her live balance, `alice/test` her test balance.
    fn balance(&mut self, name: &str) -> BalanceId {
        let (name, mode) = match name.split_once('/') {
            Some((name, mode)) => (name, Mode::parse(mode).unwrap()),
            None => (name, Mode::Live),
        };
        let next = u8::try_from(self.accounts.len()).unwrap();
        let number = *self.accounts.entry(name.to_owned()).or_insert(next);
        balance_id(number, mode)
    }
}

fn micros(word: &str) -> Micros {
    match word {
        "max" => Micros::new(i64::MAX),
        "min" => Micros::new(i64::MIN),
        digits => Micros::new(digits.parse().unwrap()),
    }
}

/// A cap; `-` is none.
fn cap(word: &str) -> Option<Micros> {
    (word != "-").then(|| micros(word))
}

fn show(answer: Result<Reply, Refusal>) -> String {
    match answer {
        Ok(Reply::Held { granted, available }) => {
            format!("held {}, available {}", granted.get(), available.get())
        }
        Ok(Reply::Captured { captured }) => format!("captured {}", captured.get()),
        Ok(Reply::Extended) => "extended".to_owned(),
        Ok(Reply::Released) => "released".to_owned(),
        Ok(Reply::Expired) => "expired".to_owned(),
        Ok(Reply::Booked { available }) => format!("available {}", available.get()),
        Err(Refusal::Insufficient { available }) => {
            format!("refused: only {} available", available.get())
        }
        Err(Refusal::CapReached { left }) => format!("refused: {} left of its cap", left.get()),
        Err(Refusal::Frozen) => "refused: frozen".to_owned(),
        Err(Refusal::UnknownBalance) => "refused: no such balance".to_owned(),
        Err(Refusal::UnknownHold) => "refused: no such hold".to_owned(),
        Err(Refusal::InvalidAmount) => "refused: invalid amount".to_owned(),
        Err(Refusal::Conflict) => "refused: conflict".to_owned(),
        Err(Refusal::NotDue) => "refused: not due".to_owned(),
        Err(Refusal::Closed(state)) => format!(
            "refused: already {}",
            match state {
                HoldState::Open => "open",
                HoldState::Captured => "captured",
                HoldState::Released => "released",
                HoldState::Expired => "expired",
                HoldState::Late => "charged late",
                HoldState::Tombstone => "released before it came",
            }
        ),
    }
}
