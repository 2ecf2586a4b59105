//! A name server of our own, and servers inside at which nobody may knock.

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{net::UdpSocket, task::JoinSet};

/// From a name, and how often its IPv4 addresses were asked for before, to its addresses; none: there is no such name.
pub(crate) type Zones = fn(&str, usize) -> Vec<IpAddr>;

/// A running name server; it ends when dropped.
pub(crate) struct Names {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Listeners on one address, or two, at the same port.
pub(crate) struct Inside {
    listeners: Vec<TcpListener>,
    pub(crate) port: u16,
}

/// Bytes of a message before its question.
const HEAD: usize = 12;
const A: [u8; 2] = [0, 1];
const AAAA: [u8; 2] = [0, 28];

// === impl Names ===

impl Names {
    pub(crate) async fn start(zones: Zones) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut buffer, mut turns) = ([0; 2_048], HashMap::new());
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let reply = buffer
                    .get(..length)
                    .and_then(|query| reply(query, zones, &mut turns));
                if let Some(reply) = reply {
                    // Whoever asked may have gone.
                    let _ = socket.send_to(&reply, peer).await;
                }
            }
        });
        Ok(Self {
            address,
            _tasks: tasks,
        })
    }

    /// The variable that has the program ask it.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        ("AIO_EGRESS__NAMESERVERS", self.address.to_string())
    }
}

fn reply(query: &[u8], zones: Zones, turns: &mut HashMap<String, usize>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut rest = query.get(HEAD..)?;
    loop {
        let (length, behind) = rest.split_first()?;
        let (label, behind) = behind.split_at_checked(usize::from(*length))?;
        rest = behind;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let kind: [u8; 2] = rest.get(..2)?.try_into().ok()?;
    let question = query.get(HEAD..query.len() - rest.len() + 4)?;
    let turn = turns.entry(labels.join(".")).or_default();
    let addresses = zones(&labels.join("."), *turn);
    if kind == A {
        *turn += 1;
    }
    let octets = addresses.iter().map(|address| match address {
        IpAddr::V4(v4) => (A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
    });
    let answers: Vec<Vec<u8>> = octets
        .filter(|(of, _)| *of == kind)
        .map(|(_, octets)| octets)
        .collect();
    let missing = u8::from(addresses.is_empty()) * 3;
    let count = u8::try_from(answers.len()).ok()?;
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | missing, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend(question);
    for octets in answers {
        // The name of the question, this kind, of the internet, not to be remembered.
        reply.extend([0xc0, 0x0c, kind[0], kind[1], 0, 1, 0, 0, 0, 0]);
        reply.extend([0, u8::try_from(octets.len()).ok()?]);
        reply.extend(octets);
    }
    Some(reply)
}

// === impl Inside ===

impl Inside {
    /// Behind this address, and behind `::1` where the machine has it.
    pub(crate) fn open(ip: &str) -> Result<Self> {
        for _ in 0..100 {
            let v4 = TcpListener::bind((ip, 0))?;
            let port = v4.local_addr()?.port();
            let v6 = match TcpListener::bind(("::1", port)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
                v6 => v6.ok(),
            };
            let listeners: Vec<_> = std::iter::once(v4).chain(v6).collect();
            for listener in &listeners {
                listener.set_nonblocking(true)?;
            }
            return Ok(Self { listeners, port });
        }
        anyhow::bail!("no port is free on both addresses")
    }

    /// Nobody has connected. The system completes a connection before it is accepted, so that none is overlooked.
    pub(crate) fn is_untouched(&self) -> Result<()> {
        for listener in &self.listeners {
            let accepted = listener.accept();
            let error = accepted.err().context("somebody connected inside")?;
            ensure!(error.kind() == ErrorKind::WouldBlock, "{error}");
        }
        Ok(())
    }
}
