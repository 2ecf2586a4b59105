//! What customers of the benchmarks ask. The model is one whose provider takes OpenAI's words: what is measured is the way of bytes that
//! are handed on.

/// A system and a user message of a few hundred bytes.
const SHORT: &str = r#"{"model":"gpt-6-1-sol","messages":[{"role":"system","content":"You are a patient assistant who answers questions about rivers, harbours and weather in plain words."},{"role":"user","content":"Which river carries the most water into the North Sea, and how does its level change over the year? Please answer in two sentences and name the month in which it stands highest."}],"temperature":0.7,"max_tokens":256}"#;
/// How a stream goes on after the model: the upstream reads the markers.
const STREAM: &str = r#""stream":true,"messages":[{"role":"user","content":"Which river carries the most water into the North Sea? @n=100@ @int=10@"}],"max_tokens":256}"#;
/// A stream that stays open: a chunk a second.
const OPEN: &str = r#""stream":true,"messages":[{"role":"user","content":"Tell me about rivers, slowly. @n=30@ @int=1000@"}],"max_tokens":256}"#;
/// A question for another model, whose provider does not answer within a day.
const HANGING: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"@lat=86400000@"}],"max_tokens":256}"#;
/// The model that is asked for.
pub(crate) const MODEL_NAME: &str = "gpt-6-1-sol";
const MODEL: &str = r#"{"model":"gpt-6-1-sol","#;
/// Events of a stream: its chunks, and what ends it.
pub(crate) const EVENTS: u32 = 101;
/// Bytes of a long prompt.
const PROMPT: usize = 62 * 1024;

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// A short question, a whole answer.
    Short,
    /// A long one, a whole answer.
    Prompt,
    /// A short one, and a stream of 100 chunks, one every 10 ms.
    Stream,
    /// A short one, and a stream of half a minute.
    Open,
    /// One that is never answered, of another provider's model.
    Hanging,
}

// === impl Body ===

impl Body {
    /// The JSON.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Short => SHORT.to_owned(),
            Self::Prompt => {
                let line = "The harbour master notes wind, swell and the \\\"height\\\" of the water every hour. ";
                let text: String = line.chars().cycle().take(PROMPT).collect();
                let text = text.trim_end_matches('\\');
                format!(
                    r#"{MODEL}"messages":[{{"role":"system","content":"You summarise logs."}},{{"role":"user","content":"{text}"}}],"max_tokens":256}}"#
                )
            }
            Self::Stream => format!("{MODEL}{STREAM}"),
            Self::Open => format!("{MODEL}{OPEN}"),
            Self::Hanging => HANGING.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_body_is_json() {
        for body in [Body::Short, Body::Prompt, Body::Stream, Body::Open] {
            let text = body.text();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json.get("model").unwrap(), MODEL_NAME);
        }
        assert!(Body::Prompt.text().len() > PROMPT);
    }
}
