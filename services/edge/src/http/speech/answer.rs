//! The sound of a task that has ended, as the request wanted it: its file, the samples in it, or either piece by piece as events.

use std::{convert::Infallible, ops::Range};

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use domain::TaskId;
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use http::HeaderMap;
use proto::{common::v1::Context, media::v1::ReadOutputRequest};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Content, Delivery, Form, not_yet};
use crate::{
    App, error,
    error::ApiError,
    http::{
        ended::Ended,
        file::{self, Asked as File},
        put,
    },
    sse,
};

/// What samples without a header are called: 24 000 a second, of 16 bits, one channel.
pub(super) const OF_SAMPLES: &str = "audio/pcm";
/// Bytes in which a file of samples says where they are.
const HEAD: u64 = 4_096;

/// What is said of a sound.
pub(super) enum Said {
    /// A piece of it.
    Piece(Bytes),
    /// All of it was said, and it has cost so much.
    Paid(Box<RawValue>),
}

/// A piece of a sound, as OpenAI's events have it.
#[derive(Serialize)]
struct Delta {
    r#type: &'static str,
    /// In base64.
    audio: String,
}

/// The end of a sound, as OpenAI's events have it.
#[derive(Serialize)]
struct Done {
    r#type: &'static str,
    usage: Usage,
    credits_consumed: Box<RawValue>,
}

/// The tokens of a sound. Characters are what is counted, and no tokens.
#[derive(Default, Serialize)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

/// Whose sound it is.
pub(super) struct Place<'a> {
    pub(super) context: Context,
    pub(super) task: TaskId,
    pub(super) request_id: &'a str,
}

impl App {
    /// The answer to a request in OpenAI's shape, whose task has ended as this view shows it: the sound.
    pub(super) async fn sound(
        &self,
        form: Form,
        place: Place<'_>,
        view: &[u8],
    ) -> Result<Response, ApiError> {
        let task = place.task;
        let credits = Ended::paid(view, || not_yet(task))?;
        let request = file::output(Some(place.context), task, 0);
        // It is made and paid for: no program may ask for it again by itself.
        let sound = match form.content {
            Content::File => file::serve(self, &HeaderMap::new(), File::Output(request)).await,
            Content::Samples => self.samples(request).await,
        };
        let mut sound = sound.map_err(|_| not_yet(task))?;
        if form.delivery == Delivery::Events {
            let pieces = sound.into_body().into_data_stream().map_ok(Said::Piece);
            let paid = stream::once(future::ready(Ok(Said::Paid(credits.clone()))));
            let said = pieces.map_err(move |_| not_yet(task)).chain(paid);
            sound = events(said, place.request_id.to_owned());
        }
        put(sound.headers_mut(), "x-aio-cost-credits", credits.get());
        Ok(sound)
    }

    /// The samples in a file of them.
    async fn samples(&self, request: ReadOutputRequest) -> Result<Response, ApiError> {
        let place = self.place_of_samples(request.clone()).await?;
        file::part(self, request, place, OF_SAMPLES).await
    }

    /// Where in a file of them they are.
    pub(super) async fn place_of_samples(
        &self,
        request: ReadOutputRequest,
    ) -> Result<Range<u64>, ApiError> {
        let head = file::beginning(self, request, HEAD).await?;
        samples(&head).ok_or_else(ApiError::internal)
    }
}

/// Where in a WAV file, which begins so, the samples are. One that does not say how many there are has some up to its end.
fn samples(head: &[u8]) -> Option<Range<u64>> {
    let form = head.strip_prefix(b"RIFF")?.get(4..)?;
    let mut rest = form.strip_prefix(b"WAVE")?;
    let mut at = 12_u64;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u64::from(u32::from_le_bytes(*length));
        at = at.checked_add(8)?;
        if name == b"data" {
            return Some(at..at.checked_add(length)?);
        }
        let filled = length.next_multiple_of(2);
        at = at.checked_add(filled)?;
        rest = after.get(usize::try_from(filled).ok()?..)?;
    }
}

/// A sound piece by piece, and then what it cost; an error event, where it breaks off.
pub(super) fn events<S>(said: S, request_id: String) -> Response
where
    S: Stream<Item = Result<Said, ApiError>> + Send + 'static,
{
    let told = told(said.boxed(), request_id).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(told));
    sse::set_headers(response.headers_mut());
    response
}

/// The events of a sound.
fn told<S>(said: S, request_id: String) -> impl Stream<Item = Bytes>
where
    S: Stream<Item = Result<Said, ApiError>> + Send + Unpin,
{
    stream::unfold(Some((said, request_id)), |state| async move {
        let (mut said, request_id) = state?;
        Some(match said.next().await? {
            Ok(Said::Piece(piece)) => {
                let delta = Delta {
                    r#type: "speech.audio.delta",
                    audio: STANDARD.encode(&piece),
                };
                (event(&delta), Some((said, request_id)))
            }
            Ok(Said::Paid(credits_consumed)) => {
                let done = Done {
                    r#type: "speech.audio.done",
                    usage: Usage::default(),
                    credits_consumed,
                };
                (event(&done), None)
            }
            Err(broken) => (framed(&error::json(broken.fault(), &request_id)), None),
        })
    })
}

fn event<T: Serialize>(event: &T) -> Bytes {
    // Texts and numbers alone always serialise.
    framed(&serde_json::to_vec(event).unwrap_or_default())
}

fn framed(data: &[u8]) -> Bytes {
    let mut buffer = BytesMut::new();
    sse::put_data(&mut buffer, data);
    buffer.freeze()
}

#[cfg(test)]
mod tests {
    use proto::code;

    use super::*;

    #[test]
    fn samples_are_found_behind_whatever_is_before_them() {
        let file = |chunks: &[(&[u8; 4], &[u8])]| {
            let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
            for (name, content) in chunks {
                file.extend_from_slice(*name);
                file.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
                file.extend_from_slice(content);
                file.resize(file.len().next_multiple_of(2), 0);
            }
            file
        };
        let form = (b"fmt ", &[0; 16][..]);
        for (head, place) in [
            (file(&[form, (b"data", &[1, 2])]), Some(44..46)),
            (
                file(&[form, (b"LIST", b"abc"), (b"data", &[1, 2, 3, 4])]),
                Some(56..60),
            ),
            // The head alone: the samples come later.
            (
                file(&[form, (b"data", &[7; 8])])[..44].to_vec(),
                Some(44..52),
            ),
            (file(&[form]), None),
            (b"ID3 a song of another kind".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(samples(&head), place);
        }
    }

    #[tokio::test]
    async fn a_sound_is_told_piece_by_piece() {
        let events = async |last: Result<Bytes, ApiError>| {
            let credits: Box<RawValue> = serde_json::from_str("1.5").unwrap();
            let said = [
                Ok(Said::Piece(Bytes::from_static(b"ab"))),
                last.map(Said::Piece),
                Ok(Said::Paid(credits)),
            ];
            let told = told(stream::iter(said), "req_1".to_owned());
            let told: Vec<Bytes> = told.collect().await;
            String::from_utf8(told.concat()).unwrap()
        };
        assert_eq!(
            events(Ok(Bytes::from_static(b"c"))).await,
            "data: {\"type\":\"speech.audio.delta\",\"audio\":\"YWI=\"}\n\n\
             data: {\"type\":\"speech.audio.delta\",\"audio\":\"Yw==\"}\n\n\
             data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":0,\"output_tokens\":0,\"total_tokens\":0},\"credits_consumed\":1.5}\n\n"
        );
        let broken = ApiError::new(code::TIMEOUT, "not yet");
        let error = String::from_utf8(error::json(broken.fault(), "req_1").to_vec()).unwrap();
        assert_eq!(
            events(Err(broken)).await,
            format!(
                "data: {{\"type\":\"speech.audio.delta\",\"audio\":\"YWI=\"}}\n\ndata: {error}\n\n"
            )
        );
    }
}
