//! `aio webhooks`: the command line as calls of the admin routes.

use http::Method;
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::{Call, Needs, get, post, print};
use crate::args::{Deliveries, Endpoints, Reach, Webhooks};

const ENDPOINTS: &str = "/admin/webhooks/endpoints";
const DELIVERIES: &str = "/admin/webhooks/deliveries";
/// Rows that are asked for at once.
const LISTED: &str = "1000";

/// The call of a command.
pub(super) fn webhooks(command: Webhooks) -> Call {
    let call = match command {
        Webhooks::Endpoints(command) => endpoints(command),
        Webhooks::Deliveries(wanted) => deliveries(*wanted),
        Webhooks::Attempts { delivery, reach } => {
            get(&format!("{DELIVERIES}/{delivery}"), reach, print::delivery)
        }
        Webhooks::Replay { delivery, reach } => post(
            format!("{DELIVERIES}/{delivery}/replay"),
            String::new(),
            reach,
            print::delivery,
        ),
        Webhooks::Recover {
            since,
            until,
            endpoint,
            account,
            reach,
        } => {
            let said = [
                ("since", Some(since)),
                ("until", until),
                ("endpoint_id", endpoint),
                ("account_id", account),
            ];
            post(
                format!("{DELIVERIES}/recover"),
                body(said),
                reach,
                print::fields,
            )
        }
        Webhooks::Test {
            endpoint,
            kind,
            reach,
        } => post(
            format!("{ENDPOINTS}/{endpoint}/test"),
            body([("type", kind)]),
            reach,
            print::fields,
        ),
        Webhooks::RotateSecret {
            endpoint,
            overlap,
            reach,
        } => post(
            format!("{ENDPOINTS}/{endpoint}/rotate-secret"),
            body([("overlap", overlap)]),
            reach,
            print::fields,
        ),
        Webhooks::AlertSecret(reach) => get("/admin/webhooks/alert-secret", reach, print::fields),
    };
    Call {
        needs: Needs::Everything,
        ..call
    }
}

fn endpoints(command: Endpoints) -> Call {
    match command {
        Endpoints::List { account, reach } => {
            let filters = [("limit", Some(LISTED.to_owned())), ("account_id", account)];
            get(&query(ENDPOINTS, filters), reach, print::endpoints)
        }
        Endpoints::Show { endpoint, reach } => {
            get(&format!("{ENDPOINTS}/{endpoint}"), reach, print::fields)
        }
        Endpoints::Enable { endpoint, reach } => disable(&endpoint, &json!(false), reach),
        Endpoints::Disable { endpoint, reach } => disable(&endpoint, &json!(true), reach),
    }
}

fn disable(endpoint: &str, disabled: &Value, reach: Reach) -> Call {
    let path = format!("{ENDPOINTS}/{endpoint}");
    let body = json!({ "disabled": disabled }).to_string();
    Call {
        method: Method::PATCH,
        ..post(path, body, reach, print::fields)
    }
}

fn deliveries(wanted: Deliveries) -> Call {
    let filters = [
        ("limit", Some(wanted.limit.to_string())),
        ("state", wanted.state),
        ("type", wanted.kind),
        ("task_id", wanted.task),
        ("endpoint_id", wanted.endpoint),
        ("account_id", wanted.account),
        ("since", wanted.since),
        ("until", wanted.until),
    ];
    get(&query(DELIVERIES, filters), wanted.reach, print::deliveries)
}

fn query<const N: usize>(path: &str, filters: [(&str, Option<String>); N]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in filters {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    format!("{path}?{}", query.finish())
}

/// What is said; what is not stays out.
fn body<const N: usize>(said: [(&str, Option<String>); N]) -> String {
    let said = said
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    Value::Object(said.collect::<Map<_, _>>()).to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn call(line: &str) -> (Method, String, String) {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Webhooks {
            command: Some(command),
        }) = args.command
        else {
            panic!("{line} is not about webhooks");
        };
        let call = webhooks(command);
        assert_eq!(call.needs, Needs::Everything);
        (call.method, call.path, call.body.unwrap_or_default())
    }

    #[test]
    fn a_command_is_a_call() {
        for (line, method, path, body) in [
            (
                "aio webhooks endpoints list --account acct_1",
                Method::GET,
                "/admin/webhooks/endpoints?limit=1000&account_id=acct_1",
                "",
            ),
            (
                "aio webhooks endpoints enable ep_1",
                Method::PATCH,
                "/admin/webhooks/endpoints/ep_1",
                r#"{"disabled":false}"#,
            ),
            (
                "aio webhooks deliveries --state dead --type task.failed --since 2030-01-31T12:00:00Z --json",
                Method::GET,
                "/admin/webhooks/deliveries?limit=100&state=dead&type=task.failed&since=2030-01-31T12%3A00%3A00Z",
                "",
            ),
            (
                "aio webhooks attempts dlv_1",
                Method::GET,
                "/admin/webhooks/deliveries/dlv_1",
                "",
            ),
            (
                "aio webhooks replay dlv_1",
                Method::POST,
                "/admin/webhooks/deliveries/dlv_1/replay",
                "",
            ),
            (
                "aio webhooks recover --since 2030-01-31T12:00:00Z --endpoint ep_1",
                Method::POST,
                "/admin/webhooks/deliveries/recover",
                r#"{"endpoint_id":"ep_1","since":"2030-01-31T12:00:00Z"}"#,
            ),
            (
                "aio webhooks test ep_1",
                Method::POST,
                "/admin/webhooks/endpoints/ep_1/test",
                "{}",
            ),
            (
                "aio webhooks rotate-secret ep_1 --overlap 0s",
                Method::POST,
                "/admin/webhooks/endpoints/ep_1/rotate-secret",
                r#"{"overlap":"0s"}"#,
            ),
            (
                "aio webhooks alert-secret",
                Method::GET,
                "/admin/webhooks/alert-secret",
                "",
            ),
        ] {
            // As JSON: the order of its members says nothing.
            let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
            let called = call(line);
            assert_eq!((called.0, called.1.as_str()), (method, path), "{line}");
            assert_eq!(json(&called.2), json(body), "{line}");
        }
        assert!(Args::try_parse_from(["aio", "webhooks", "recover"]).is_err());
    }

    #[test]
    fn with_nothing_behind_it_the_word_is_the_role() {
        let args = Args::try_parse_from(["aio", "webhooks", "--listen", "127.0.0.1:0"]).unwrap();
        let command = args.command;
        assert!(matches!(command, Some(Command::Webhooks { command: None })));
    }
}
