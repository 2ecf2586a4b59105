//! Media's files: those that a test has put there, read in pieces of odd length. It can be away, or forget a file between two questions.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use chassis::mint;
use domain::ids;
use futures::{Stream, StreamExt as _, stream};
use proto::{
    Fault, code,
    media::v1::{
        DeleteFileReply, DeleteFileRequest, File, GetFileRequest, ListFilesReply, ListFilesRequest,
        OutputHead, OutputPart, ReadFileRequest, UploadPart, files_server, output_part::Part,
    },
};
use tonic::{Request, Response, Status, Streaming};

/// What it does when it is asked for bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// Nobody can be asked for anything.
    Away,
    /// Files can be looked at, and are gone when they are read.
    Forgetful,
    /// Files can be looked at, and cannot be read.
    Broken,
    /// Half of a file comes.
    Short,
    /// Files can be looked at, and their bytes never come.
    Silent,
}

#[derive(Clone, Default)]
pub(crate) struct FakeFiles(Arc<Mutex<Shelf>>);

#[derive(Default)]
pub(crate) struct Shelf {
    files: HashMap<Bytes, (File, Bytes)>,
    pub(crate) mood: Mood,
    pub(crate) looks: usize,
    pub(crate) reads: usize,
}

impl FakeFiles {
    pub(crate) fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.0.lock().unwrap()
    }

    /// Puts a file there, and says its id.
    pub(crate) fn put(&self, name: &str, kind: &str, bytes: &[u8]) -> String {
        let id = mint::<ids::File>();
        let file = File {
            file_id: id.to_vec().into(),
            filename: name.to_owned(),
            content_type: kind.to_owned(),
            bytes: bytes.len().try_into().unwrap(),
            ..File::default()
        };
        let bytes = Bytes::copy_from_slice(bytes);
        self.shelf().files.insert(id.to_vec().into(), (file, bytes));
        id.to_string()
    }

    /// All of them are deleted.
    pub(crate) fn clear(&self) {
        self.shelf().files.clear();
    }

    fn find(&self, id: &Bytes) -> Result<(File, Bytes), Status> {
        let found = self.shelf().files.get(id).cloned();
        found.ok_or_else(|| Fault::new(code::NOT_FOUND, "it is not in the table").into())
    }
}

#[tonic::async_trait]
impl files_server::Files for FakeFiles {
    async fn upload(
        &self,
        _request: Request<Streaming<UploadPart>>,
    ) -> Result<Response<File>, Status> {
        Err(Status::unimplemented("chat uploads nothing"))
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> Result<Response<File>, Status> {
        self.shelf().looks += 1;
        if self.shelf().mood == Mood::Away {
            return Err(Status::unavailable("10.0.0.1 is away"));
        }
        let request = request.into_inner();
        assert_eq!(request.context.unwrap().account_id.len(), 16);
        let (file, _) = self.find(&request.file_id)?;
        Ok(Response::new(file))
    }

    async fn list_files(
        &self,
        _request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesReply>, Status> {
        Err(Status::unimplemented("chat lists nothing"))
    }

    async fn delete_file(
        &self,
        _request: Request<DeleteFileRequest>,
    ) -> Result<Response<DeleteFileReply>, Status> {
        Err(Status::unimplemented("chat deletes nothing"))
    }

    type ReadFileStream = Pin<Box<dyn Stream<Item = Result<OutputPart, Status>> + Send>>;

    async fn read_file(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<Self::ReadFileStream>, Status> {
        self.shelf().reads += 1;
        let (file, bytes) = self.find(&request.into_inner().file_id)?;
        let mood = self.shelf().mood;
        let bytes = match mood {
            Mood::Good | Mood::Away | Mood::Silent => bytes,
            Mood::Forgetful => return Err(Fault::new(code::NOT_FOUND, "it is gone").into()),
            Mood::Broken => return Err(Fault::of(code::OVERLOADED).into()),
            Mood::Short => bytes.slice(..bytes.len() / 2),
        };
        let head = Part::Head(OutputHead {
            content_type: file.content_type,
            bytes: file.bytes,
            ..OutputHead::default()
        });
        let data: Vec<_> = bytes.chunks(1001).map(Bytes::copy_from_slice).collect();
        let parts = std::iter::once(head).chain(data.into_iter().map(Part::Data));
        let parts = stream::iter(parts.map(|part| Ok(OutputPart { part: Some(part) })));
        Ok(Response::new(if mood == Mood::Silent {
            Box::pin(parts.take(1).chain(stream::pending()))
        } else {
            Box::pin(parts)
        }))
    }
}
