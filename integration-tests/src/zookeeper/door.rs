//! The way into a ZooKeeper around the adapter and its client crate.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wire::{Reader, Writer};
use crate::bench::BenchError;

/// Whom no ACL stops, on the servers that tests start, and what those servers are told of the password.
const SUPER: &str = "super:door-7c1d";
pub(super) const SUPER_DIGEST: &str = "super:NHC4+jeHNHX/8DxWot3tooLVsqg=";
/// How long a request may take.
const ANSWERS: Duration = Duration::from_secs(5);
/// The session timeout of the door's own sessions, in milliseconds: one that is forgotten is gone soon.
const TIMEOUT: i32 = 2_000;

// Requests (`ZooDefs.OpCode`).
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const SET_ACL: i32 = 7;
const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const MULTI: i32 = 14;
const AUTH: i32 = 100;
const CLOSE: i32 = -11;
// Transaction numbers of what is no answer to a numbered request.
const NOTIFICATION: i32 = -1;
const AUTH_XID: i32 = -4;
// Refusals (`KeeperException.Code`).
const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;

/// A session of the test's own, or one that it took over from a client. It is open to everything: no ACL stops it.
///
/// Futures must be run to their end; on one runtime, with which the value ends.
#[derive(Debug)]
pub struct ZooKeeperDoor {
    stream: TcpStream,
    session: u64,
    xid: i32,
}

/// What stands under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its bytes.
    pub data: Vec<u8>,
    /// How often its data was changed since it was made.
    pub version: i32,
    /// The transaction that made it.
    pub created: i64,
    /// The session that it ends with. `None` for a persistent node.
    pub owner: Option<u64>,
}

/// Who may do what with a node: one scheme and id with its permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Bits: 1 read, 2 write, 4 create and 8 delete children, 16 administer.
    pub permissions: i32,
    /// `world` or `digest`.
    pub scheme: &'static str,
    /// `anyone`, or the user with the digest of the password.
    pub id: &'static str,
}

impl Acl {
    /// Everybody may do everything.
    pub const OPEN: Self = Self::world(31);
    /// Nobody may do anything, but for the door.
    pub const NOBODY: Self = Self { permissions: 31, scheme: "digest", id: "nobody:nothing" };

    /// Everybody may do this.
    pub const fn world(permissions: i32) -> Self {
        Self { permissions, scheme: "world", id: "anyone" }
    }
}

impl ZooKeeperDoor {
    /// Opens a session of its own, which reads nothing older than what stood before, whichever node of an ensemble this is.
    ///
    /// # Errors
    /// When the server does not serve.
    pub async fn open(server: SocketAddr) -> Result<Self, BenchError> {
        let mut door = Self::attach(server, 0, [0; 16]).await?;
        let auth = Writer::default().int(AUTH_XID).int(AUTH).int(0).string("digest").string(SUPER);
        door.send(auth).await?;
        door.answer(AUTH_XID).await?.map_err(|code| refused("authentication", "", code))?;
        door.request(SYNC, Writer::default().string("/")).await?.map_err(|code| refused("sync", "/", code))?;
        Ok(door)
    }

    /// Ends a client's session: its ephemeral nodes are gone when this returns, and the client is told that it expired. `false` when the
    /// server does not know the session.
    ///
    /// # Errors
    /// When the server does not serve.
    pub async fn expire(server: SocketAddr, session: u64) -> Result<bool, BenchError> {
        match Self::attach(server, session, password(session)).await {
            Ok(door) if door.session == session => door.close().await.map(|()| true),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Its session.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Makes a persistent node. `false` when something stands there.
    ///
    /// # Errors
    /// When the server refuses it otherwise or does not answer.
    pub async fn create(&mut self, path: &str, data: &[u8], acl: Acl) -> Result<bool, BenchError> {
        let answer = self.request(CREATE, create(path, data, &acl, false)).await?;
        existing(answer, NODE_EXISTS, "create", path).map(|made| made.is_some())
    }

    /// Makes an ephemeral node, which ends with this session. `false` when something stands there.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_ephemeral(&mut self, path: &str, data: &[u8]) -> Result<bool, BenchError> {
        let answer = self.request(CREATE, create(path, data, &Acl::OPEN, true)).await?;
        existing(answer, NODE_EXISTS, "create", path).map(|made| made.is_some())
    }

    /// Makes the persistent nodes above `path`, as far as they are missing.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_parents(&mut self, path: &str) -> Result<(), BenchError> {
        for (slash, _) in path.match_indices('/').skip(1) {
            self.create(&path[..slash], b"", Acl::OPEN).await?;
        }
        Ok(())
    }

    /// Puts a persistent node into the place of whatever stands there: nobody sees the place empty.
    ///
    /// # Errors
    /// When the server refuses it or does not answer.
    pub async fn replace(&mut self, path: &str, data: &[u8], acl: Acl) -> Result<(), BenchError> {
        if self.create(path, data, acl).await? {
            return Ok(());
        }
        let part = |kind: i32, body: Writer| Writer::default().int(kind).flag(false).int(-1).join(body);
        let parts = part(DELETE, delete(path)).join(part(CREATE, create(path, data, &acl, false)));
        let end = Writer::default().int(-1).flag(true).int(-1);
        let answer = self.request(MULTI, parts.join(end)).await?.map_err(|code| refused("multi", path, code))?;
        // Where one part is refused, each result is an error.
        match Reader(&answer).int() {
            Some(-1) | None => Err(BenchError::new(format!("ZooKeeper does not replace {path}: {answer:?}"))),
            Some(_) => Ok(()),
        }
    }

    /// What stands there, if anything does.
    ///
    /// # Errors
    /// When the server refuses it or does not answer.
    pub async fn get(&mut self, path: &str) -> Result<Option<Node>, BenchError> {
        let answer = self.request(GET_DATA, Writer::default().string(path).flag(false)).await?;
        let Some(answer) = existing(answer, NO_NODE, "get", path)? else { return Ok(None) };
        node(&mut Reader(&answer)).map(Some).ok_or_else(|| unread("get", path))
    }

    /// Changes a node, which keeps its owner. `false` when nothing stands there.
    ///
    /// # Errors
    /// When the server refuses it or does not answer.
    pub async fn set(&mut self, path: &str, data: &[u8]) -> Result<bool, BenchError> {
        let answer = self.request(SET_DATA, Writer::default().string(path).bytes(data).int(-1)).await?;
        existing(answer, NO_NODE, "set", path).map(|set| set.is_some())
    }

    /// Removes a node, whoever owns it. `false` when nothing stands there.
    ///
    /// # Errors
    /// When it has children, or the server does not answer.
    pub async fn delete(&mut self, path: &str) -> Result<bool, BenchError> {
        let answer = self.request(DELETE, delete(path)).await?;
        existing(answer, NO_NODE, "delete", path).map(|deleted| deleted.is_some())
    }

    /// The names below a path; none when nothing stands there.
    ///
    /// # Errors
    /// When the server refuses it or does not answer.
    pub async fn children(&mut self, path: &str) -> Result<Vec<String>, BenchError> {
        let answer = self.request(GET_CHILDREN, Writer::default().string(path).flag(false)).await?;
        let Some(answer) = existing(answer, NO_NODE, "children", path)? else { return Ok(Vec::new()) };
        let mut reader = Reader(&answer);
        let count = reader.int().ok_or_else(|| unread("children", path))?;
        (0..count).map(|_| reader.string().ok_or_else(|| unread("children", path))).collect()
    }

    /// All paths from here on down, this one first; none when nothing stands there.
    ///
    /// # Errors
    /// As [`children`](Self::children).
    pub async fn tree(&mut self, path: &str) -> Result<Vec<String>, BenchError> {
        let mut paths = vec![path.to_owned()];
        let mut next = 0;
        while let Some(parent) = paths.get(next).cloned() {
            let slash = if parent == "/" { "" } else { "/" };
            for child in self.children(&parent).await? {
                paths.push(format!("{parent}{slash}{child}"));
            }
            next += 1;
        }
        Ok(paths)
    }

    /// Sets who may do what with a node. `false` when nothing stands there.
    ///
    /// # Errors
    /// When the server refuses it or does not answer.
    pub async fn set_acl(&mut self, path: &str, acl: Acl) -> Result<bool, BenchError> {
        let answer = self.request(SET_ACL, Writer::default().string(path).acl(&acl).int(-1)).await?;
        existing(answer, NO_NODE, "set_acl", path).map(|set| set.is_some())
    }

    /// Ends its session; the server has carried that out when this returns.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn close(mut self) -> Result<(), BenchError> {
        self.request(CLOSE, Writer::default()).await?.map(drop).map_err(|code| refused("close", "", code))
    }

    /// Opens a session, or takes over an open one.
    async fn attach(server: SocketAddr, session: u64, password: [u8; 16]) -> Result<Self, BenchError> {
        let connecting = tokio::time::timeout(ANSWERS, TcpStream::connect(server)).await;
        let stream = match connecting {
            Ok(Ok(stream)) => stream,
            failed => return Err(BenchError::new(format!("ZooKeeper at {server}: {failed:?}"))),
        };
        let mut door = Self { stream, session, xid: 0 };
        let hello = Writer::default().int(0).long(0).int(TIMEOUT).long(session.cast_signed());
        door.send(hello.bytes(&password).flag(false)).await?;
        let answer = door.receive().await?;
        let mut reader = Reader(&answer);
        let id = (reader.int(), reader.int(), reader.long()).2;
        door.session = id.ok_or_else(|| unread("connect", ""))?.cast_unsigned();
        Ok(door)
    }

    /// The answer to a request: its fields, or the code of the refusal.
    async fn request(&mut self, kind: i32, body: Writer) -> Result<Result<Vec<u8>, i32>, BenchError> {
        self.xid += 1;
        self.send(Writer::default().int(self.xid).int(kind).join(body)).await?;
        self.answer(self.xid).await
    }

    async fn answer(&mut self, xid: i32) -> Result<Result<Vec<u8>, i32>, BenchError> {
        loop {
            let frame = self.receive().await?;
            let mut reader = Reader(&frame);
            match (reader.int(), reader.long(), reader.int()) {
                (Some(NOTIFICATION), ..) => {}
                (Some(number), _, Some(0)) if number == xid => return Ok(Ok(reader.0.to_vec())),
                (Some(number), _, Some(code)) if number == xid => return Ok(Err(code)),
                other => return Err(BenchError::new(format!("ZooKeeper answers {other:?} to request {xid}"))),
            }
        }
    }

    async fn send(&mut self, message: Writer) -> Result<(), BenchError> {
        let sent = self.stream.write_all(&message.frame()).await;
        sent.map_err(|error| BenchError::new(format!("to ZooKeeper: {error}")))
    }

    async fn receive(&mut self) -> Result<Vec<u8>, BenchError> {
        let receiving = async {
            let length = usize::try_from(self.stream.read_i32().await?).unwrap_or(0);
            let mut frame = vec![0; length];
            self.stream.read_exact(&mut frame).await?;
            Ok::<_, std::io::Error>(frame)
        };
        match tokio::time::timeout(ANSWERS, receiving).await {
            Ok(Ok(frame)) => Ok(frame),
            failed => Err(BenchError::new(format!("from ZooKeeper: {failed:?}"))),
        }
    }
}

fn create(path: &str, data: &[u8], acl: &Acl, is_ephemeral: bool) -> Writer {
    Writer::default().string(path).bytes(data).acl(acl).int(is_ephemeral.into())
}

fn delete(path: &str) -> Writer {
    Writer::default().string(path).int(-1)
}

/// Data and `Stat`.
fn node(reader: &mut Reader<'_>) -> Option<Node> {
    let data = reader.bytes()?.to_vec();
    let created = reader.long()?;
    let _modified_and_times = (reader.long()?, reader.long()?, reader.long()?);
    let version = reader.int()?;
    let _child_and_acl_versions = (reader.int()?, reader.int()?);
    let owner = reader.long()?.cast_unsigned();
    Some(Node { data, version, created, owner: (owner != 0).then_some(owner) })
}

/// `None` for the one refusal that says whether something stands there.
fn existing(
    answer: Result<Vec<u8>, i32>,
    expected: i32,
    what: &str,
    path: &str,
) -> Result<Option<Vec<u8>>, BenchError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(code) if code == expected => Ok(None),
        Err(code) => Err(refused(what, path, code)),
    }
}

fn refused(what: &str, path: &str, code: i32) -> BenchError {
    BenchError::new(format!("ZooKeeper refuses `{what}` {path} with {code}"))
}

fn unread(what: &str, path: &str) -> BenchError {
    BenchError::new(format!("ZooKeeper's answer to `{what}` {path} is too short"))
}

/// The password of a session, which the server derives from its id: the first bytes of Java's `Random`, seeded with the id and a constant
/// (`ZooKeeperServer.generatePasswd` of ZooKeeper 3.9).
fn password(session: u64) -> [u8; 16] {
    const SECRET: u64 = 0xB341_5C00;
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const BITS: u64 = (1 << 48) - 1;
    let mut state = (session ^ SECRET ^ MULTIPLIER) & BITS;
    let mut password = [0; 16];
    for bytes in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & BITS;
        // Java's 32 random bits are these; it hands their bytes out from the lowest on.
        let [low, second, third, high, ..] = (state >> 16).to_le_bytes();
        bytes.copy_from_slice(&[low, second, third, high]);
    }
    password
}
