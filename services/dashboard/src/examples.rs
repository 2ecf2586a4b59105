//! A request as people send it, in four languages.

mod written;

use domain::catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, Model};
use serde_json::{Map, Value, json};

use self::written::{Words, written};
use crate::request;

/// One language's request.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) language: &'static str,
    /// The word for it in Markdown.
    pub(crate) fence: &'static str,
    pub(crate) code: String,
}

/// How a request is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// With what was asked for, as JSON.
    AtOnce,
    /// Event by event.
    Stream,
    /// With a file itself.
    File,
    /// By a task, which is looked at until it ends.
    ByTask,
}

/// A request that is to be written.
struct Asked<'a> {
    route: &'a str,
    base_url: &'a str,
    body: &'a Map<String, Value>,
    /// The body as JSON of several lines.
    pretty: String,
    answer: Answer,
}

/// The route whose tasks are answered once they have ended.
const LYRICS_ROUTE: &str = "audio/music/timestamped-lyrics";
/// That of those which are, where the answer's form is chosen.
const TRANSCRIPTIONS_ROUTE: &str = "audio/transcriptions";
/// That of those which are answered with the sound, where there is an `input`.
const SPEECH_ROUTE: &str = "audio/speech";
/// That whose answer is in Suno's words.
const COVER_ROUTE: &str = "audio/music/cover/generate";
/// What is asked of chat models in examples.
const QUESTION: &str = "Why is the sky blue?";

/// The body of a request for this model.
pub(crate) fn body(model: &Model) -> Map<String, Value> {
    let mut body = Map::from_iter([("model".to_owned(), json!(model.slug))]);
    match model.route.as_str() {
        CHAT_ROUTE => {
            let message = json!([{"role": "user", "content": QUESTION}]);
            body.insert("messages".to_owned(), message);
        }
        EMBEDDINGS_ROUTE => {
            body.insert("input".to_owned(), json!(QUESTION));
        }
        _ => {
            let made = request::complete(model, &Map::new());
            body.extend(made.map(|(sent, _)| sent).unwrap_or_default());
        }
    }
    body
}

/// The four, of the model's own example.
pub(crate) fn all(model: &Model, base_url: &str) -> Vec<Example> {
    of(model, &body(model), base_url)
}

/// The four, of any body for the model.
pub(crate) fn of(model: &Model, body: &Map<String, Value>, base_url: &str) -> Vec<Example> {
    let asked = Asked {
        route: &model.route,
        base_url,
        body,
        pretty: serde_json::to_string_pretty(body).unwrap_or_default(),
        answer: Answer::of(&model.route, body),
    };
    let of = |language, fence, code: String| Example {
        language,
        fence,
        code,
    };
    let (python, node) = if model.route == CHAT_ROUTE {
        (chat_python(&asked), chat_node(&asked))
    } else {
        (python(&asked), node(&asked))
    };
    vec![
        of("curl", "sh", curl(&asked)),
        of("Python", "python", python),
        of("Node", "js", node),
        of("Java", "java", java(&asked)),
    ]
}

fn curl(asked: &Asked<'_>) -> String {
    let (route, base_url) = (asked.route, asked.base_url);
    // Within single quotes of a shell a single quote is written so.
    let body = asked.pretty.replace('\'', r"'\''");
    let option = match asked.answer {
        Answer::AtOnce | Answer::ByTask => "",
        Answer::Stream => " -N",
        Answer::File => " -o speech",
    };
    let then = if asked.answer == Answer::ByTask {
        format!(
            "\n\n# answers 202 with the task's id; then, until its status is completed or failed:\n\
             curl {base_url}/tasks/TASK_ID -H \"Authorization: Bearer $AIO_KEY\""
        )
    } else {
        String::new()
    };
    format!(
        "curl{option} {base_url}/{route} \\\n  -H \"Authorization: Bearer $AIO_KEY\" \\\n  \
         -H \"Content-Type: application/json\" \\\n  -d '{body}'{then}"
    )
}

fn chat_python(asked: &Asked<'_>) -> String {
    let base_url = asked.base_url;
    let arguments = lines(asked.body, |name, value| {
        format!("    {name}={},\n", written(value, 4, Words::Python))
    });
    let print = if asked.answer == Answer::Stream {
        "for chunk in answer:\n    for choice in chunk.choices:\n        \
         print(choice.delta.content or \"\", end=\"\", flush=True)"
    } else {
        "print(answer.choices[0].message.content)"
    };
    format!(
        "# pip install openai\nimport os\nfrom openai import OpenAI\n\n\
         client = OpenAI(base_url=\"{base_url}\", api_key=os.environ[\"AIO_KEY\"])\n\
         answer = client.chat.completions.create(\n{arguments})\n{print}"
    )
}

fn chat_node(asked: &Asked<'_>) -> String {
    let base_url = asked.base_url;
    let arguments = lines(asked.body, |name, value| {
        format!("  {name}: {},\n", written(value, 2, Words::Json))
    });
    let print = if asked.answer == Answer::Stream {
        "for await (const chunk of answer) {\n  \
         process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n}"
    } else {
        "console.log(answer.choices[0].message.content);"
    };
    format!(
        "// npm install openai\nimport OpenAI from \"openai\";\n\n\
         const client = new OpenAI({{ baseURL: \"{base_url}\", apiKey: process.env.AIO_KEY }});\n\
         const answer = await client.chat.completions.create({{\n{arguments}}});\n{print}"
    )
}

/// The fields of a body, each as a line, or as lines.
fn lines(body: &Map<String, Value>, line: impl Fn(&str, &Value) -> String) -> String {
    body.iter().map(|(name, value)| line(name, value)).collect()
}

fn python(asked: &Asked<'_>) -> String {
    let (route, base_url, body) = (asked.route, asked.base_url, &asked.pretty);
    let id = asked.id();
    // JSON as a text, so that its words are not taken for Python's; a raw one, so that its backslashes stay.
    let head = format!(
        "# pip install requests\nimport os, time, requests\n\n\
         api = requests.Session()\n\
         api.headers[\"Authorization\"] = f\"Bearer {{os.environ['AIO_KEY']}}\"\n\
         api.headers[\"Content-Type\"] = \"application/json\"\n\n\
         answer = api.post(\"{base_url}/{route}\", data=r\"\"\"{body}\"\"\".encode())\n\
         answer.raise_for_status()\n"
    );
    let rest = match asked.answer {
        Answer::AtOnce | Answer::Stream => "print(answer.json())".to_owned(),
        Answer::File => "open(\"speech\", \"wb\").write(answer.content)".to_owned(),
        Answer::ByTask => format!(
            "task = {{\"task_id\": answer.json()[\"data\"][\"{id}\"], \"status\": \"queued\"}}\n\
             while task[\"status\"] not in (\"completed\", \"failed\"):\n    time.sleep(2)\n    \
             task = api.get(f\"{base_url}/tasks/{{task['task_id']}}\").json()[\"data\"]\n\
             print(task[\"response\"] or task[\"error\"])"
        ),
    };
    head + &rest
}

fn node(asked: &Asked<'_>) -> String {
    let (route, base_url, body) = (asked.route, asked.base_url, &asked.pretty);
    let id = asked.id();
    let import = if asked.answer == Answer::File {
        "import { writeFile } from \"node:fs/promises\";\n\n"
    } else {
        ""
    };
    let head = format!(
        "{import}const headers = {{\n  Authorization: `Bearer ${{process.env.AIO_KEY}}`,\n  \
         \"Content-Type\": \"application/json\",\n}};\n\
         const answer = await fetch(\"{base_url}/{route}\", {{\n  method: \"POST\",\n  headers,\n  \
         body: JSON.stringify({body}),\n}});\n"
    );
    let rest = match asked.answer {
        Answer::AtOnce | Answer::Stream => "console.log(await answer.json());".to_owned(),
        Answer::File => {
            "await writeFile(\"speech\", Buffer.from(await answer.arrayBuffer()));".to_owned()
        }
        Answer::ByTask => format!(
            "let task = {{ task_id: (await answer.json()).data.{id}, status: \"queued\" }};\n\
             while (![\"completed\", \"failed\"].includes(task.status)) {{\n  \
             await new Promise((wake) => setTimeout(wake, 2000));\n  \
             task = (await (await fetch(`{base_url}/tasks/${{task.task_id}}`, {{ headers }})).json()).data;\n}}\n\
             console.log(task.response.length ? task.response : task.error);"
        ),
    };
    head + &rest
}

fn java(asked: &Asked<'_>) -> String {
    let (route, base_url) = (asked.route, asked.base_url);
    // A text block has escapes of its own.
    let body = asked.pretty.replace('\\', "\\\\");
    let body = body.replace('\n', "\n        ");
    let (handler, print) = match asked.answer {
        Answer::AtOnce | Answer::ByTask => ("ofString()", "System.out.println(answer.body());"),
        Answer::Stream => ("ofLines()", "answer.body().forEach(System.out::println);"),
        Answer::File => (
            "ofFile(java.nio.file.Path.of(\"speech\"))",
            "System.out.println(answer.body());",
        ),
    };
    let then = if asked.answer == Answer::ByTask {
        "\n// 202 with a task_id: ask GET /tasks/{task_id} until its status is completed or failed."
    } else {
        ""
    };
    format!(
        "import java.net.URI;\nimport java.net.http.*;\n\n\
         var request = HttpRequest.newBuilder(URI.create(\"{base_url}/{route}\"))\n    \
         .header(\"Authorization\", \"Bearer \" + System.getenv(\"AIO_KEY\"))\n    \
         .header(\"Content-Type\", \"application/json\")\n    \
         .POST(HttpRequest.BodyPublishers.ofString(\"\"\"\n        {body}\"\"\"))\n    .build();\n\
         var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.{handler});\n\
         {print}{then}"
    )
}

// === impl Asked ===

impl Asked<'_> {
    /// What the id of the task is called in the answer.
    fn id(&self) -> &'static str {
        if self.route == COVER_ROUTE {
            "taskId"
        } else {
            "task_id"
        }
    }
}

// === impl Answer ===

impl Answer {
    /// How the API answers such a body at this route.
    fn of(route: &str, body: &Map<String, Value>) -> Self {
        match route {
            CHAT_ROUTE if body.get("stream") == Some(&json!(true)) => Self::Stream,
            CHAT_ROUTE | EMBEDDINGS_ROUTE | LYRICS_ROUTE => Self::AtOnce,
            TRANSCRIPTIONS_ROUTE if body.contains_key("response_format") => Self::AtOnce,
            SPEECH_ROUTE if body.contains_key("input") => Self::File,
            _ => Self::ByTask,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;

    use super::*;

    fn codes(slug: &str, body: &Value) -> Vec<String> {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find(slug).unwrap();
        let examples = of(model, body.as_object().unwrap(), "https://a.example/api/v1");
        examples.into_iter().map(|example| example.code).collect()
    }

    #[test]
    fn a_chat_is_written_with_the_words_of_each_language() {
        let messages = json!([{"role": "user", "content": "it's"}]);
        let body = json!({"model": "gemini", "messages": messages, "stream": true, "tools": null});
        for (code, parts) in codes("gemini", &body).iter().zip([
            ["curl -N ", r"it'\''s"],
            ["    stream=True,\n    tools=None,", "for chunk in answer:"],
            ["  stream: true,", "for await"],
            ["ofLines()", "\"content\": \"it's\""],
        ]) {
            assert!(parts.iter().all(|part| code.contains(part)), "{code}");
        }
    }

    #[test]
    fn what_is_answered_at_once_is_not_waited_for() {
        let speech = codes("tts-1", &json!({"model": "tts-1", "input": "Hello"}));
        assert!(speech.iter().all(|code| !code.contains("/tasks/")));
        assert!(speech[0].contains("-o speech"), "{speech:?}");
        let song = codes("suno", &json!({"model": "suno", "prompt": "x"}));
        assert!(song.iter().all(|code| code.contains("/tasks/")));
    }

    #[test]
    fn a_text_cannot_end_the_text_it_stands_in() {
        let codes = codes("flux-2", &json!({"prompt": "\\ \"\"\" ''"}));
        assert!(codes[0].contains(r"'\'''\''"), "{}", codes[0]);
        // As JSON writes it; and each backslash of that twice.
        let json = r#"\\ \"\"\" "#;
        assert!(codes[1].contains(json) && codes[2].contains(json));
        let twice = json.replace('\\', "\\\\");
        assert!(codes[3].contains(&twice), "{}", codes[3]);
    }
}
