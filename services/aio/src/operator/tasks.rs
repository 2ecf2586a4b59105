//! `aio tasks`: the command line as calls of the admin routes.

use http::Method;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::{Call, Needs, get, post, print};
use crate::args::{Reach, Tasks};

/// The call of a command.
pub(super) fn tasks(command: Tasks) -> Call {
    let call = match command {
        Tasks::List {
            status,
            model,
            provider,
            account,
            older_than,
            limit,
            reach,
        } => {
            let filters = [
                ("status", status),
                ("model", model),
                ("provider", provider),
                ("account_id", account),
                ("older_than", older_than),
            ];
            get(&listed(limit, filters), reach, print::tasks)
        }
        Tasks::Show { task, reach } => get(&format!("/admin/tasks/{task}"), reach, print::task),
        Tasks::Requeue { task, force, reach } => {
            act(&task, "requeue", (&json!({ "force": force }), reach))
        }
        Tasks::Cancel { task, reach } => act(&task, "cancel", (&Value::Null, reach)),
        Tasks::Unknown(reach) => get("/admin/tasks/unknown", reach, print::unknown),
    };
    Call {
        needs: Needs::Everything,
        ..call
    }
}

fn listed(limit: u32, filters: [(&str, Option<String>); 5]) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    for (name, value) in filters {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    format!("/admin/tasks?{}", query.finish())
}

fn act(task: &str, verb: &str, (body, reach): (&Value, Reach)) -> Call {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let call = post(
        format!("/admin/tasks/{task}/{verb}"),
        body,
        reach,
        print::task,
    );
    Call {
        method: Method::POST,
        ..call
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command, Operator};

    fn call(line: &str) -> (Method, String, String) {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Operator(Operator::Tasks(command))) = args.command else {
            panic!("{line} is not about tasks");
        };
        let call = tasks(command);
        assert_eq!(call.needs, Needs::Everything);
        (call.method, call.path, call.body.unwrap_or_default())
    }

    #[test]
    fn a_command_is_a_call() {
        for (line, method, path, body) in [
            (
                "aio tasks list --status processing --older-than 10m --model a/b&c",
                Method::GET,
                "/admin/tasks?limit=100&status=processing&model=a%2Fb%26c&older_than=10m",
                "",
            ),
            (
                "aio tasks show task_1 --json",
                Method::GET,
                "/admin/tasks/task_1",
                "",
            ),
            (
                "aio tasks requeue task_1",
                Method::POST,
                "/admin/tasks/task_1/requeue",
                r#"{"force":false}"#,
            ),
            (
                "aio tasks requeue task_1 --force",
                Method::POST,
                "/admin/tasks/task_1/requeue",
                r#"{"force":true}"#,
            ),
            (
                "aio tasks cancel task_1",
                Method::POST,
                "/admin/tasks/task_1/cancel",
                "",
            ),
        ] {
            assert_eq!(call(line), (method, path.to_owned(), body.to_owned()));
        }
    }
}
