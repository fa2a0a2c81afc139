//! What is in front of several gateways: connections go to them in turn.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A load balancer, as simple as one can be. It has its address before there is anything behind it.
pub(crate) struct RoundRobin {
    pub(crate) address: SocketAddr,
    behind: Arc<Mutex<Vec<SocketAddr>>>,
}

impl RoundRobin {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behind: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let known = behind.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut known = known.lock().unwrap();
                if let Some(next) = known.first().copied() {
                    known.rotate_left(1);
                    thread::spawn(move || pass(client, next));
                }
            }
        });
        Self { address, behind }
    }

    /// From now on, connections go to these.
    pub(crate) fn lead_to(&self, behind: Vec<SocketAddr>) {
        *self.behind.lock().unwrap() = behind;
    }
}

/// Until either end closes it. A gateway that is not there is a connection that is closed.
fn pass(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    let (mut answers, mut asker) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut asker);
        let _ = asker.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}
