//! Operator commands: the admin routes of the API, reached by the shortest way there is.

mod codes;
mod door;
mod keys;
mod print;
mod tasks;
mod webhooks;

use std::process::ExitCode;

use anyhow::bail;
use chassis::config::Settings;
use http::Method;
use serde_json::{Map, Value, json};

use self::door::Door;
use crate::{
    args::{Accounts, Args, Credits, Ledger, Operator, Reach},
    first_start,
};

/// One call of an admin route, and how to show its answer.
struct Call {
    method: Method,
    path: String,
    body: Option<String>,
    reach: Reach,
    needs: Needs,
    show: fn(&Value) -> Vec<String>,
}

/// What must run to answer a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Billing, which a command can run by itself when nothing else does.
    Billing,
    /// The whole of `aio up`.
    Everything,
}

/// Runs one command. Exits 1 when the answer is bad news.
pub(crate) async fn run(
    args: &Args,
    settings: &Settings,
    command: Operator,
) -> anyhow::Result<ExitCode> {
    if let Operator::Accounts(Accounts::SignInLink { email }) = &command {
        let email = email.as_deref().unwrap_or_default();
        crate::say::line(first_start::sign_in_link(args, settings, email)?);
        return Ok(ExitCode::SUCCESS);
    }
    let audit = matches!(command, Operator::Ledger(Ledger::Audit(_)));
    let call = call(command)?;
    let door = Door::open(&args.data_dir(), settings, &call).await?;
    let answer = door.call(&call.method, &call.path, call.body).await?;
    let data = answer.get("data").cloned().unwrap_or(Value::Null);
    if call.reach.json {
        crate::say::line(&data);
    } else {
        for line in (call.show)(&data) {
            crate::say::line(line);
        }
    }
    let holds = !audit || data.get("ok").and_then(Value::as_bool) == Some(true);
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn call(command: Operator) -> anyhow::Result<Call> {
    match command {
        Operator::Ledger(Ledger::Audit(reach)) => {
            Ok(get("/admin/ledger/audit", reach, print::audit))
        }
        Operator::Accounts(command) => accounts(command),
        Operator::Credits(command) => credits(&command),
        Operator::Keys(command) => keys::keys(command),
        Operator::Tasks(command) => Ok(tasks::tasks(command)),
        Operator::Webhooks(command) => Ok(webhooks::webhooks(command)),
    }
}

fn accounts(command: Accounts) -> anyhow::Result<Call> {
    match command {
        // It asks nobody: `run` has seen to it.
        Accounts::SignInLink { .. } => bail!("a sign-in link is made here"),
        Accounts::List(reach) => Ok(get("/admin/accounts", reach, print::accounts)),
        Accounts::Freeze { account, reach } => Ok(act(&account, "freeze", reach)),
        Accounts::Unfreeze { account, reach } => Ok(act(&account, "unfreeze", reach)),
        Accounts::Log { account, reach } => {
            let account = account.map(|account| format!("?account_id={account}"));
            let path = format!("/admin/audit-log{}", account.unwrap_or_default());
            Ok(get(&path, reach, print::audit_log))
        }
        Accounts::Retention {
            account,
            outputs,
            files,
            reset,
            reach,
        } => {
            // What is not named stays as it was said.
            let named = [("outputs", outputs), ("files", files)].into_iter();
            let said = named.filter(|(_, life)| reset || life.is_some());
            let said: Map<String, Value> = said
                .map(|(name, life)| (name.to_owned(), json!(life)))
                .collect();
            let said = (!said.is_empty()).then_some(Value::Object(said));
            Ok(retention(&account, said, reach))
        }
        Accounts::Update {
            account,
            price_factor,
            reach,
        } => Ok(Call {
            method: Method::PATCH,
            body: Some(format!(r#"{{"price_factor":{}}}"#, factor(&price_factor)?)),
            ..get(&format!("/admin/accounts/{account}"), reach, print::fields)
        }),
        Accounts::Create {
            name,
            test_credits,
            reach,
        } => {
            let credits = test_credits.as_deref().map(number).transpose()?;
            let credits = credits
                .map(|credits| format!(r#","test_credits":{credits}"#))
                .unwrap_or_default();
            let body = format!(r#"{{"name":{}{credits}}}"#, json!(name));
            Ok(post(
                "/admin/accounts".to_owned(),
                body,
                reach,
                print::fields,
            ))
        }
    }
}

/// How long an account's files are kept; with something said, that is said.
fn retention(account: &str, said: Option<Value>, reach: Reach) -> Call {
    let path = format!("/admin/accounts/{account}/retention");
    let shown = Call {
        needs: Needs::Everything,
        ..get(&path, reach, print::fields)
    };
    match said {
        None => shown,
        Some(said) => Call {
            method: Method::PUT,
            body: Some(said.to_string()),
            ..shown
        },
    }
}

/// Does something to an account that needs no more than saying so.
fn act(account: &str, verb: &str, reach: Reach) -> Call {
    let path = format!("/admin/accounts/{account}/{verb}");
    post(path, String::new(), reach, print::fields)
}

fn credits(command: &Credits) -> anyhow::Result<Call> {
    let (account, credits, mode, reason, expires_at, reach) = match command {
        Credits::Codes(command) => return codes::call(command),
        Credits::Add {
            account,
            credits,
            mode,
            reason,
            expires_at,
            reach,
        } => (account, credits, mode, reason, expires_at, reach),
    };
    let (credits, mode, reason) = (number(credits)?, json!(mode.as_str()), json!(reason));
    let expiry = expires_at.as_deref();
    let expiry = expiry.map(|moment| format!(r#","expires_at":{}"#, json!(moment)));
    let expiry = expiry.unwrap_or_default();
    let body = format!(r#"{{"credits":{credits},"mode":{mode},"reason":{reason}{expiry}}}"#);
    Ok(post(
        format!("/admin/accounts/{account}/credits"),
        body,
        reach.clone(),
        print::fields,
    ))
}

fn get(path: &str, reach: Reach, show: fn(&Value) -> Vec<String>) -> Call {
    Call {
        method: Method::GET,
        path: path.to_owned(),
        body: None,
        reach,
        needs: Needs::Billing,
        show,
    }
}

fn post(path: String, body: String, reach: Reach, show: fn(&Value) -> Vec<String>) -> Call {
    Call {
        method: Method::POST,
        path,
        body: Some(body),
        reach,
        needs: Needs::Billing,
        show,
    }
}

/// A price factor as typed, checked to be one.
fn factor(text: &str) -> anyhow::Result<&str> {
    match domain::PriceFactor::parse(text) {
        Some(_) => Ok(text),
        None => bail!(
            "{text:?} is not a price factor: write a number above 0 and at most 10, such as 0.8, at most six decimal places"
        ),
    }
}

/// A decimal number as typed, checked to be one. It stays text: a number that went through a float would not be what was typed.
fn number(text: &str) -> anyhow::Result<&str> {
    match domain::Micros::parse_credits(text) {
        Ok(_) => Ok(text),
        Err(_) => bail!(
            "{text:?} is not a number of credits: write 10 or 10.5, at most six decimal places"
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Command;

    #[test]
    fn what_is_said_of_retention_is_put_and_nothing_is_looked_at() {
        for (rest, method, body) in [
            ("", Method::GET, None),
            (
                " --outputs 30d",
                Method::PUT,
                Some(json!({ "outputs": "30d" })),
            ),
            (" --files 7d", Method::PUT, Some(json!({ "files": "7d" }))),
            (
                " --reset",
                Method::PUT,
                Some(json!({ "outputs": null, "files": null })),
            ),
        ] {
            let line = format!("aio accounts retention acct_1{rest}");
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            let Some(Command::Operator(command)) = args.command else {
                panic!("{line} is no operator's");
            };
            let call = call(command).unwrap();
            assert_eq!(call.path, "/admin/accounts/acct_1/retention");
            assert_eq!((call.method, call.needs), (method, Needs::Everything));
            let sent = call
                .body
                .map(|body| serde_json::from_str::<Value>(&body).unwrap());
            assert_eq!(sent, body);
        }
        let both = "aio accounts retention acct_1 --reset --files 7d";
        assert!(Args::try_parse_from(both.split(' ')).is_err());
    }
}
