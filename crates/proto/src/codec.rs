//! How a message becomes bytes and bytes become a message: prost's codec, with buffers that begin small. A call between services is
//! mostly some hundred bytes, and each of a stream's many open ends keeps its buffer as long as the stream lasts.

use std::{io, marker::PhantomData};

use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

/// Bytes that a buffer begins with; it grows to what its messages need.
const BUFFER_BYTES: usize = 512;
/// Bytes of messages that are ready together and leave as one.
const YIELD_BYTES: usize = 32 * 1024;

/// The codec of all generated services.
#[derive(Debug)]
pub(crate) struct Small<T, U>(PhantomData<(T, U)>);

/// Writes messages, each with one look at how much room it needs.
#[derive(Debug)]
pub(crate) struct SmallEncoder<T>(PhantomData<T>);

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}

// === impl Small ===

impl<T, U> Default for Small<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Small<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = SmallEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> SmallEncoder<T> {
        SmallEncoder(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

// === impl SmallEncoder ===

impl<T: Message> Encoder for SmallEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        // There is room: it was just made.
        Ok(message.encode(buffer).map_err(io::Error::from)?)
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}
