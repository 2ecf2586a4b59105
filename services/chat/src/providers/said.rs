//! What a customer's messages say, in OpenAI's words, for adapters that translate them: wire types. Pure.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message: a wire type.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    pub(super) role: String,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<ToolCall<'a>>>,
    pub(super) tool_call_id: Option<String>,
    pub(super) refusal: Option<String>,
    #[serde(borrow)]
    pub(super) reasoning_details: Option<&'a RawValue>,
    /// What only some makers' models know.
    #[serde(borrow)]
    pub(super) extra_content: Option<&'a RawValue>,
}

/// An element of `tool_calls`: a wire type.
#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    pub(super) id: String,
    #[serde(borrow)]
    pub(super) function: Option<Called<'a>>,
    #[serde(borrow)]
    pub(super) extra_content: Option<&'a RawValue>,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct Called<'a> {
    pub(super) name: String,
    #[serde(borrow)]
    pub(super) arguments: Cow<'a, str>,
}

/// A part of a content: a wire type.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    Text {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Refusal {
        #[serde(borrow)]
        refusal: Cow<'a, str>,
    },
    ImageUrl {
        #[serde(borrow)]
        image_url: ImageUrl<'a>,
    },
    InputAudio {
        #[serde(borrow)]
        input_audio: Audio<'a>,
    },
    File {
        #[serde(borrow)]
        file: File<'a>,
    },
    #[serde(other)]
    Other,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct ImageUrl<'a> {
    #[serde(borrow)]
    pub(super) url: Cow<'a, str>,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct Audio<'a> {
    #[serde(borrow, default)]
    pub(super) data: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) format: Cow<'a, str>,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct File<'a> {
    #[serde(borrow, default)]
    pub(super) file_data: Cow<'a, str>,
    pub(super) filename: Option<String>,
}

/// The media type, without parameters, and the base64 of a data URL: `data:image/png;base64,…`.
pub(super) fn data_url(url: Cow<'_, str>) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    match url {
        Cow::Borrowed(url) => {
            let (media_type, data) = parts(url)?;
            Some((Cow::Borrowed(media_type), Cow::Borrowed(data)))
        }
        Cow::Owned(url) => {
            let (media_type, data) = parts(&url)?;
            Some((
                Cow::Owned(media_type.to_owned()),
                Cow::Owned(data.to_owned()),
            ))
        }
    }
}

fn parts(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = media_type.split(';').next().filter(|kind| !kind.is_empty());
    Some((media_type?, data))
}
