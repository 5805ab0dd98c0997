//! Mosquitto as a process, for comparison: a broker that people know.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::clock::Clock;
use super::process::{Server, log_end};

/// Debian puts it where a user's PATH does not look.
const PLACES: [&str; 3] = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

/// How long it may take to serve.
const START: Duration = Duration::from_secs(10);

/// How it keeps what it queues.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Persistence {
    /// Its strictest: the whole database is written after more than one change, on each pass of its loop.
    EachChange,
    /// As it comes: the whole database every 30 minutes.
    Default,
}

impl Persistence {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EachChange => "save-on-change",
            Self::Default => "default",
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::EachChange => "autosave_interval 1\nautosave_on_changes true\n",
            Self::Default => "",
        }
    }
}

/// The program, or what to do to have it.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, String> {
    let places = given.map_or_else(|| PLACES.map(PathBuf::from).to_vec(), |given| vec![given.to_owned()]);
    let runs = |place: &PathBuf| {
        let mut command = Command::new(place);
        command.arg("-h").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    places.into_iter().find(runs).ok_or_else(|| {
        "there is no Mosquitto to compare with: apt-get install mosquitto, or name it with --mosquitto, or leave it \
         out with --no-mosquitto"
            .to_owned()
    })
}

pub(crate) struct Mosquitto {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
}

impl Mosquitto {
    pub(crate) fn start(program: &Path, data: &Path, persistence: Persistence) -> Result<Self, String> {
        // It cannot be told to choose a port itself. Who takes this one in between makes the start fail, and says so.
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| format!("no free port: {error}"))?;
        let (config, log) = (data.join("mosquitto.conf"), data.join("mosquitto.log"));
        // As root it would go over to a user who must not write here; for other users the line means nothing.
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay true\nmax_queued_messages 0\n\
             persistence true\npersistence_location {}/\nlog_dest stderr\nlog_type error\nlog_type warning\n{}",
            address.port(),
            data.display(),
            persistence.options(),
        );
        std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config);
        let (mut server, _) = Server::spawn(command, &log)?;
        let clock = Clock::start();
        while TcpStream::connect(address).is_err() {
            if server.has_ended() || clock.now() > START {
                return Err(format!("mosquitto does not serve:\n{}", log_end(&log)));
            }
            // There is nothing that it would tell us by.
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(Self { server, address })
    }
}
