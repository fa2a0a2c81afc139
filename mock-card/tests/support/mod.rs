//! A PC/SC client in a child process, which gets its commands line by line.

pub(crate) mod real_daemon;

use std::ffi::CStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use mock_card::{MockCard, hex};
use pcsc::{
    Attribute, Card, Context, Disposition, Error, PNP_NOTIFICATION, Protocols, ReaderState, Scope, ShareMode,
    State,
};

/// No step takes longer. One that does hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const TOLD: &str = "MOCK_CARD_TEST_CLIENT";
/// Stands before the answers, because the test harness writes lines, too.
const MARK: &str = "client: ";

/// The client, for the test.
pub(crate) struct Client {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Client {
    /// A client with a context.
    pub(crate) fn start(card: &MockCard) -> Self {
        Self::start_at(card.socket())
    }

    pub(crate) fn start_at(socket: &Path) -> Self {
        let mut client = Self::unconnected(socket);
        assert_eq!(client.ask("establish"), "ok");
        client
    }

    /// A client without a context, which has not sent anything to the daemon yet.
    pub(crate) fn unconnected(socket: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "client_process", "--nocapture"])
            .env(TOLD, "1")
            .env("PCSCLITE_CSOCK_NAME", socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once(MARK)
                    && sender.send(answer.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self { child, stdin, answers }
    }

    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").unwrap();
    }

    pub(crate) fn answer(&mut self) -> String {
        self.answers.recv_timeout(PATIENCE).expect("the client answers in time")
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Carries out commands until standard input ends, if this process is a client.
pub(crate) fn be_a_client_if_told() {
    if std::env::var_os(TOLD).is_none() {
        return;
    }
    let mut player = Player { context: None, card: None, seen: State::UNAWARE };
    while let Some(line) = next_line() {
        let result = player.obey(&line);
        say(result);
    }
}

struct Player {
    context: Option<Context>,
    card: Option<Card>,
    seen: State,
}

impl Player {
    fn obey(&mut self, line: &str) -> Result<String, Error> {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "establish" => {
                self.context = Some(Context::establish(Scope::User)?);
                Ok(String::new())
            }
            "readers" => self.readers(),
            "connect" => {
                self.card = Some(self.connect(argument)?);
                Ok(String::new())
            }
            "disconnect" => {
                let card = self.card.take().expect("connected");
                card.disconnect(disposition(argument)).map_err(|(_, error)| error)?;
                Ok(String::new())
            }
            "begin" => self.transaction(),
            "rival-transactions" => rival_transactions(self.context()),
            "serial" => self.serial(),
            "look-again" => self.look_again(),
            "look" | "wait" => self.wait(),
            "wait-for-reader" => self.wait_for_reader(),
            "wait-and-cancel" => self.wait_and_cancel(),
            _ => on_card(self.card.as_mut().expect("connected"), command, argument),
        }
    }

    fn context(&self) -> &Context {
        self.context.as_ref().expect("established")
    }

    /// Connects with a share mode, or with arguments that do not fit.
    fn connect(&self, how: &str) -> Result<Card, Error> {
        let (name, mode, protocols) = match how {
            "exclusive" => (reader(), ShareMode::Exclusive, Protocols::ANY),
            "direct" => (reader(), ShareMode::Direct, Protocols::UNDEFINED),
            "raw" => (reader(), ShareMode::Shared, Protocols::RAW),
            "t0" => (reader(), ShareMode::Shared, Protocols::T0),
            "no-protocol" => (reader(), ShareMode::Shared, Protocols::UNDEFINED),
            "unknown-reader" => (c"Gemalto", ShareMode::Shared, Protocols::ANY),
            _ => (reader(), ShareMode::Shared, Protocols::ANY),
        };
        self.context().connect(name, mode, protocols)
    }

    fn readers(&self) -> Result<String, Error> {
        // The crate does not tell an empty list from the error for one.
        match &self.context().list_readers_owned()?[..] {
            [] => Err(Error::NoReadersAvailable),
            names => Ok(names.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(",")),
        }
    }

    /// Carries out commands within a transaction, up to `end`.
    fn transaction(&mut self) -> Result<String, Error> {
        let mut transaction = self.card.as_mut().expect("connected").transaction()?;
        say(Ok(String::new()));
        while let Some(line) = next_line() {
            let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
            if command == "end" {
                return transaction
                    .end(disposition(argument))
                    .map(|()| String::new())
                    .map_err(|(_, error)| error);
            }
            say(on_card(&mut transaction, command, argument));
        }
        // Standard input has ended within the transaction.
        std::process::exit(0);
    }

    fn serial(&mut self) -> Result<String, Error> {
        let card = self.card.as_mut().expect("connected");
        let transaction = card.transaction()?;
        transmit(&transaction, "00A4040005A000000308")?;
        let serial = transmit(&transaction, "00F80000")?;
        transaction.end(Disposition::LeaveCard).map_err(|(_, error)| error)?;
        Ok(serial)
    }

    /// Asks for a change without waiting. Nothing has changed.
    fn look_again(&mut self) -> Result<String, Error> {
        let mut states = [ReaderState::new(reader(), State::UNAWARE)];
        self.context().get_status_change(Duration::ZERO, &mut states)?;
        states[0].sync_current_state();
        self.context().get_status_change(Duration::ZERO, &mut states)?;
        Ok(String::new())
    }

    /// Waits until the card is inserted or removed.
    fn wait(&mut self) -> Result<String, Error> {
        const THERE: State = State::PRESENT.union(State::EMPTY);
        loop {
            let mut states = [ReaderState::new(reader(), self.seen)];
            self.context().get_status_change(None, &mut states)?;
            let before = self.seen;
            self.seen = states[0].event_state();
            if before & THERE != self.seen & THERE {
                return Ok(if self.seen.contains(State::PRESENT) { "PRESENT" } else { "EMPTY" }.to_owned());
            }
        }
    }

    /// Waits until there is a reader. One that comes before the wait begins is found after a second.
    fn wait_for_reader(&self) -> Result<String, Error> {
        while self.readers() == Err(Error::NoReadersAvailable) {
            let mut states = [ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
            match self.context().get_status_change(Duration::from_secs(1), &mut states) {
                Ok(()) | Err(Error::Timeout) => {}
                Err(error) => return Err(error),
            }
        }
        self.readers()
    }

    fn wait_and_cancel(&mut self) -> Result<String, Error> {
        let (context, mut states) = (self.context().clone(), [ReaderState::new(reader(), State::UNAWARE)]);
        context.get_status_change(None, &mut states)?;
        states[0].sync_current_state();
        let (stop, stopped) = mpsc::channel::<()>();
        // Cancelling a wait that has not begun has no effect, so it is done again until it has one.
        let canceller = thread::spawn({
            let context = context.clone();
            move || {
                while stopped.recv_timeout(Duration::from_millis(10)) == Err(mpsc::RecvTimeoutError::Timeout)
                {
                    let _ = context.cancel();
                }
            }
        });
        let result = context.get_status_change(PATIENCE, &mut states);
        drop(stop);
        canceller.join().expect("the canceller ends");
        result.map(|()| String::new())
    }
}

fn on_card(card: &mut impl AsCard, command: &str, argument: &str) -> Result<String, Error> {
    match command {
        "transmit" => transmit(card.card(), argument),
        "status" => {
            let status = card.card().status2_owned()?;
            Ok(format!("{:?} {}", status.protocol2(), hex::encode(status.atr())))
        }
        "attribute" => Ok(hex::encode(&card.card().get_attribute_owned(Attribute::AtrString)?)),
        "reconnect" => card.reconnect(disposition(argument)).map(|()| String::new()),
        "small-buffer" => {
            let mut buffer = [0; 4];
            card.card().transmit(&hex::decode(argument).expect("hexadecimal"), &mut buffer).map(hex::encode)
        }
        "no-attribute" => Ok(hex::encode(&card.card().get_attribute_owned(Attribute::Maxinput)?)),
        _ => panic!("no such command: {command}"),
    }
}

/// A card, or a transaction on it.
trait AsCard {
    fn card(&self) -> &Card;
    fn reconnect(&mut self, initialization: Disposition) -> Result<(), Error>;
}

impl AsCard for Card {
    fn card(&self) -> &Card {
        self
    }

    fn reconnect(&mut self, initialization: Disposition) -> Result<(), Error> {
        self.reconnect(ShareMode::Shared, Protocols::ANY, initialization)
    }
}

impl AsCard for pcsc::Transaction<'_> {
    fn card(&self) -> &Card {
        self
    }

    fn reconnect(&mut self, initialization: Disposition) -> Result<(), Error> {
        self.reconnect(ShareMode::Shared, Protocols::ANY, initialization)
    }
}

fn transmit(card: &Card, command: &str) -> Result<String, Error> {
    let mut buffer = [0; 65_548];
    let command = hex::decode(command).expect("hexadecimal");
    card.transmit(&command, &mut buffer).map(hex::encode)
}

/// Two threads with a handle each in one context. One has a transaction while the other asks for one.
fn rival_transactions(context: &Context) -> Result<String, Error> {
    let mut one = context.connect(reader(), ShareMode::Shared, Protocols::ANY)?;
    let mut two = context.connect(reader(), ShareMode::Shared, Protocols::ANY)?;
    let held = one.transaction()?;
    thread::scope(|scope| {
        let rival = scope.spawn(|| two.transaction().map(drop));
        // The rival asks now or soon. That must not keep this transaction from ending.
        for _ in 0..20 {
            transmit(&held, "00A4040005A000000308")?;
        }
        held.end(Disposition::LeaveCard).map_err(|(_, error)| error)?;
        rival.join().expect("the rival ends")
    })?;
    Ok(String::new())
}

fn reader() -> &'static CStr {
    c"Yubico YubiKey OTP+FIDO+CCID 00 00"
}

fn disposition(word: &str) -> Disposition {
    match word {
        "leave" | "" => Disposition::LeaveCard,
        "unpower" => Disposition::UnpowerCard,
        "eject" => Disposition::EjectCard,
        "reset" => Disposition::ResetCard,
        _ => panic!("no such disposition: {word}"),
    }
}

fn next_line() -> Option<String> {
    std::io::stdin().lines().next()?.ok()
}

fn say(result: Result<String, Error>) {
    let line = match result {
        Ok(value) if value.is_empty() => "ok".to_owned(),
        Ok(value) => format!("ok {value}"),
        Err(error) => format!("error {error:?}"),
    };
    let mut output = std::io::stdout();
    writeln!(output, "{MARK}{line}").and_then(|()| output.flush()).expect("the parent listens");
}
