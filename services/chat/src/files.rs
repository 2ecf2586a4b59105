//! Files that customers have uploaded (`POST /files`) and that a request names in the place of an image's URL or of a document. Media keeps
//! them. They are looked at before anything is held, so that what cannot be used costs nobody anything; their bytes are read under the
//! hold, and stand in the request as if the customer had sent them: no provider sees an id of ours, and no adapter knows of files.
//!
//! So many requests at once read files, and one that a provider lets wait keeps nobody from reading: what is read has room of its own until
//! the request is answered or given up (`files/room.rs`).

pub(crate) mod room;

use std::{
    collections::{HashMap, HashSet},
    io::Write as _,
    ops::Range,
    sync::Arc,
};

use base64::{engine::general_purpose::STANDARD, write::EncoderStringWriter};
use bytes::Bytes;
use chassis::rpc::{self, Channel};
use domain::{Caller, FileId, Problem};
use futures::{StreamExt as _, future::try_join_all};
use proto::{
    Fault, Kind, code,
    media::v1::{
        File, GetFileRequest, ReadFileRequest, files_client::FilesClient,
        output_part::Part as Piece,
    },
};
use tokio::{sync::Semaphore, time::timeout};
use tracing::warn;

use self::room::{Room, Share};
use crate::{
    InputLimits, Service,
    fault::{internal, refused},
    plan::{Plan, read},
    request::{
        Refusal, Request,
        mention::{Mention, Part},
    },
};

/// When to come again while files cannot be read, or enough of them are.
const SOON: std::time::Duration = std::time::Duration::from_secs(1);
/// The only documents that models read.
const PDF: &str = "application/pdf";
/// What a document is called whose name is lost.
const NAMELESS: &str = "document.pdf";

/// The way to customers' files.
pub(crate) struct Files {
    client: FilesClient<Channel>,
    limits: InputLimits,
    /// Places of requests that read files.
    places: Semaphore,
    room: Arc<Room>,
}

/// What is known of a file that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    content_type: String,
    filename: String,
    bytes: u64,
}

/// A request in which its files stand.
pub(crate) struct Filled {
    pub(crate) body: Bytes,
    pub(crate) request: Request,
    /// Its room among all that were read.
    _share: Option<Share>,
}

/// What stands in a body between the bytes of two files.
struct Between<'b> {
    /// The customer's own.
    text: &'b str,
    /// What a file begins with.
    opening: String,
}

// === impl Files ===

impl Files {
    pub(crate) fn new(media: Channel, limits: InputLimits) -> Self {
        Self {
            client: FilesClient::new(media),
            places: Semaphore::new(limits.at_once),
            room: Room::new(limits.max_kept_bytes),
            limits,
        }
    }

    /// Looks at the files of a request.
    ///
    /// # Errors
    /// Those that are not there for this caller, are something else than what they are named as, or are too large or too many;
    /// SERVICE_UNAVAILABLE.
    pub(crate) async fn look(&self, plan: &Plan) -> Result<Vec<Known>, Fault> {
        let mentions = &plan.request.media.files;
        if mentions.is_empty() {
            return Ok(Vec::new());
        }
        if mentions.len() > self.limits.max_count {
            let allowed = format!("name at most {} files", self.limits.max_count);
            return Err(wrong(vec![Problem::invalid("messages", allowed)]));
        }
        let ids: HashSet<FileId> = mentions.iter().map(|mention| mention.id).collect();
        let looks = ids.into_iter().map(|id| self.look_at(&plan.caller, id));
        let found: HashMap<FileId, File> =
            try_join_all(looks).await?.into_iter().flatten().collect();
        let (mut known, mut problems) = (Vec::with_capacity(mentions.len()), Vec::new());
        for mention in mentions {
            let file = found.get(&mention.id).ok_or_else(|| gone(mention));
            match file.and_then(|file| self.check(mention, file)) {
                Ok(file) => known.push(file),
                Err(problem) => problems.push(problem),
            }
        }
        let bytes = known
            .iter()
            .fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        let most = self.limits.max_total_bytes;
        if bytes > most {
            // A file that is named twice is sent twice.
            let allowed = format!("name files of at most {most} bytes together");
            problems.push(Problem::invalid("messages", allowed));
        }
        if problems.is_empty() {
            Ok(known)
        } else {
            Err(wrong(problems))
        }
    }

    /// One file, if it is there.
    async fn look_at(&self, caller: &Caller, id: FileId) -> Result<Option<(FileId, File)>, Fault> {
        let request = GetFileRequest {
            context: Some(caller.into()),
            file_id: id.to_vec().into(),
        };
        let request = rpc::request(request, self.limits.lookup);
        match self.client.clone().get_file(request).await {
            Ok(file) => Ok(Some((id, file.into_inner()))),
            Err(status) => match Fault::from(status) {
                fault if fault.kind() == Kind::NotFound => Ok(None),
                fault => Err(away(&fault)),
            },
        }
    }

    fn check(&self, mention: &Mention, file: &File) -> Result<Known, Problem> {
        let (kind, most) = (file.content_type.as_str(), self.limits.max_bytes);
        let allowed = match mention.part {
            Part::Image if !kind.starts_with("image/") => {
                format!("name a picture, and this file is of type {kind}")
            }
            Part::Document | Part::NamedDocument if kind != PDF => {
                format!("name a PDF, and this file is of type {kind}: send text as text")
            }
            Part::Image | Part::Document | Part::NamedDocument if file.bytes > most => {
                format!("name a file of at most {most} bytes")
            }
            Part::Image | Part::Document | Part::NamedDocument => {
                return Ok(Known {
                    content_type: file.content_type.clone(),
                    filename: file.filename.clone(),
                    bytes: file.bytes,
                });
            }
        };
        Err(Problem::invalid(&*mention.param, allowed))
    }

    /// The request with its files in it; `None` where it names none.
    ///
    /// # Errors
    /// A file that was deleted since it was looked at; no room in time; SERVICE_UNAVAILABLE.
    pub(crate) async fn fill(
        &self,
        service: &Service,
        plan: &Plan,
    ) -> Result<Option<Filled>, Fault> {
        if plan.request.media.files.is_empty() {
            return Ok(None);
        }
        let encoded = plan.files.iter().map(Known::encoded);
        let encoded = encoded.fold(0_u64, u64::saturating_add);
        let overloaded = || Fault::of(code::OVERLOADED).retry_after(SOON);
        let share = self.room.take(&plan.caller, encoded);
        let share = share.ok_or_else(overloaded)?;
        let Ok(Ok(_place)) = timeout(self.limits.timeout, self.places.acquire()).await else {
            return Err(overloaded());
        };
        let body = timeout(self.limits.timeout, self.body(plan, encoded)).await;
        let body = body.map_err(|_elapsed| unreadable())??;
        with(service, plan, (body, Some(share))).map(Some)
    }

    /// The body with its files, which are so long in base64.
    async fn body(&self, plan: &Plan, encoded: u64) -> Result<Bytes, Fault> {
        let (between, rest) = pieces(plan)?;
        let openings = between.iter().map(|piece| piece.opening.len());
        let length = openings.fold(plan.body.len(), usize::saturating_add);
        let length = length.saturating_add(usize::try_from(encoded).unwrap_or(0));
        let mut body = String::with_capacity(length);
        let files = plan.request.media.files.iter().zip(&plan.files);
        let mut poured: HashMap<FileId, Range<usize>> = HashMap::new();
        for (piece, file) in between.iter().zip(files) {
            body.push_str(piece.text);
            body.push_str(&piece.opening);
            if let Some(there) = poured.get(&file.0.id) {
                body.extend_from_within(there.clone());
            } else {
                let start = body.len();
                self.pour(&plan.caller, file, &mut body).await?;
                poured.insert(file.0.id, start..body.len());
            }
            body.push('"');
        }
        body.push_str(rest);
        Ok(body.into())
    }

    /// Writes a file's bytes, as base64.
    async fn pour(
        &self,
        caller: &Caller,
        (mention, known): (&Mention, &Known),
        body: &mut String,
    ) -> Result<(), Fault> {
        let request = ReadFileRequest {
            context: Some(caller.into()),
            file_id: mention.id.to_vec().into(),
            start: None,
            end: None,
        };
        let request = rpc::request(request, self.limits.timeout);
        let missing = |status: tonic::Status| match Fault::from(status) {
            fault if fault.kind() == Kind::NotFound => wrong(vec![gone(mention)]),
            fault => away(&fault),
        };
        let read = self.client.clone().read_file(request).await;
        let mut parts = read.map_err(missing)?.into_inner();
        let mut encoder = EncoderStringWriter::from_consumer(body, &STANDARD);
        let mut left = known.bytes;
        while let Some(part) = parts.next().await {
            let Some(Piece::Data(data)) = part.map_err(missing)?.part else {
                continue;
            };
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            // Never more than was counted.
            left = left.checked_sub(length).ok_or_else(internal)?;
            encoder.write_all(&data).map_err(|_| internal())?;
        }
        encoder.into_inner();
        if left == 0 { Ok(()) } else { Err(unreadable()) }
    }
}

/// The request as its providers would see it, but for the bytes of its files: whether they have words for it can be told by this.
///
/// # Errors
/// When it cannot be read again, which is our mistake.
pub(crate) fn outlined(service: &Service, plan: &Plan) -> Result<Option<Filled>, Fault> {
    if plan.request.media.files.is_empty() {
        return Ok(None);
    }
    let (between, rest) = pieces(plan)?;
    let mut body = String::with_capacity(plan.body.len());
    for piece in between {
        body.push_str(piece.text);
        body.push_str(&piece.opening);
        body.push('"');
    }
    body.push_str(rest);
    with(service, plan, (body.into(), None)).map(Some)
}

/// Another body in the place of the plan's.
fn with(
    service: &Service,
    plan: &Plan,
    (body, share): (Bytes, Option<Share>),
) -> Result<Filled, Fault> {
    Ok(Filled {
        request: read(service, plan.surface, &body).map_err(|_| internal())?,
        body,
        _share: share,
    })
}

/// What stands before each file of a body, and behind the last of them.
fn pieces(plan: &Plan) -> Result<(Vec<Between<'_>>, &str), Fault> {
    let body = std::str::from_utf8(&plan.body).map_err(|_| internal())?;
    let (mut between, mut at) = (Vec::with_capacity(plan.files.len()), 0);
    for (mention, known) in plan.request.media.files.iter().zip(&plan.files) {
        let place = mention.place(&plan.body);
        between.push(Between {
            text: body.get(at..place.start).ok_or_else(internal)?,
            opening: known.opening(mention.part),
        });
        at = place.end;
    }
    Ok((between, body.get(at..).ok_or_else(internal)?))
}

// === impl Known ===

impl Known {
    /// Its bytes in base64.
    const fn encoded(&self) -> u64 {
        self.bytes.div_ceil(3).saturating_mul(4)
    }

    /// What stands before its bytes, in OpenAI's words.
    fn opening(&self, part: Part) -> String {
        let kind = &self.content_type;
        let data = format!("\"data:{kind};base64,");
        match part {
            Part::Image => data,
            Part::NamedDocument => format!("\"file_data\":{data}"),
            Part::Document => {
                let name = match self.filename.as_str() {
                    "" => NAMELESS,
                    name => name,
                };
                let name = serde_json::Value::from(name);
                format!("\"filename\":{name},\"file_data\":{data}")
            }
        }
    }
}

fn wrong(problems: Vec<Problem>) -> Fault {
    refused(Refusal::Problems(problems))
}

fn gone(mention: &Mention) -> Problem {
    let allowed = format!(
        "name a file that is kept for this key's account and mode: there is no {}",
        mention.id
    );
    Problem::invalid(&*mention.param, allowed)
}

/// Media cannot be asked. That it took too long is no reason to think that anything was paid.
fn away(fault: &Fault) -> Fault {
    warn!(
        code = fault.code.word,
        "media does not give a file that a request names"
    );
    match fault.kind() {
        Kind::Unavailable | Kind::Timeout | Kind::RateLimit => unreadable(),
        Kind::BadRequest
        | Kind::Authentication
        | Kind::InsufficientCredits
        | Kind::Permission
        | Kind::NotFound
        | Kind::Conflict
        | Kind::PayloadTooLarge
        | Kind::Unprocessable
        | Kind::Internal
        | Kind::Upstream => Fault::of(code::INTERNAL),
    }
}

fn unreadable() -> Fault {
    let message = "uploaded files cannot be read for a moment; nothing was charged";
    Fault::new(code::SERVICE_UNAVAILABLE, message).retry_after(SOON)
}

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        sync::{Arc, Mutex},
    };

    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span,
        subscriber::with_default,
    };

    use super::*;

    /// A log that keeps the codes that are written into it.
    #[derive(Clone, Default)]
    struct Codes(Arc<Mutex<Vec<String>>>);

    impl Visit for Codes {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "code" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        }
    }

    impl Subscriber for Codes {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn the_log_says_why_media_gives_no_file() {
        let codes = Codes::default();
        for (said, told) in [
            (code::OVERLOADED, code::SERVICE_UNAVAILABLE),
            (code::TIMEOUT, code::SERVICE_UNAVAILABLE),
            (code::INVALID_PARAMETER, code::INTERNAL),
        ] {
            let fault = with_default(codes.clone(), || away(&Fault::of(said)));
            assert_eq!(fault.code, told);
            let logged = codes.0.lock().unwrap().pop();
            assert_eq!(logged, Some(format!("{:?}", said.word)));
        }
    }
}
