//! Ids of others. Every route that takes an id, as the program itself lists them, is asked for what another account has, for what the same account has
//! in the other mode, for what nobody has and for what is no id: what is another's is answered as what is nobody's, byte for byte, and nothing has happened to anything.
//! A route that is added tomorrow is among them by itself, and fails here until it is said what it takes.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Api, Reply};

use crate::{
    say::image,
    tenant::{Tenant, Town},
    uploads::{PNG, upload},
};

/// What is sent where something must be.
const BODIES: [(&str, &str); 5] = [
    ("patch /keys/{id}", r#"{"rpm":5}"#),
    ("post /keys/{id}/rotate", r#"{"overlap":"1h"}"#),
    ("patch /webhooks/endpoints/{id}", r#"{"disabled":true}"#),
    (
        "post /webhooks/endpoints/{id}/rotate-secret",
        r#"{"overlap":"1h"}"#,
    ),
    (
        "post /webhooks/endpoints/{id}/recover",
        r#"{"since":"2030-01-31T12:00:00Z"}"#,
    ),
];
/// What is no id, in the place of one.
const NONSENSE: [&str; 4] = [
    "nonsense",
    "%27%3B%20drop%20table%20task",
    "%ff",
    "..%2f..%2fetc",
];
/// Routes whose ids are everybody's.
const EVERYBODYS: [&str; 2] = ["/models/", "/callbacks/"];

/// A route of the document.
struct Route {
    method: Method,
    path: String,
}

/// What a tenant has, by where it is found.
struct Possessions {
    ids: Vec<(&'static str, String)>,
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name].as_str();
    Ok(text.with_context(|| format!("no {name}"))?.to_owned())
}

// === impl Possessions ===

impl Possessions {
    /// One of everything, in test mode; an order is always live.
    async fn of(tenant: &Tenant, town: &Town) -> Result<Self> {
        let api = &tenant.test;
        let task = api.image(&image("a fox [sandbox delay=0s]")).await?;
        api.ended(&task).await?;
        let receipt = task.replacen("task_", "op_", 1);
        let kept = api
            .post(
                "/responses",
                &json!({ "model": "gemini", "input": "a fox" }),
            )
            .await?;
        let endpoint = json!({ "url": town.sink.url("/theirs") });
        let endpoint = api
            .post("/webhooks/endpoints", &endpoint)
            .await?
            .data(201)?;
        let endpoint = text(&endpoint, "endpoint_id")?;
        let tested = api
            .post(&format!("/webhooks/endpoints/{endpoint}/test"), &json!({}))
            .await?
            .data(202)?;
        let key = api.post("/keys", &json!({ "name": "theirs" })).await?;
        let order = tenant
            .live
            .post("/orders", &json!({ "pack": "small" }))
            .await?;
        let ids = vec![
            ("/tasks/", task),
            ("/operations/", receipt),
            ("/responses/", text(&kept.json()?, "id")?),
            ("/files/", upload(api, "theirs.png", PNG).await?),
            ("/webhooks/endpoints/", endpoint),
            ("/webhooks/deliveries/", text(&tested, "delivery_id")?),
            ("/keys/", text(&key.data(201)?, "key_id")?),
            ("/orders/", text(&order.data(201)?, "order_id")?),
        ];
        Ok(Self { ids })
    }

    /// The id that a path wants.
    fn id(&self, path: &str) -> Result<&str> {
        let found = self.ids.iter().find(|(place, _)| path.starts_with(place));
        let (_, id) = found.with_context(|| format!("nobody knows what {path} takes"))?;
        Ok(id)
    }
}

/// The customers' routes with an id in them.
async fn routes(api: &Api) -> Result<Vec<Route>> {
    let document = api.get("/openapi.json").await?.json()?;
    let paths = document["paths"].as_object().context("no paths")?;
    let mut routes = Vec::new();
    for (path, operations) in paths {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        let others =
            path.starts_with("/admin") || EVERYBODYS.iter().any(|own| path.starts_with(own));
        if !path.contains('{') || others {
            continue;
        }
        for method in operations.as_object().context("no operations")?.keys() {
            // What is said of all of them beside.
            if let Ok(method) = method.to_uppercase().parse::<Method>()
                && ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str())
            {
                let path = path.to_owned();
                routes.push(Route { method, path });
            }
        }
    }
    Ok(routes)
}

impl Route {
    async fn ask(&self, api: &Api, id: &str) -> Result<Reply> {
        let path = self.path.replace("{id}", id).replace("{n}", "0");
        let name = format!("{} {}", self.method.as_str().to_lowercase(), self.path);
        let body = BODIES.iter().find(|(route, _)| *route == name);
        let body = body.map_or("", |(_, body)| *body);
        let headers = [("content-type", "application/json")];
        api.send(self.method.clone(), &path, &headers, body).await
    }
}

/// An answer without what is different in each: the request's id, and the id that was asked for.
fn shown(reply: &Reply, id: &str) -> String {
    let text = String::from_utf8_lossy(&reply.body);
    let text = text.replace(reply.header("x-request-id"), "REQUEST");
    let text = text.replace(id, "ID");
    let mut names: Vec<&str> = reply.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    format!("{} {names:?} {text}", reply.status)
}

/// An id as nobody has it: another last character.
fn unknown(id: &str) -> String {
    let last = if id.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", id.get(..id.len() - 1).unwrap_or_default())
}

#[tokio::test]
async fn what_is_anothers_and_what_is_nobodys_are_the_same() -> Result<()> {
    let mut town = Town::of_this_run().await?;
    let (owner, stranger) = (town.settle("amsel").await?, town.settle("drossel").await?);
    let theirs = Possessions::of(&owner, &town).await?;
    let routes = routes(&owner.test).await?;
    ensure!(routes.len() > 15, "only {} routes", routes.len());
    for route in &routes {
        let id = theirs.id(&route.path)?;
        let nobodys = unknown(id);
        let first = route.ask(&stranger.test, &nobodys).await?;
        ensure!(
            first.status == 404,
            "{} {}: {first}",
            route.method,
            route.path
        );
        let expected = shown(&first, &nobodys);
        let (own, other) = if route.path.starts_with("/orders") {
            (&stranger.live, &owner.test)
        } else {
            (&stranger.test, &owner.live)
        };
        for api in [own, &stranger.live, other] {
            let reply = route.ask(api, id).await?;
            let found = shown(&reply, id);
            ensure!(
                found == expected,
                "{} {} of {id}: {found}\ninstead of {expected}",
                route.method,
                route.path
            );
        }
        for nonsense in NONSENSE {
            let reply = route.ask(own, nonsense).await?;
            reply.error(404, "not_found")?;
        }
    }
    // All of it is still there, and as it was.
    for route in routes.iter().filter(|route| route.method == Method::GET) {
        let api = if route.path.starts_with("/orders") {
            &owner.live
        } else {
            &owner.test
        };
        let reply = route.ask(api, theirs.id(&route.path)?).await?;
        ensure!(reply.status == 200, "{}: {reply}", route.path);
    }
    town.aio.finish().await
}
