//! Every field that takes a URL, as the program itself lists them: none leads inside, and what is refused holds nothing. A field that a
//! model learns tomorrow is among them by itself.
//!
//! For each field a request is made up that is good but for its URL, by asking for quotes and mending what is wrong with them; a field for
//! which none is found fails the test. Schemes and ports are as open as can be, so that what refuses is the rule for hosts.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use testkit::{Aio, Api, Reply, every_provider};

use crate::names::{Inside, Names};

/// What may be called, as far as anybody knows without a look at it.
const OUTSIDE: &str = "https://1.1.1.1/a.png?seconds=7";
/// How often a request is mended.
const MENDED: usize = 8;

fn zones(name: &str, _: usize) -> Vec<IpAddr> {
    let addresses: &[&str] = match name {
        "a-loopback.example" => &["127.0.0.1"],
        "aaaa-loopback.example" => &["::1"],
        "mixed.example" => &["93.184.216.34", "127.0.0.1"],
        "metadata.example" => &["169.254.169.254"],
        _ => &[],
    };
    addresses.iter().filter_map(|ip| ip.parse().ok()).collect()
}

/// One of each class of what may not be called.
fn classes(port: u16) -> Vec<String> {
    let inside = [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "localhost",
        "redis.internal",
        "a-loopback.example",
        "aaaa-loopback.example",
        "mixed.example",
        "user:pass@1.1.1.1",
    ];
    let inside = inside.iter().map(|host| format!("http://{host}:{port}/a"));
    let others = [
        "https://169.254.169.254/latest/meta-data/",
        "http://metadata.example/latest",
        "https://10.0.0.1/",
        "https://[64:ff9b::7f00:1]/",
        "https://1.1.1.1:22/",
        "ftp://1.1.1.1/",
        "file:///etc/passwd",
        "https://exa mple.com/",
    ];
    let long = format!("https://1.1.1.1/{}", "x".repeat(3_000));
    let others = others.iter().map(|url| (*url).to_owned());
    inside.chain(others).chain([long]).collect()
}

/// A program that serves live keys by every provider, none of which is there.
async fn start(names: &Names, inside: &Inside) -> Result<Aio> {
    let (variable, address) = names.variable();
    let ports = format!("443,80,{}", inside.port);
    let providers = every_provider("http://127.0.0.1:9/");
    let mut env = vec![
        ("AIO_EGRESS__ALLOW", ""),
        ("AIO_EGRESS__SCHEMES", "http,https"),
        ("AIO_EGRESS__PORTS", ports.as_str()),
        (variable, address.as_str()),
    ];
    let given = providers.iter();
    env.extend(given.map(|(name, value)| (name.as_str(), value.as_str())));
    Aio::with(&env).await
}

/// A place in a request.
#[derive(Debug)]
struct Field {
    param: Value,
    /// The field of an object of its list that takes the URL.
    within: Option<Value>,
}

/// The names of types that take a URL.
const INPUTS: [&str; 3] = ["url", "urls", "sound"];

// === impl Field ===

impl Field {
    /// All fields of a model that take URLs.
    fn all(model: &Value) -> Vec<Self> {
        let mut fields = Vec::new();
        if model["webhook"] == true {
            let param = json!({ "name": "callback_url", "type": "url" });
            fields.push(Self {
                param,
                within: None,
            });
        }
        for param in list(&model["parameters"]) {
            let takes = |param: &Value| INPUTS.iter().any(|kind| param["type"] == *kind);
            if takes(param) {
                let param = param.clone();
                fields.push(Self {
                    param,
                    within: None,
                });
            }
            for within in list(&param["fields"]).filter(|field| takes(field)) {
                let (param, within) = (param.clone(), Some(within.clone()));
                fields.push(Self { param, within });
            }
        }
        fields
    }

    fn name(&self) -> &str {
        self.param["name"].as_str().unwrap_or_default()
    }

    /// Puts a URL there.
    fn put(&self, body: &mut Value, url: &str) {
        let one = |param: &Value| {
            if param["type"] == "urls" {
                let count = param["min"].as_u64().unwrap_or(1).max(1);
                json!(vec![url; usize::try_from(count).unwrap_or(1)])
            } else {
                json!(url)
            }
        };
        let value = match &self.within {
            None => one(&self.param),
            Some(within) => {
                let mut object = required(&self.param["fields"]);
                object[within["name"].as_str().unwrap_or_default()] = one(within);
                json!([object])
            }
        };
        body[self.name()] = value;
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The smallest value that a parameter takes.
fn smallest(param: &Value) -> Value {
    let count = |name: &str| usize::try_from(param[name].as_u64().unwrap_or(1)).unwrap_or(1);
    match param["type"].as_str().unwrap_or_default() {
        "text" => json!("a fox in the snow".repeat(count("min").div_ceil(17).max(1))),
        "choice" => param["values"][0].clone(),
        "integer" | "number" => param["min"].clone(),
        "boolean" => json!(true),
        "urls" => json!(vec![OUTSIDE; count("min").max(1)]),
        "items" => json!(vec![required(&param["fields"]); count("min").max(1)]),
        _ => json!(OUTSIDE),
    }
}

fn required(params: &Value) -> Value {
    let needed = list(params).filter(|param| param["required"] == true);
    let members: Map<String, Value> = needed
        .filter_map(|param| Some((param["name"].as_str()?.to_owned(), smallest(param))))
        .collect();
    Value::Object(members)
}

/// The models under whose names a request is tried: its own, and those of its parts.
fn names(model: &Value) -> Vec<Value> {
    let parts = list(&model["parameters"]).filter(|param| param["name"] == "model");
    let parts = parts.flat_map(|param| list(&param["values"])).cloned();
    std::iter::once(model["id"].clone()).chain(parts).collect()
}

/// What is wrong with a request.
fn problems(reply: &Reply) -> Result<Vec<String>> {
    let error = reply.json()?["error"].clone();
    let params = list(&error["violations"]).map(|one| &one["param"]);
    let params = params.chain([&error["param"]]);
    let words = params.filter_map(|param| param.as_str()?.split(['[', '.']).next());
    Ok(words.map(str::to_owned).collect())
}

/// How a request is asked that names tasks.
struct Asker<'a> {
    api: &'a Api,
    /// An earlier task of each model, where there is one.
    tasks: &'a Value,
}

// === impl Asker ===

impl Asker<'_> {
    async fn quote(&self, route: &str, body: &Value) -> Result<Reply> {
        let quoted = json!({ "route": route, "body": body });
        self.api.post("/quote", &quoted).await
    }

    fn smallest(&self, param: &Value) -> Value {
        if param["type"] == "task" {
            let of = param["model"].as_str().unwrap_or_default();
            self.tasks[of].clone()
        } else {
            smallest(param)
        }
    }

    /// A request that is good, with a URL of the outside in the field; `None`: none was found.
    async fn good(&self, model: &Value, field: &Field) -> Result<Option<Value>> {
        let route = model["route"].as_str().context("no route")?;
        for name in names(model) {
            let mut body = json!({ "model": name });
            for param in list(&model["parameters"]).filter(|param| param["required"] == true) {
                let name = param["name"].as_str().context("no name")?;
                body[name] = self.smallest(param);
            }
            field.put(&mut body, OUTSIDE);
            for _ in 0..MENDED {
                let reply = self.quote(route, &body).await?;
                if reply.status == 200 {
                    return Ok(Some(body));
                }
                let problems = problems(&reply)?;
                let Some(wrong) = problems.iter().find(|param| *param != field.name()) else {
                    break;
                };
                let members = body.as_object_mut().context("no object")?;
                if members.remove(wrong).is_none() {
                    let mut params = list(&model["parameters"]);
                    let param = params.find(|param| param["name"] == **wrong);
                    let Some(param) = param else { break };
                    members.insert(wrong.clone(), self.smallest(param));
                }
            }
        }
        Ok(None)
    }
}

/// A refusal that names the field, and says nothing more of the URL than its kind.
fn refused(reply: &Reply, field: &str, url: &str) -> Result<()> {
    let named = || format!("{field} {url}: {reply}");
    ensure!(reply.status == 400, "{}", named());
    let error = reply.json()?["error"].clone();
    let code = error["code"].as_str().unwrap_or_default();
    ensure!(
        matches!(code, "forbidden_url" | "invalid_parameter"),
        "{}",
        named()
    );
    let param = error["param"].as_str().unwrap_or_default();
    ensure!(param.split(['[', '.']).next() == Some(field), "{}", named());
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(
        !message.contains("93.184") && !message.contains("127.0.0.1"),
        "{}",
        named()
    );
    Ok(())
}

/// A song that others can go on from.
async fn earlier(api: &Api) -> Result<Value> {
    let body = json!({ "model": "suno", "gpt_description_prompt": "a song [sandbox delay=0s]" });
    let data = api.post("/audio/music", &body).await?.data(202)?;
    let id = data["task_id"].as_str().context("no id")?;
    let done = api.ended(id).await?;
    ensure!(done["status"] == "completed", "{done}");
    Ok(json!({ "suno": id }))
}

#[tokio::test]
async fn no_field_of_any_model_leads_inside() -> Result<()> {
    let (names, inside) = (Names::start(zones).await?, Inside::open("127.0.0.1")?);
    let aio = start(&names, &inside).await?;
    let account = aio.account(100_000).await?;
    let (test, live) = (account.api.clone(), account.live(100_000).await?);
    let tasks = earlier(&test).await?;
    let before = [test.settled().await?, live.credits().await?];
    let models = live.get("/models").await?.json()?;
    let (mut tried, mut not_tried) = (0, Vec::new());
    let makes = |model: &&Value| model["chat"].is_null() && model["route"] != FORM;
    for model in list(&models["data"]).filter(makes) {
        let route = model["route"].as_str().context("no route")?;
        for field in Field::all(model) {
            // Inputs are looked at for live keys; callbacks for all, and what goes on from a task is at hand for test keys alone.
            let is_callback = field.name() == "callback_url";
            let api = if is_callback { &test } else { &live };
            let asker = Asker { api, tasks: &tasks };
            let Some(good) = asker.good(model, &field).await? else {
                not_tried.push(format!("{} {}", model["id"], field.name()));
                continue;
            };
            tried += 1;
            for url in classes(inside.port) {
                let mut body = good.clone();
                field.put(&mut body, &url);
                refused(&asker.quote(route, &body).await?, field.name(), &url)?;
                let reply = api.post(&format!("/{route}"), &body).await?;
                refused(&reply, field.name(), &url)?;
            }
        }
    }
    ensure!(
        not_tried.is_empty(),
        "no good request was found for {not_tried:?}"
    );
    ensure!(tried > 50, "only {tried} fields");
    let after = [test.credits().await?, live.credits().await?];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.open_holds, 0);
        assert_eq!(before.available, after.available);
    }
    inside.is_untouched()?;
    aio.finish().await
}

/// The route that takes a form, with a file and without a URL of one: recordings are paid by their seconds.
const FORM: &str = "audio/transcriptions";

/// Parts of messages that name a URL, those that nobody knows yet among them.
fn parts(url: &str) -> Vec<Value> {
    vec![
        json!({ "type": "image_url", "image_url": { "url": url } }),
        json!({ "type": "image_url", "image_url": url }),
        json!({ "type": "video_url", "video_url": { "url": url } }),
        json!({ "type": "audio_url", "audio_url": { "url": url } }),
        json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": url } }),
        json!({ "type": "file", "file": { "file_url": url } }),
        json!({ "type": "of_tomorrow", "of_tomorrow": { "frames": [{ "source": url }] } }),
    ]
}

#[tokio::test]
async fn no_part_of_a_message_leads_inside_whoever_would_answer() -> Result<()> {
    let (names, inside) = (Names::start(zones).await?, Inside::open("127.0.0.1")?);
    let aio = start(&names, &inside).await?;
    let live = aio.account(0).await?.live(1_000).await?;
    let models = live.get("/models").await?.json()?;
    let chats: Vec<&Value> = list(&models["data"])
        .filter(|model| model["route"] == "chat/completions")
        .collect();
    ensure!(chats.len() >= 4, "{chats:?}");
    for url in classes(inside.port) {
        for (number, part) in parts(&url).into_iter().enumerate() {
            // Each with another model, and over all URLs each with each.
            let model = &chats[(number + url.len()) % chats.len()]["id"];
            let content = json!([{ "type": "text", "text": "What is it?" }, part]);
            let body =
                json!({ "model": model, "messages": [{ "role": "user", "content": content }] });
            let quoted = json!({ "route": "chat/completions", "body": body });
            for (path, body) in [("/chat/completions", &body), ("/quote", &quoted)] {
                let error = live.post(path, body).await?.error(400, "forbidden_url");
                let error = error.with_context(|| format!("{part} {model}"))?;
                let param = error["param"].as_str().unwrap_or_default();
                ensure!(
                    param.starts_with("messages[0].content[1]."),
                    "{part}: {error}"
                );
            }
        }
        let source = json!({ "type": "url", "url": url });
        for kind in ["image", "document"] {
            let content = json!([{ "type": kind, "source": source }]);
            let body = json!({ "model": chats[0]["id"], "max_tokens": 9, "messages": [{ "role": "user", "content": content }] });
            let reply = live.post("/messages", &body).await?;
            ensure!(reply.status == 400, "{kind} {url}: {reply}");
        }
        let image = json!({ "type": "input_image", "image_url": url });
        let file = json!({ "type": "input_file", "file_url": url });
        for part in [image, file] {
            let body = json!({ "model": chats[0]["id"], "input": [{ "role": "user", "content": [part] }] });
            let reply = live.post("/responses", &body).await?;
            ensure!(reply.status == 400, "{part}: {reply}");
        }
        let reply = live
            .post("/webhooks/endpoints", &json!({ "url": url }))
            .await?;
        refused(&reply, "url", &url)?;
    }
    let credits = live.credits().await?;
    assert_eq!((credits.available, credits.open_holds), (1_000_000_000, 0));
    inside.is_untouched()?;
    aio.finish().await
}
