//! A name server that says what a test wants.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// What the server knows about a name.
pub(crate) enum Zone {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// Another name, with that name's addresses.
    Alias(&'static str, Vec<IpAddr>),
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
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(socket, zones, counter));
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
            socket.send_to(&reply, peer).await.unwrap();
        }
    }
}

fn reply(query: &Message, zones: Zones, turns: &mut usize) -> Option<Vec<u8>> {
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
    Some(message.to_vec().unwrap())
}
