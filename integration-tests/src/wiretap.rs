//! What somebody on the wire can read of what a handle says: with TLS nothing, whether the store lets us in or not.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use registry_core::{Error as RegistryError, ErrorKind, Handle, Info, Registry as _, Resolver as _, ServiceName};

use crate::proxy::FaultProxy;
use crate::{BenchError, eventually};

const SERVICE: &str = "whispered-service";
const TAG: &str = "whispered-tag";
const ADDRESS: &str = "10.0.0.1:8888";
/// Within what time something that nothing hinders is done.
const SOON: Duration = Duration::from_secs(5);

type Outcome = Result<(), Box<dyn Error>>;

/// A proxy in front of a server that looks for what nobody may read: the entry, and the secrets by which its owner is known.
///
/// What it asserts it asserts by panicking, as a test does.
#[derive(Debug)]
pub struct Wiretap {
    proxy: FaultProxy,
    words: Vec<String>,
}

impl Wiretap {
    /// A proxy in front of `server`, given as `host:port` or as a URL of it, that listens for the entry and these secrets.
    ///
    /// # Errors
    /// When `server` is no address, or there is no free port.
    pub async fn start<'a>(server: &str, secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, BenchError> {
        let address = server.split_once("://").map_or(server, |(_, address)| address);
        let address: SocketAddr = address.parse().map_err(|_| BenchError::new(format!("{server} is no address")))?;
        let proxy = FaultProxy::start(address).await.map_err(|error| BenchError::new(error.to_string()))?;
        let words: Vec<String> = [SERVICE, TAG].into_iter().chain(secrets).map(str::to_owned).collect();
        for word in &words {
            proxy.look_for(word.as_str());
        }
        Ok(Self { proxy, words })
    }

    /// Where clients connect to be overheard: `host:port`.
    pub fn address(&self) -> String {
        self.proxy.address().to_string()
    }

    /// Has a handle that was connected through this say everything that a handle says, and closes it.
    ///
    /// # Errors
    /// When the store refuses something.
    pub async fn talk(&self, handle: Handle) -> Outcome {
        let (info, service) = (info(), ServiceName::new(SERVICE)?);
        let watch = handle.watch(&service)?;
        handle.register(&info).await?;
        let found = async || handle.resolve(&service).await.ok()?.get(ADDRESS).cloned();
        eventually(SOON, "it is found", found).await;
        eventually(SOON, "the watch has it", async || watch.latest().get(ADDRESS).cloned()).await;
        handle.deregister(&info).await?;
        Ok(handle.close().await?)
    }

    /// Has a handle that was opened through this, lazily, be refused again and again.
    ///
    /// # Errors
    /// When what it is told to announce is invalid.
    pub async fn talk_in_vain(&self, handle: &Handle) -> Outcome {
        handle.announce(&info())?;
        let watch = handle.watch(&ServiceName::new(SERVICE)?)?;
        let status = handle.status();
        let tried = async || (status.borrow().attempts > 2 && watch.latest().stale().is_some()).then_some(());
        eventually(SOON * 2, "it is refused and tries again", tried).await;
        Ok(())
    }

    /// The control: everything was read, so that it would have been found where it must not be.
    pub fn everything_was_read(&self) {
        assert_eq!(self.proxy.found(), self.words);
    }

    /// Something was sent, and none of it could be read.
    pub fn nothing_was_read(&self, what: &str) {
        assert_eq!(self.proxy.found(), Vec::<String>::new(), "{what}");
        assert!(self.proxy.counts().to_server > 0, "{what}: nothing was sent");
    }

    /// A connection through this was refused for good, in a typed error, and nothing could be read of what was sent.
    pub fn was_refused(&self, what: &str, connected: Result<Handle, RegistryError>) {
        match connected {
            Ok(_) => panic!("{what}: it was let in"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Misconfigured, "{what}: {error}"),
        }
        self.nothing_was_read(what);
    }
}

fn info() -> Info {
    let info = Info::builder(SERVICE).address(ADDRESS).tag("zone", TAG);
    info.build().expect("invariant: all fields are valid")
}
