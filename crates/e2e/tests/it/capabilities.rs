//! What each family of chat models takes, as the table of docs/api.md says it: every cell is asked.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Api};

use crate::uploads::{PDF, PNG, upload};

const DOCS: &str = include_str!("../../../../docs/api.md");
/// What stands above the table.
const HEAD: &str = "| asked for | `gpt-6-1-sol` | `gemini` | `claude-sonnet-5-5` |";
/// A picture of one pixel, or as good as.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";

/// A row of the table.
struct Row {
    asked: String,
    /// By model.
    cells: Vec<(String, String)>,
}

/// The table, as it is printed.
fn rows() -> Result<Vec<Row>> {
    let (_, table) = DOCS.split_once(HEAD).context("the table is not there")?;
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|').split(" | ");
        inner.map(|cell| cell.trim().to_owned()).collect()
    };
    let models: Vec<String> = cells(HEAD)
        .into_iter()
        .skip(1)
        .map(|name| name.replace('`', ""))
        .collect();
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let mut cells = cells(line).into_iter();
        let asked = cells.next().unwrap_or_default();
        Row {
            asked,
            cells: models.iter().cloned().zip(cells).collect(),
        }
    };
    Ok(lines.map(row).collect())
}

fn say(part: Value) -> Value {
    let text = json!({ "type": "text", "text": "what is it?" });
    json!({ "messages": [{ "role": "user", "content": [text, part] }] })
}

fn with_tool(more: &Value) -> Value {
    let mut body = json!({ "tools": [{ "type": "function", "function": {
        "name": "get_weather", "parameters": { "type": "object", "properties": {} },
    } }] });
    merge(&mut body, more);
    body
}

/// What is sent to ask for it; the files were uploaded.
fn body(asked: &str, (picture, pdf): (&str, &str)) -> Result<Value> {
    Ok(match asked {
        "`n` above 1" => json!({ "n": 2 }),
        "`stop`" => json!({ "stop": ["END"] }),
        "`seed`" => json!({ "seed": 7 }),
        "`temperature` above 1" => json!({ "temperature": 1.5 }),
        "`top_p`" => json!({ "top_p": 0.5 }),
        "`presence_penalty`, `frequency_penalty`" => {
            json!({ "presence_penalty": 0.5, "frequency_penalty": 0.5 })
        }
        "`logit_bias`" => json!({ "logit_bias": { "50256": -100 } }),
        "`logprobs`" => json!({ "logprobs": true, "top_logprobs": 2 }),
        "`tools`" => with_tool(&json!({})),
        "a `tool_choice` that names a tool" => with_tool(
            &json!({ "tool_choice": { "type": "function", "function": { "name": "get_weather" } } }),
        ),
        "`parallel_tool_calls: false`" => with_tool(&json!({ "parallel_tool_calls": false })),
        "`functions`" => json!({ "functions": [{ "name": "get_weather" }] }),
        "`response_format` `json_object`" => {
            json!({ "response_format": { "type": "json_object" } })
        }
        "`response_format` `json_schema`" => {
            let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } },
                                 "required": ["a"], "additionalProperties": false });
            json!({ "response_format": { "type": "json_schema",
                                         "json_schema": { "name": "answer", "strict": true, "schema": schema } } })
        }
        "`reasoning_effort`" => json!({ "reasoning_effort": "low" }),
        "`include_thoughts`" => json!({ "include_thoughts": true }),
        "a picture as a data URL" => {
            say(json!({ "type": "image_url", "image_url": { "url": PIXEL } }))
        }
        "a picture by its URL" => {
            let url = "https://example.com/a.png";
            say(json!({ "type": "image_url", "image_url": { "url": url } }))
        }
        "a PDF (`file_data`)" => say(json!({ "type": "file", "file": {
            "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=",
        } })),
        "a picture of `POST /files`" => {
            say(json!({ "type": "image_url", "image_url": { "url": picture } }))
        }
        "a PDF of `POST /files`" => say(json!({ "type": "file", "file": { "file_id": pdf } })),
        "`input_audio`" => say(
            json!({ "type": "input_audio", "input_audio": { "data": "UklGRg==", "format": "wav" } }),
        ),
        "`modalities` with `audio`" => {
            json!({ "modalities": ["text", "audio"], "audio": { "voice": "alloy", "format": "wav" } })
        }
        "`web_search_options`" => json!({ "web_search_options": {} }),
        "`stream_options.include_usage`" => {
            json!({ "stream": true, "stream_options": { "include_usage": true } })
        }
        other => anyhow::bail!("nobody knows how to ask for {other}"),
    })
}

fn merge(into: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// Asks for it, and says what is wrong with the answer.
async fn ask(
    api: &Api,
    files: (&str, &str),
    (model, cell): (&str, &str),
    row: &Row,
) -> Result<Option<String>> {
    let mut asked = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    merge(&mut asked, &body(&row.asked, files)?);
    let quote = json!({ "route": "chat/completions", "body": asked });
    let reply = api.post("/quote", &quote).await?;
    let fits = match cell {
        "yes" | "left out" => reply.status == 200,
        "no" => {
            // One of the fields that are asked for, or the place of the part.
            let error = reply.json()?["error"].to_string();
            let fields = row.asked.split('`').skip(1).step_by(2);
            let mut fields = fields.map(|field| field.split(':').next().unwrap_or(field));
            reply.status == 400
                && (fields.any(|field| error.contains(field))
                    || error.contains("messages[0].content[1]"))
        }
        other => anyhow::bail!("{other} is no cell"),
    };
    Ok((!fits).then(|| format!("{model}: {} is {cell}, and yet: {reply}", row.asked)))
}

#[tokio::test]
async fn each_cell_of_the_table_is_true() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1_000).await?.api;
    let picture = upload(&api, "a.png", PNG).await?;
    let pdf = upload(&api, "a.pdf", PDF).await?;
    let files = (picture.as_str(), pdf.as_str());
    let rows = rows()?;
    ensure!(rows.len() > 20, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        ensure!(row.cells.len() == 3, "{}", row.asked);
        for (model, cell) in &row.cells {
            wrong.extend(ask(&api, files, (model, cell), row).await?);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    aio.finish().await
}
