//! A chat request, read as far as the sandbox answers to it. Pure. Fields it does not know are left alone.

use super::wire::{Body, Choice, Message, Role};
use crate::{
    bill,
    words::{self, Form, clipped, listed},
};

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) delivery: Delivery,
    /// The most tokens of the answer.
    pub(super) limit: Option<u32>,
    pub(super) form: Form,
    /// The function that has to be called.
    pub(super) call: Option<String>,
    pub(super) prompt_tokens: u32,
    /// What arrived, in words.
    pub(super) echo: String,
    /// The text of the last user message, where the directive is.
    pub(super) steering: String,
    pub(super) prompt_hash: String,
}

/// How the answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Stream(UsageEvent),
}

/// Whether a stream ends with the usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsageEvent {
    Sent,
    Left,
}

/// Why a request is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) param: Option<&'static str>,
    pub(super) code: Option<&'static str>,
}

/// The longest name of a model.
const MAX_MODEL: usize = 256;

/// Reads a request.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Asked, Problem> {
    let body: Body = serde_json::from_slice(body).map_err(|error| Problem {
        message: format!("The request cannot be read: {error}."),
        param: None,
        code: None,
    })?;
    body.check()?;
    Ok(Asked {
        delivery: body.delivery(),
        limit: body.limit(),
        form: body.form(),
        call: body.call()?,
        prompt_tokens: body.prompt_tokens(),
        echo: body.echo(),
        steering: body.steering(),
        prompt_hash: bill::hash(&body.transcript()),
        model: body.model,
    })
}

// === impl Body ===

impl Body {
    fn check(&self) -> Result<(), Problem> {
        if self.model.is_empty() || self.model.len() > MAX_MODEL {
            return Err(Problem::value("model", "must be a model's name"));
        }
        if self.messages.is_empty() {
            return Err(Problem::value("messages", "must have at least one message"));
        }
        if self.limit() == Some(0) {
            return Err(Problem::value("max_tokens", "must be at least 1"));
        }
        if self.n.is_some_and(|n| n != 1) {
            return Err(Problem::value(
                "n",
                "must be 1: the sandbox gives one choice",
            ));
        }
        if self.stream_options.is_some() && self.stream != Some(true) {
            return Err(Problem::value("stream_options", "is for streams only"));
        }
        Ok(())
    }

    fn delivery(&self) -> Delivery {
        let options = self.stream_options.as_ref();
        match (
            self.stream,
            options.and_then(|options| options.include_usage),
        ) {
            (Some(true), Some(true)) => Delivery::Stream(UsageEvent::Sent),
            (Some(true), _) => Delivery::Stream(UsageEvent::Left),
            _ => Delivery::Whole,
        }
    }

    fn limit(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    fn form(&self) -> Form {
        match self
            .response_format
            .as_ref()
            .map(|kind| kind.r#type.as_str())
        {
            Some("json_object" | "json_schema") => Form::Json,
            _ => Form::Text,
        }
    }

    /// The function to call: the named one, or with `required` the first there is.
    fn call(&self) -> Result<Option<String>, Problem> {
        let names = self.functions();
        let name = match &self.tool_choice {
            Some(Choice::Word(word)) if word == "required" => names.first().cloned(),
            Some(Choice::Named {
                function: Some(named),
            }) => names.into_iter().find(|name| *name == named.name),
            _ => return Ok(None),
        };
        match name {
            Some(name) => Ok(Some(name)),
            None => Err(Problem::value(
                "tool_choice",
                "asks for a function that `tools` has not",
            )),
        }
    }

    /// The names of the functions among the tools.
    fn functions(&self) -> Vec<String> {
        let tools = self.tools.iter().flatten();
        let names = tools.filter_map(|tool| tool.function.as_ref()?.get("name")?.as_str());
        names.map(str::to_owned).collect()
    }

    /// A token for four bytes of all texts, tools and tool calls together, and a fixed sum for each other part.
    fn prompt_tokens(&self) -> u32 {
        let texts: usize = self
            .messages
            .iter()
            .flat_map(Message::texts)
            .map(str::len)
            .sum();
        let calls = self
            .messages
            .iter()
            .filter_map(|message| message.tool_calls.as_ref());
        let tools = self
            .tools
            .iter()
            .flatten()
            .filter_map(|tool| tool.function.as_ref());
        let json: usize = calls.chain(tools).map(|json| json.to_string().len()).sum();
        let media = self.messages.iter().flat_map(Message::media).count();
        words::prompt_tokens(texts + json, media)
    }

    fn echo(&self) -> String {
        let roles = self.messages.iter().map(|message| message.role.as_str());
        let parts = self.messages.iter().flat_map(Message::kinds);
        let mut echo = format!("Sandbox reply. Model: {}.", self.model);
        echo.push_str(&listed(" Messages", roles));
        echo.push_str(&listed(" Parts", parts));
        let functions = self.functions();
        if !functions.is_empty() {
            echo.push_str(&listed(" Tools", functions.iter().map(String::as_str)));
        }
        if let Some(kind) = &self.response_format {
            echo.push_str(&format!(" Response format: {}.", clipped(&kind.r#type)));
        }
        if let Some(effort) = &self.reasoning_effort {
            echo.push_str(&format!(" Reasoning effort: {}.", clipped(effort)));
        }
        echo
    }

    fn steering(&self) -> String {
        let user = self
            .messages
            .iter()
            .rfind(|message| message.role == Role::User);
        user.map(|message| message.texts().collect::<Vec<_>>().join("\n"))
            .unwrap_or_default()
    }

    /// All texts with their roles, for the hash.
    fn transcript(&self) -> String {
        let mut transcript = String::new();
        for message in &self.messages {
            transcript.push_str(message.role.as_str());
            for text in message.texts() {
                transcript.push('\n');
                transcript.push_str(text);
            }
            transcript.push('\n');
        }
        transcript
    }
}

// === impl Problem ===

impl Problem {
    pub(super) fn value(param: &'static str, text: &str) -> Self {
        Self {
            message: format!("'{param}' {text}."),
            param: Some(param),
            code: Some("invalid_value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(body: &Value) -> Result<Asked, Problem> {
        read(body.to_string().as_bytes())
    }

    #[test]
    fn the_smallest_request() {
        let asked =
            check(&json!({"model": "m", "messages": [{"role": "user", "content": "hi there"}]}));
        let asked = asked.unwrap();
        assert_eq!(asked.delivery, Delivery::Whole);
        assert_eq!(
            (asked.prompt_tokens, asked.limit, asked.call),
            (2, None, None)
        );
        assert_eq!(asked.steering, "hi there");
        assert_eq!(
            asked.echo,
            "Sandbox reply. Model: m. Messages: 1 (user). Parts: 1 (text)."
        );
    }

    #[test]
    fn everything_arrives() {
        let tool = json!({"type": "function", "function": {"name": "get_weather"}});
        let asked = check(&json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 9,
            "max_completion_tokens": 5, "response_format": {"type": "json_object"}, "reasoning_effort": "low",
            "tools": [tool], "tool_choice": "required", "unknown": {},
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "[sandbox outcome=fail]"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "text", "text": "more"},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c"}]},
            ],
        }))
        .unwrap();
        assert_eq!(asked.delivery, Delivery::Stream(UsageEvent::Sent));
        assert_eq!((asked.limit, asked.form), (Some(5), Form::Json));
        assert_eq!(asked.call.as_deref(), Some("get_weather"));
        assert_eq!(asked.steering, "[sandbox outcome=fail]\nmore");
        assert_eq!(
            asked.echo,
            "Sandbox reply. Model: m. Messages: 3 (system, user, assistant). Parts: 4 (text, text, image_url, text). \
             Tools: 1 (get_weather). Response format: json_object. Reasoning effort: low.",
        );
        // 8 + 22 + 4 bytes of text, 12 of the tool call, 22 of the tool, and one image.
        assert_eq!(asked.prompt_tokens, 258 + 17);
    }

    #[test]
    fn only_the_last_user_message_steers() {
        let asked = check(&json!({"model": "m", "messages": [
            {"role": "user", "content": "first"}, {"role": "user", "content": "second"},
            {"role": "assistant", "content": "third"},
        ]}));
        assert_eq!(asked.unwrap().steering, "second");
    }

    #[test]
    fn a_named_function_is_called() {
        let tools = json!([{"function": {"name": "a"}}, {"function": {"name": "b"}}]);
        let with = |choice: Value| {
            let messages = json!([{"role": "user", "content": "x"}]);
            let body =
                json!({"model": "m", "messages": messages, "tools": tools, "tool_choice": choice});
            check(&body).map(|asked| asked.call)
        };
        assert_eq!(with(json!("required")).unwrap().as_deref(), Some("a"));
        assert_eq!(with(json!("auto")).unwrap(), None);
        let named = |name| json!({"type": "function", "function": {"name": name}});
        assert_eq!(with(named("b")).unwrap().as_deref(), Some("b"));
        assert_eq!(with(named("c")).unwrap_err().param, Some("tool_choice"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let user = json!([{"role": "user", "content": "x"}]);
        let table = [
            (json!({"model": "", "messages": user}), Some("model")),
            (json!({"model": "m", "messages": []}), Some("messages")),
            (
                json!({"model": "m", "messages": user, "max_tokens": 0}),
                Some("max_tokens"),
            ),
            (json!({"model": "m", "messages": user, "n": 2}), Some("n")),
            (
                json!({"model": "m", "messages": user, "stream_options": {}}),
                Some("stream_options"),
            ),
            (json!({"messages": user}), None),
            (
                json!({"model": "m", "messages": [{"role": "robot", "content": "x"}]}),
                None,
            ),
            (
                json!({"model": "m", "messages": user, "max_tokens": -1}),
                None,
            ),
        ];
        for (body, param) in table {
            assert_eq!(check(&body).unwrap_err().param, param, "{body}");
        }
    }

    #[test]
    fn the_echo_is_bounded() {
        let messages = vec![json!({"role": "user", "content": "x"}); 1_000];
        let tool = json!({"function": {"name": "n".repeat(5_000)}});
        let asked = check(&json!({"model": "m", "messages": messages, "tools": [tool]})).unwrap();
        assert!(asked.echo.contains("Messages: 1000 (") && asked.echo.len() < 1_000);
    }
}
