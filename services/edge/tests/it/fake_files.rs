//! Media's files, in memory: it takes whatever comes, and shows what came so far.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{Stream, stream};
use proto::{
    Fault, code,
    common::v1::Context,
    media::v1::{
        DeleteFileReply, DeleteFileRequest, File, GetFileRequest, ListFilesReply, ListFilesRequest,
        OutputHead, OutputPart, ReadFileRequest, UploadEnd, UploadHead, UploadPart, files_server,
        output_part, upload_part::Part,
    },
};
use tonic::{Request, Response, Status, Streaming};

/// The name of a file that is refused before any of its bytes came.
pub(crate) const REFUSED: &str = "refused.bin";

#[derive(Clone, Default)]
pub(crate) struct FakeFiles(Arc<Mutex<Shelf>>);

#[derive(Default)]
pub(crate) struct Shelf {
    files: BTreeMap<Bytes, (Context, File, Bytes)>,
    pub(crate) heads: Vec<UploadHead>,
    /// Bytes of files that have come, whole or not.
    pub(crate) bytes: usize,
    pub(crate) ends: Vec<UploadEnd>,
    /// Uploads that ended without their end.
    pub(crate) cut: usize,
}

/// An upload on its way.
struct Coming(FakeFiles);

impl Drop for Coming {
    fn drop(&mut self) {
        let mut shelf = self.0.shelf();
        shelf.cut = shelf.heads.len() - shelf.ends.len();
    }
}

impl Shelf {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl FakeFiles {
    pub(crate) fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.0.lock().unwrap()
    }

    /// Puts a file there.
    pub(crate) fn put(&self, owner: Context, file: File, bytes: Bytes) {
        let id = file.file_id.clone();
        self.shelf().files.insert(id, (owner, file, bytes));
    }

    /// What it says of unknown ones must not reach customers.
    fn find(&self, context: Option<&Context>, id: &Bytes) -> Result<(File, Bytes), Status> {
        let shelf = self.shelf();
        let (owner, file, bytes) = shelf
            .files
            .get(id)
            .ok_or_else(|| Fault::new(code::NOT_FOUND, "it is not in the table").param("x"))?;
        if is_theirs(owner, context) {
            Ok((file.clone(), bytes.clone()))
        } else {
            Err(Fault::new(code::NOT_FOUND, "it is another's").into())
        }
    }
}

/// Without a context, a link was the permission.
fn is_theirs(owner: &Context, context: Option<&Context>) -> bool {
    context.is_none_or(|asks| asks.account_id == owner.account_id && asks.mode == owner.mode)
}

#[tonic::async_trait]
impl files_server::Files for FakeFiles {
    async fn upload(
        &self,
        request: Request<Streaming<UploadPart>>,
    ) -> Result<Response<File>, Status> {
        let mut parts = request.into_inner();
        let Some(Part::Head(head)) = parts.message().await?.and_then(|part| part.part) else {
            return Err(Fault::of(code::INTERNAL).into());
        };
        self.shelf().heads.push(head.clone());
        if head.filename == REFUSED {
            return Err(Fault::new(code::FILE_ROOM_FULL, "no room for it").into());
        }
        let _coming = Coming(self.clone());
        let mut bytes = Vec::new();
        let end = loop {
            match parts
                .message()
                .await
                .ok()
                .flatten()
                .and_then(|part| part.part)
            {
                Some(Part::Data(data)) => {
                    self.shelf().bytes += data.len();
                    bytes.extend_from_slice(&data);
                }
                Some(Part::End(end)) => break end,
                Some(Part::Head(_)) | None => {
                    return Err(Fault::new(code::INVALID_PARAMETER, "it was cut").into());
                }
            }
        };
        let file = File {
            file_id: head.file_id,
            filename: head.filename,
            purpose: end.purpose.clone(),
            content_type: "text/plain".to_owned(),
            bytes: bytes.len().try_into().unwrap(),
            sha256: "abc".to_owned(),
            created_at: 5_700_000,
            expires_at: 3_605_700_000,
            ..File::default()
        };
        self.shelf().ends.push(end);
        self.put(head.context.unwrap(), file.clone(), bytes.into());
        Ok(Response::new(file))
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> Result<Response<File>, Status> {
        let request = request.into_inner();
        let found = self.find(request.context.as_ref(), &request.file_id);
        found.map(|(file, _)| Response::new(file))
    }

    async fn list_files(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesReply>, Status> {
        let request = request.into_inner();
        let shelf = self.shelf();
        let theirs = shelf.files.values().filter(|(owner, file, _)| {
            let purpose = request.purpose.is_empty() || request.purpose == file.purpose;
            purpose && is_theirs(owner, request.context.as_ref())
        });
        let mut files: Vec<File> = theirs.map(|(_, file, _)| file.clone()).collect();
        if !request.oldest_first {
            files.reverse();
        }
        if !request.after.is_empty() {
            let at = files.iter().position(|file| file.file_id == request.after);
            files.drain(..=at.unwrap());
        }
        files.truncate(request.limit.try_into().unwrap());
        Ok(Response::new(ListFilesReply { files }))
    }

    async fn delete_file(
        &self,
        request: Request<DeleteFileRequest>,
    ) -> Result<Response<DeleteFileReply>, Status> {
        let request = request.into_inner();
        self.find(request.context.as_ref(), &request.file_id)?;
        self.shelf().files.remove(&request.file_id);
        Ok(Response::new(DeleteFileReply {}))
    }

    type ReadFileStream = Pin<Box<dyn Stream<Item = Result<OutputPart, Status>> + Send>>;

    async fn read_file(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<Self::ReadFileStream>, Status> {
        let request = request.into_inner();
        let (file, bytes) = self.find(request.context.as_ref(), &request.file_id)?;
        let (start, end) = (
            request.start.unwrap_or(0),
            request.end.unwrap_or(file.bytes),
        );
        let head = output_part::Part::Head(OutputHead {
            content_type: file.content_type,
            bytes: file.bytes,
            sha256: file.sha256,
            start,
            end,
        });
        let data = bytes.slice(usize::try_from(start).unwrap()..usize::try_from(end).unwrap());
        let parts = [head, output_part::Part::Data(data)];
        let parts = parts.map(|part| Ok(OutputPart { part: Some(part) }));
        Ok(Response::new(Box::pin(stream::iter(parts))))
    }
}
