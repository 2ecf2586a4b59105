//! What may not be reached, as sockets see it: listeners at which nobody may knock, and a look at every address that is connected to.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;
use upstream::{Dial, EgressConfig, GuardedClient};

/// Servers of ours that are inside: on both loopback addresses, at the same ports.
pub(crate) struct Inside {
    listeners: Vec<TcpListener>,
    pub(crate) ports: Vec<u16>,
}

/// Every address that the guard has connected to.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Vec<SocketAddr>>>);

/// How many ports are open inside.
const PORTS: usize = 4;

// === impl Inside ===

impl Inside {
    pub(crate) fn open() -> Self {
        let mut inside = Self {
            listeners: Vec::new(),
            ports: Vec::new(),
        };
        while inside.ports.len() < PORTS {
            let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = v4.local_addr().unwrap().port();
            // A machine without IPv6 has nobody there to be reached either.
            let v6 = match TcpListener::bind(("::1", port)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
                v6 => v6.ok(),
            };
            for listener in std::iter::once(v4).chain(v6) {
                listener.set_nonblocking(true).unwrap();
                inside.listeners.push(listener);
            }
            inside.ports.push(port);
        }
        inside
    }

    pub(crate) fn port(&self) -> u16 {
        *self.ports.first().unwrap()
    }

    /// Nobody has connected to any of them. The system completes a connection before it is accepted, so that none is overlooked.
    pub(crate) fn is_untouched(&self) {
        for listener in &self.listeners {
            let accepted = listener.accept().map(|(_, peer)| peer);
            let nobody = accepted.as_ref().err().map(std::io::Error::kind);
            assert_eq!(nobody, Some(ErrorKind::WouldBlock), "{accepted:?}");
        }
    }
}

// === impl Watch ===

impl Watch {
    /// What was connected to since the last look.
    pub(crate) fn seen(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Connects to what is asked for.
    pub(crate) fn dial(&self) -> Dial {
        let watch = self.clone();
        Arc::new(move |address| {
            watch.0.lock().unwrap().push(address);
            Box::pin(TcpStream::connect(address))
        })
    }

    /// Connects to `other`, whatever is asked for.
    pub(crate) fn dial_to(&self, other: SocketAddr) -> Dial {
        let watch = self.clone();
        Arc::new(move |address| {
            watch.0.lock().unwrap().push(address);
            Box::pin(TcpStream::connect(other))
        })
    }

    pub(crate) fn client(&self, settings: serde_json::Value) -> GuardedClient {
        client_by(&self.dial(), settings)
    }
}

pub(crate) fn client_by(dial: &Dial, settings: serde_json::Value) -> GuardedClient {
    let config: EgressConfig = serde_json::from_value(settings).unwrap();
    GuardedClient::dialing(&config, dial).unwrap()
}
