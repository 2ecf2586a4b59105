//! `aio keys`: the command line as calls of the admin routes. Amounts stay the text that was typed.

use anyhow::Context as _;
use http::Method;
use serde_json::json;

use super::{Call, Needs, get, number, post, print};
use crate::args::{Keys, Limits};

/// What is typed to take a limit away.
const NONE: &str = "none";
/// Keys that are listed, as many as a page holds.
const LISTED: u32 = 1_000;

/// The call of a command.
pub(super) fn keys(command: Keys) -> anyhow::Result<Call> {
    match command {
        Keys::Create {
            account,
            name,
            mode,
            scopes,
            limits,
            reach,
        } => {
            let mut members = vec![
                member("name", json!(name)),
                member("mode", json!(mode.as_str())),
            ];
            if !scopes.is_empty() {
                members.push(member("scopes", json!(scopes)));
            }
            members.extend(limited(*limits)?);
            let path = format!("/admin/accounts/{account}/keys");
            Ok(post(path, object(&members), reach, print::fields))
        }
        Keys::List { account, reach } => {
            let path = format!("/admin/accounts/{account}/keys?limit={LISTED}");
            Ok(get(&path, reach, print::keys))
        }
        Keys::Update {
            key,
            name,
            limits,
            reach,
        } => {
            let mut members: Vec<String> = name
                .map(|name| member("name", json!(name)))
                .into_iter()
                .collect();
            members.extend(limited(*limits)?);
            let path = format!("/admin/keys/{key}");
            let call = post(path, object(&members), reach, print::fields);
            Ok(Call {
                method: Method::PATCH,
                ..call
            })
        }
        Keys::Rotate {
            key,
            overlap,
            reach,
        } => {
            let overlap = overlap.map(|overlap| member("overlap", json!(overlap)));
            let body = object(overlap.as_slice());
            let path = format!("/admin/keys/{key}/rotate");
            Ok(post(path, body, reach, print::fields))
        }
        Keys::Revoke { key, reach } => Ok(Call {
            method: Method::DELETE,
            path: format!("/admin/keys/{key}"),
            body: None,
            reach,
            needs: Needs::Billing,
            show: print::fields,
        }),
    }
}

/// The members of a body that say what a key may do and spend.
fn limited(limits: Limits) -> anyhow::Result<Vec<String>> {
    let mut members = Vec::new();
    let mut caps = Vec::new();
    for (name, cap) in [
        ("day", &limits.cap_day),
        ("month", &limits.cap_month),
        ("total", &limits.cap_total),
    ] {
        match cap.as_deref() {
            None => {}
            Some(NONE) => caps.push(member(name, "null")),
            Some(text) => caps.push(member(name, number(text)?)),
        }
    }
    if !caps.is_empty() {
        members.push(member("caps", object(&caps)));
    }
    for (name, list) in [("models", limits.models), ("ip_allow", limits.ip_allow)] {
        let Some(list) = list else { continue };
        let all = list == [NONE];
        members.push(member(name, if all { json!(null) } else { json!(list) }));
    }
    for (name, count) in [
        ("rpm", limits.rpm),
        ("concurrency", limits.concurrency),
        ("max_open_tasks", limits.max_open_tasks),
    ] {
        let Some(count) = count else { continue };
        members.push(member(name, whole(name, &count)?));
    }
    if let Some(moment) = limits.expires_at {
        let never = moment == NONE;
        let moment = if never { json!(null) } else { json!(moment) };
        members.push(member("expires_at", moment));
    }
    Ok(members)
}

fn whole(name: &str, text: &str) -> anyhow::Result<String> {
    if text == NONE {
        return Ok("null".to_owned());
    }
    let count: u32 = text
        .parse()
        .with_context(|| format!("{text:?} is no {name}: write a whole number, or none"))?;
    Ok(count.to_string())
}

fn member(name: &str, value: impl std::fmt::Display) -> String {
    format!("{}:{value}", json!(name))
}

fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command, Operator};

    fn body(line: &str) -> (Method, String, String) {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Operator(Operator::Keys(command))) = args.command else {
            panic!("{line} is not about keys");
        };
        let call = keys(command).unwrap();
        (call.method, call.path, call.body.unwrap_or_default())
    }

    #[test]
    fn amounts_stay_what_was_typed_and_none_takes_away() {
        assert_eq!(
            body(
                "aio keys update key_1 --cap-day 0.000001 --cap-total none --rpm 5 --models none \
                 --ip-allow 10.0.0.0/8,::1 --expires-at none"
            ),
            (
                Method::PATCH,
                "/admin/keys/key_1".to_owned(),
                r#"{"caps":{"day":0.000001,"total":null},"models":null,"ip_allow":["10.0.0.0/8","::1"],"rpm":5,"expires_at":null}"#
                    .to_owned()
            )
        );
        assert_eq!(
            body("aio keys create acct_1 --mode test --scopes read --max-open-tasks 3").2,
            r#"{"name":"key","mode":"test","scopes":["read"],"max_open_tasks":3}"#
        );
        let (method, path, rotate) = body("aio keys rotate key_1 --overlap 24h");
        assert_eq!((method, &*path), (Method::POST, "/admin/keys/key_1/rotate"));
        assert_eq!(rotate, r#"{"overlap":"24h"}"#);
        assert_eq!(body("aio keys rotate key_1").2, "{}");
    }

    #[test]
    fn what_is_no_number_is_said_before_anything_is_sent() {
        for wrong in ["--cap-day 1e", "--rpm many", "--concurrency -1"] {
            let line = format!("aio keys update key_1 {}", wrong.replace(' ', "="));
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            let Some(Command::Operator(Operator::Keys(command))) = args.command else {
                panic!("{line} is not about keys");
            };
            assert!(keys(command).is_err(), "{line}");
        }
    }
}
