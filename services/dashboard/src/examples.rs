//! A request as people send it, in four languages.

use domain::catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, Model};
use serde_json::{Map, Value, json};

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
    AtOnce,
    ByTask,
}

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

/// The four.
pub(crate) fn all(model: &Model, base_url: &str) -> Vec<Example> {
    let body = body(model);
    let pretty = serde_json::to_string_pretty(&body).unwrap_or_default();
    let of = |language, fence, code: String| Example {
        language,
        fence,
        code,
    };
    let is_chat = model.route == CHAT_ROUTE;
    let answer = if is_chat || model.route == EMBEDDINGS_ROUTE {
        Answer::AtOnce
    } else {
        Answer::ByTask
    };
    let python = if is_chat {
        chat_python(model, base_url)
    } else {
        python(model, base_url, &pretty, answer)
    };
    let node = if is_chat {
        chat_node(model, base_url)
    } else {
        node(model, base_url, &pretty, answer)
    };
    vec![
        of("curl", "sh", curl(model, base_url, &pretty, answer)),
        of("Python", "python", python),
        of("Node", "js", node),
        of("Java", "java", java(model, base_url, &pretty, answer)),
    ]
}

fn curl(model: &Model, base_url: &str, body: &str, answer: Answer) -> String {
    let route = &model.route;
    // Within single quotes of a shell a single quote is written so.
    let body = body.replace('\'', r"'\''");
    let then = if answer == Answer::AtOnce {
        String::new()
    } else {
        format!(
            "\n\n# answers 202 with a task_id; then, until its status is completed or failed:\n\
             curl {base_url}/tasks/TASK_ID -H \"Authorization: Bearer $AIO_KEY\""
        )
    };
    format!(
        "curl {base_url}/{route} \\\n  -H \"Authorization: Bearer $AIO_KEY\" \\\n  \
         -H \"Content-Type: application/json\" \\\n  -d '{body}'{then}"
    )
}

fn chat_python(model: &Model, base_url: &str) -> String {
    let slug = &model.slug;
    format!(
        "# pip install openai\nimport os\nfrom openai import OpenAI\n\n\
         client = OpenAI(base_url=\"{base_url}\", api_key=os.environ[\"AIO_KEY\"])\n\
         answer = client.chat.completions.create(\n    model=\"{slug}\",\n    \
         messages=[{{\"role\": \"user\", \"content\": \"{QUESTION}\"}}],\n)\n\
         print(answer.choices[0].message.content)"
    )
}

fn chat_node(model: &Model, base_url: &str) -> String {
    let slug = &model.slug;
    format!(
        "// npm install openai\nimport OpenAI from \"openai\";\n\n\
         const client = new OpenAI({{ baseURL: \"{base_url}\", apiKey: process.env.AIO_KEY }});\n\
         const answer = await client.chat.completions.create({{\n  model: \"{slug}\",\n  \
         messages: [{{ role: \"user\", content: \"{QUESTION}\" }}],\n}});\n\
         console.log(answer.choices[0].message.content);"
    )
}

fn python(model: &Model, base_url: &str, body: &str, answer: Answer) -> String {
    let route = &model.route;
    // JSON as a text, so that its words are not taken for Python's.
    let head = format!(
        "# pip install requests\nimport os, time, requests\n\n\
         api = requests.Session()\n\
         api.headers[\"Authorization\"] = f\"Bearer {{os.environ['AIO_KEY']}}\"\n\
         api.headers[\"Content-Type\"] = \"application/json\"\n\n\
         answer = api.post(\"{base_url}/{route}\", data=r\"\"\"{body}\"\"\".encode())\n\
         answer.raise_for_status()\n"
    );
    let rest = if answer == Answer::AtOnce {
        "print(answer.json())".to_owned()
    } else {
        format!(
            "task = answer.json()[\"data\"]\n\
             while task[\"status\"] not in (\"completed\", \"failed\"):\n    time.sleep(2)\n    \
             task = api.get(f\"{base_url}/tasks/{{task['task_id']}}\").json()[\"data\"]\n\
             print(task[\"response\"] or task[\"error\"])"
        )
    };
    head + &rest
}

fn node(model: &Model, base_url: &str, body: &str, answer: Answer) -> String {
    let route = &model.route;
    let head = format!(
        "const headers = {{\n  Authorization: `Bearer ${{process.env.AIO_KEY}}`,\n  \
         \"Content-Type\": \"application/json\",\n}};\n\
         const answer = await fetch(\"{base_url}/{route}\", {{\n  method: \"POST\",\n  headers,\n  \
         body: JSON.stringify({body}),\n}});\n"
    );
    let rest = if answer == Answer::AtOnce {
        "console.log(await answer.json());".to_owned()
    } else {
        format!(
            "let task = (await answer.json()).data;\n\
             while (![\"completed\", \"failed\"].includes(task.status)) {{\n  \
             await new Promise((wake) => setTimeout(wake, 2000));\n  \
             task = (await (await fetch(`{base_url}/tasks/${{task.task_id}}`, {{ headers }})).json()).data;\n}}\n\
             console.log(task.response.length ? task.response : task.error);"
        )
    };
    head + &rest
}

fn java(model: &Model, base_url: &str, body: &str, answer: Answer) -> String {
    let route = &model.route;
    let indented = body.replace('\n', "\n        ");
    let then = if answer == Answer::AtOnce {
        ""
    } else {
        "\n// 202 with a task_id: ask GET /tasks/{task_id} until its status is completed or failed."
    };
    format!(
        "import java.net.URI;\nimport java.net.http.*;\n\n\
         var request = HttpRequest.newBuilder(URI.create(\"{base_url}/{route}\"))\n    \
         .header(\"Authorization\", \"Bearer \" + System.getenv(\"AIO_KEY\"))\n    \
         .header(\"Content-Type\", \"application/json\")\n    \
         .POST(HttpRequest.BodyPublishers.ofString(\"\"\"\n        {indented}\"\"\"))\n    .build();\n\
         var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());\n\
         System.out.println(answer.body());{then}"
    )
}
