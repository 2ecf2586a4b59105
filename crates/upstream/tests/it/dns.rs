//! A name server that says what a test wants.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// The longest reply in a datagram, as name servers have it.
const MAX_DATAGRAM: usize = 1_232;

/// What the server knows about a name.
pub(crate) enum Zone {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// Another name, with that name's addresses.
    Alias(&'static str, Vec<IpAddr>),
    /// Another name, which has to be asked for.
    Chain(&'static str),
    /// There is no such name.
    Missing,
    /// No answer at all.
    Silent,
}

/// From a name and how often it was asked for A records before, to what is known about it.
pub(crate) type Zones = fn(&str, usize) -> Zone;

/// A running name server; it ends when dropped.
pub(crate) struct NameServer {
    pub(crate) addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

// === impl NameServer ===

impl NameServer {
    pub(crate) async fn start(zones: Zones) -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // Somebody else's port is tried no further.
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let addr = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(socket, zones, counter));
        tasks.spawn(serve_long(listener, zones));
        Self {
            addr,
            asked,
            _tasks: tasks,
        }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(socket: UdpSocket, zones: Zones, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 2048];
    let mut turns = 0;
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        asked.fetch_add(1, Ordering::SeqCst);
        let query = Message::from_vec(buffer.get(..length).unwrap()).unwrap();
        if let Some(reply) = reply(&query, zones, &mut turns) {
            socket.send_to(&short(&query, reply), peer).await.unwrap();
        }
    }
}

/// By TCP, for what is too long for a datagram.
async fn serve_long(listener: TcpListener, zones: Zones) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut turns = 0;
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            let query = Message::from_vec(&query).unwrap();
            if let Some(reply) = reply(&query, zones, &mut turns) {
                let reply = reply.to_vec().unwrap();
                let length = u16::try_from(reply.len()).unwrap();
                stream.write_u16(length).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        }
    }
}

/// A reply as a datagram, which says so where it is cut.
fn short(query: &Message, reply: Message) -> Vec<u8> {
    let whole = reply.to_vec().unwrap();
    if whole.len() <= MAX_DATAGRAM {
        return whole;
    }
    let mut cut = Message::response(query.metadata.id, query.metadata.op_code);
    cut.metadata.truncation = true;
    cut.add_query(query.queries.first().unwrap().clone());
    cut.to_vec().unwrap()
}

fn reply(query: &Message, zones: Zones, turns: &mut usize) -> Option<Message> {
    let question = query.queries.first().unwrap();
    let name = question.name().clone();
    let wanted = question.query_type();
    let text = name.to_ascii().to_lowercase();
    let zone = zones(text.trim_end_matches('.'), *turns);
    if wanted == RecordType::A {
        *turns += 1;
    }
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_query(question.clone());
    let (owner, addresses) = match zone {
        Zone::Addresses(addresses) => (name, addresses),
        Zone::Alias(target, addresses) => {
            let target = Name::from_ascii(target).unwrap();
            let alias = RData::CNAME(CNAME(target.clone()));
            message.add_answer(Record::from_rdata(name, 0, alias));
            (target, addresses)
        }
        Zone::Chain(target) => {
            let target = Name::from_ascii(target).unwrap();
            let alias = RData::CNAME(CNAME(target.clone()));
            message.add_answer(Record::from_rdata(name, 0, alias));
            (target, Vec::new())
        }
        Zone::Missing => {
            message.metadata.response_code = ResponseCode::NXDomain;
            (name, Vec::new())
        }
        Zone::Silent => return None,
    };
    for address in addresses {
        let data = match address {
            IpAddr::V4(v4) if wanted == RecordType::A => RData::A(A(v4)),
            IpAddr::V6(v6) if wanted == RecordType::AAAA => RData::AAAA(AAAA(v6)),
            IpAddr::V4(_) | IpAddr::V6(_) => continue,
        };
        message.add_answer(Record::from_rdata(owner.clone(), 0, data));
    }
    Some(message)
}
