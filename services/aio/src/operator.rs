//! Operator commands: the admin routes of the API, reached by the shortest way there is.

mod door;
mod print;

use std::process::ExitCode;

use anyhow::bail;
use chassis::config::Settings;
use http::Method;
use serde_json::{Value, json, value::RawValue};

use self::door::Door;
use crate::args::{Accounts, Args, Credits, Keys, Ledger, Operator, Reach, Tasks};

/// One call of an admin route, and how to show its answer.
struct Call {
    method: Method,
    path: String,
    body: Option<String>,
    reach: Reach,
    show: fn(&Value) -> Vec<String>,
}

/// Runs one command. Exits 1 when the answer is bad news.
pub(crate) async fn run(
    args: &Args,
    settings: &Settings,
    command: Operator,
) -> anyhow::Result<ExitCode> {
    let audit = matches!(command, Operator::Ledger(Ledger::Audit(_)));
    let call = call(command)?;
    let door = Door::open(&args.data_dir(), settings, call.reach.url.as_deref()).await?;
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
    Ok(match command {
        Operator::Ledger(Ledger::Audit(reach)) => get("/admin/ledger/audit", reach, print::audit),
        Operator::Accounts(Accounts::List(reach)) => get("/admin/accounts", reach, print::accounts),
        Operator::Accounts(Accounts::Create {
            name,
            test_credits,
            reach,
        }) => {
            let mut body = json!({ "name": name });
            if let (Some(credits), Some(fields)) = (test_credits, body.as_object_mut()) {
                fields.insert(
                    "test_credits".to_owned(),
                    serde_json::from_str(&number(&credits)?)?,
                );
            }
            post(
                "/admin/accounts".to_owned(),
                body.to_string(),
                reach,
                print::fields,
            )
        }
        Operator::Credits(Credits::Add {
            account,
            credits,
            mode,
            reason,
            reach,
        }) => {
            // Written as text: a number that went through a float would not be what was typed.
            let body = format!(
                r#"{{"credits":{},"mode":{},"reason":{}}}"#,
                number(&credits)?,
                json!(mode.as_str()),
                json!(reason)
            );
            post(
                format!("/admin/accounts/{account}/credits"),
                body,
                reach,
                print::fields,
            )
        }
        Operator::Keys(Keys::Create {
            account,
            name,
            mode,
            scopes,
            reach,
        }) => {
            let mut body = json!({ "name": name, "mode": mode.as_str() });
            if let (false, Some(fields)) = (scopes.is_empty(), body.as_object_mut()) {
                fields.insert("scopes".to_owned(), json!(scopes));
            }
            post(
                format!("/admin/accounts/{account}/keys"),
                body.to_string(),
                reach,
                print::fields,
            )
        }
        Operator::Keys(Keys::Revoke { key, reach }) => Call {
            method: Method::DELETE,
            path: format!("/admin/keys/{key}"),
            body: None,
            reach,
            show: print::fields,
        },
        Operator::Tasks(Tasks::Unknown(reach)) => {
            get("/admin/tasks/unknown", reach, print::unknown)
        }
    })
}

fn get(path: &str, reach: Reach, show: fn(&Value) -> Vec<String>) -> Call {
    Call {
        method: Method::GET,
        path: path.to_owned(),
        body: None,
        reach,
        show,
    }
}

fn post(path: String, body: String, reach: Reach, show: fn(&Value) -> Vec<String>) -> Call {
    Call {
        method: Method::POST,
        path,
        body: Some(body),
        reach,
        show,
    }
}

/// A decimal number as typed, checked to be one.
fn number(text: &str) -> anyhow::Result<String> {
    match RawValue::from_string(text.to_owned()) {
        Ok(raw) if domain::Micros::parse_credits(raw.get()).is_ok() => Ok(text.to_owned()),
        Ok(_) | Err(_) => bail!(
            "{text:?} is not a number of credits: write 10 or 10.5, at most six decimal places"
        ),
    }
}
