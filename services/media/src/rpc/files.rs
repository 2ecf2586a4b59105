//! Uploaded files as others call for them: wire to domain, one call, domain to wire. No decisions.

use futures::{StreamExt as _, stream};
use proto::{
    Fault, code, context_from_wire, id_from_wire,
    media::v1::{
        self as wire, DeleteFileReply, DeleteFileRequest, GetFileRequest, ListFilesReply,
        ListFilesRequest, OutputHead, OutputPart, ReadFileRequest, UploadPart, files_server,
        output_part::Part, upload_part,
    },
};
use tonic::{Request, Response, Status, Streaming};
use tracing::info_span;

use super::{Parts, panicked, refuse};
use crate::{
    Error, Media,
    files::{self, File, Owner, Page},
    upload::{self, End, Head, Life, Piece},
};

/// Rows of a page, at most: those of a customer's, and one more.
const LONGEST_PAGE: u32 = 1001;

#[tonic::async_trait]
impl files_server::Files for Media {
    async fn upload(
        &self,
        request: Request<Streaming<UploadPart>>,
    ) -> Result<Response<wire::File>, Status> {
        let mut parts = request.into_inner();
        let head = head(parts.message().await?)?;
        let span = info_span!(
            "upload",
            file.id = %head.id,
            request.id = head.caller.request_id,
            otel.kind = "internal",
        );
        let pieces = parts.map(piece).boxed();
        // Who sends it may go away: what came of it is given up then, and not left lying.
        let media = self.clone();
        let work = async move { upload::upload(&media, head, pieces).await };
        let uploaded = self.peers.tasks.run_to_end(span, work).await;
        let file = uploaded.ok_or_else(panicked)?.map_err(refuse)?;
        Ok(Response::new(file.into()))
    }

    async fn get_file(
        &self,
        request: Request<GetFileRequest>,
    ) -> Result<Response<wire::File>, Status> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let id = id_from_wire(&request.file_id)?;
        let file = files::get(self, Owner::from(&caller), id).await;
        Ok(Response::new(file.map_err(refuse)?.into()))
    }

    async fn list_files(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesReply>, Status> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let after = Some(&request.after).filter(|after| !after.is_empty());
        let page = Page {
            purpose: request.purpose,
            after: after.map(|after| id_from_wire(after)).transpose()?,
            limit: request.limit.clamp(1, LONGEST_PAGE),
            oldest_first: request.oldest_first,
        };
        let files = files::list(self, Owner::from(&caller), page).await;
        let files = files.map_err(refuse)?;
        Ok(Response::new(ListFilesReply {
            files: files.into_iter().map(Into::into).collect(),
        }))
    }

    async fn delete_file(
        &self,
        request: Request<DeleteFileRequest>,
    ) -> Result<Response<DeleteFileReply>, Status> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let id = id_from_wire(&request.file_id)?;
        let media = self.clone();
        let span = info_span!("delete", file.id = %id, otel.kind = "internal");
        let work = async move { files::delete(&media, Owner::from(&caller), id).await };
        let deleted = self.peers.tasks.run_to_end(span, work).await;
        deleted.ok_or_else(panicked)?.map_err(refuse)?;
        Ok(Response::new(DeleteFileReply {}))
    }

    type ReadFileStream = Parts;

    async fn read_file(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<Parts>, Status> {
        let request = request.into_inner();
        let id = id_from_wire(&request.file_id)?;
        let file = match request.context {
            Some(context) => {
                let caller = context_from_wire(Some(context))?;
                files::get(self, Owner::from(&caller), id).await
            }
            None => files::linked(self, id).await,
        };
        let file = file.map_err(refuse)?;
        let end = request.end.unwrap_or(file.bytes).min(file.bytes);
        let start = request.start.unwrap_or(0).min(end);
        let head = OutputHead {
            content_type: file.content_type,
            bytes: file.bytes,
            sha256: file.sha256,
            start,
            end,
        };
        let head = stream::iter([Ok(OutputPart {
            part: Some(Part::Head(head)),
        })]);
        if start == end {
            return Ok(Response::new(Box::pin(head)));
        }
        let data = self
            .kept
            .uploads
            .read(id, start..end)
            .await
            .map_err(refuse)?;
        let data = data.map(|part| {
            Ok(OutputPart {
                part: Some(Part::Data(part.map_err(refuse)?)),
            })
        });
        Ok(Response::new(Box::pin(head.chain(data))))
    }
}

/// What a call begins with.
fn head(part: Option<UploadPart>) -> Result<Head, Status> {
    let Some(UploadPart {
        part: Some(upload_part::Part::Head(head)),
    }) = part
    else {
        return Err(Fault::of(code::INTERNAL).into());
    };
    Ok(Head {
        caller: context_from_wire(head.context)?,
        id: id_from_wire(&head.file_id)?,
        filename: head.filename,
        most_bytes: Some(head.most_bytes).filter(|most| *most > 0),
    })
}

fn piece(part: Result<UploadPart, Status>) -> Result<Piece, Error> {
    // Whose call breaks off has left.
    let part = part.map_err(|_gone| upload::cut())?;
    match part.part {
        Some(upload_part::Part::Data(data)) => Ok(Piece::Data(data)),
        Some(upload_part::Part::End(end)) => Ok(Piece::End(End {
            life: match (end.briefly, end.expires_after) {
                (true, _) => Life::Brief,
                (false, 0) => Life::Usual,
                (false, seconds) => Life::Seconds(seconds),
            },
            purpose: end.purpose,
        })),
        Some(upload_part::Part::Head(_)) | None => Err(Fault::of(code::INTERNAL).into()),
    }
}

// === impl File ===

impl From<File> for wire::File {
    fn from(file: File) -> Self {
        Self {
            file_id: file.id.to_vec().into(),
            filename: file.filename,
            purpose: file.purpose,
            content_type: file.content_type,
            bytes: file.bytes,
            sha256: file.sha256,
            created_at: file.created_at,
            expires_at: file.expires_at,
            width: file.size.map_or(0, |(width, _)| width),
            height: file.size.map_or(0, |(_, height)| height),
            duration_millis: file.millis.unwrap_or(0),
        }
    }
}
