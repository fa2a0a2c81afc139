//! The card in the virtual reader of a real pcscd, whose driver is that of the vsmartcard project
//! (`virtualsmartcard/src/vpcd`).
//!
//! The driver listens, and the card connects to it. While it is connected, there is a card in the reader. A message is
//! its length in two bytes, the high one first, and its content. Content of one byte is for the reader; any other is a
//! command.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::reader::{Reader, Refusal};
use super::transmit::Origin;
use super::{Daemon, Shared};

impl Daemon {
    /// Puts the card of the first reader into the virtual reader that listens on `address`, which is `HOST:PORT`, and
    /// does so again whenever that reader comes back. Events and faults work as usual. The daemon's own socket should
    /// not be used then, because two daemons would use one card.
    pub fn attach(&self, address: &str) {
        let (shared, address) = (Arc::clone(&self.shared), address.to_owned());
        let thread = thread::spawn(move || stay_attached(&shared, &address));
        self.keep(thread);
    }

    fn keep(&self, thread: JoinHandle<()>) {
        self.links.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(thread);
    }
}

/// The virtual reader holds one card.
const READER: usize = 0;

/// How long to wait before connecting again to a virtual reader that is not there.
const AGAIN: Duration = Duration::from_millis(50);

fn stay_attached(shared: &Shared, address: &str) {
    while wait_for_card(shared) {
        if let Ok(stream) = TcpStream::connect(address) {
            let _ = serve(shared, Arc::new(stream));
        }
        drop(shared.wait_at_most(shared.lock(), AGAIN));
    }
}

/// Waits until there is a card. `false` if the daemon is stopping.
fn wait_for_card(shared: &Shared) -> bool {
    let mut state = shared.lock();
    while !state.stopping && !state.readers[READER].has_responsive_card() {
        state = shared.wait_at_most(state, Duration::MAX);
    }
    !state.stopping
}

/// Serves the virtual reader until the card is taken out, or the reader is gone.
fn serve(shared: &Shared, stream: Arc<TcpStream>) -> io::Result<()> {
    {
        let mut state = shared.lock();
        if state.stopping || !state.readers[READER].has_responsive_card() {
            return Ok(());
        }
        state.link = Some(Arc::clone(&stream));
        state.send_event("vpcd attached");
    }
    let result = answer_messages(shared, &stream);
    let mut state = shared.lock();
    state.link = None;
    state.readers[READER].card.power_cycle();
    state.send_event("vpcd detached");
    result
}

fn answer_messages(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    const POWER_OFF: u8 = 0;
    const POWER_ON: u8 = 1;
    const RESET: u8 = 2;
    const ASK_FOR_ATR: u8 = 4;
    stream.set_nodelay(true)?;
    loop {
        let message = receive(stream)?;
        match message[..] {
            [ASK_FOR_ATR] => {
                let atr = shared.lock().readers[READER].atr.clone();
                send(stream, &atr)?;
            }
            [POWER_OFF | POWER_ON | RESET] => shared.lock().readers[READER].card.power_cycle(),
            [] | [_] => {}
            _ => send(stream, &exchange(shared, stream, &message)?)?,
        }
    }
}

/// The answer to a command. A PC/SC result that is no success cannot be told over this protocol. The connection is
/// closed then, which takes the card out of the reader.
fn exchange(shared: &Shared, stream: &TcpStream, command: &[u8]) -> io::Result<Vec<u8>> {
    let origin = Origin { conn: 0, client: stream, room: usize::from(u16::MAX) };
    let may = |reader: &Reader| -> Result<(), Refusal> { reader.check_link() };
    let answer = shared.exchange(READER, &origin, command, may);
    answer.ok().and_then(Result::ok).ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
}

fn receive(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    // The driver writes length and content separately, and would wait for an acknowledgement in between.
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_quickack(stream, true)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut content = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut content)?;
    Ok(content)
}

fn send(mut stream: &TcpStream, content: &[u8]) -> io::Result<()> {
    let length = u16::try_from(content.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), content].concat())
}
