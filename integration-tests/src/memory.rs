//! The conformance suite's harness for the memory store, with every hook.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::{Access, ConnectRequest, Credentials, HandleId, Harness, Hook, HookError, Hooks};
use registry_core::store::{Capabilities, Store};
use registry_core::{Error, Handle, Info, ServiceName, ServiceRegistry};
use registry_memory::{Client, Link, MemoryStore, Options};

/// Wraps the client of one handle; how a mutant breaks the store operations.
pub type WrapStore = fn(Client, &ConnectRequest) -> Arc<dyn Store>;
/// Wraps the finished handle; how a mutant breaks the public traits.
pub type WrapHandle = fn(Handle, &ConnectRequest) -> Box<dyn ServiceRegistry>;

/// A text that nothing may show. The memory store has no credentials; a mutant shows this in their place.
pub const SECRET: &str = "hunter2-1f0c9a";

/// What bad credentials are refused.
const ALL_ACCESS: [registry_memory::Access; 3] =
    [registry_memory::Access::Read, registry_memory::Access::Write, registry_memory::Access::Session];

/// The memory adapter, one store a namespace, in virtual time.
pub struct MemoryHarness {
    stores: Mutex<HashMap<String, Bench>>,
    wrap_store: WrapStore,
    wrap_handle: WrapHandle,
}

/// The store of one namespace, and the links of its handles.
#[derive(Clone, Default)]
struct Bench {
    namespace: String,
    store: MemoryStore,
    links: Arc<Mutex<HashMap<HandleId, Link>>>,
}

impl MemoryHarness {
    /// The adapter as it is.
    pub fn new() -> Self {
        Self {
            stores: Mutex::default(),
            wrap_store: |client, _| Arc::new(client),
            wrap_handle: |handle, _| Box::new(handle),
        }
    }

    /// The adapter over changed store operations.
    #[must_use]
    pub fn with_store(mut self, wrap: WrapStore) -> Self {
        self.wrap_store = wrap;
        self
    }

    /// The adapter behind changed public traits.
    #[must_use]
    pub fn with_handle(mut self, wrap: WrapHandle) -> Self {
        self.wrap_handle = wrap;
        self
    }

    fn bench(&self, namespace: &str) -> Bench {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Bench { namespace: namespace.to_owned(), ..Bench::default() };
        stores.entry(home(namespace).to_owned()).or_insert_with(new).clone()
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn adapter(&self) -> &str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn server_version(&self) -> Option<String> {
        Some("in this process".to_owned())
    }

    fn smallest_ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        let bench = self.bench(&request.namespace);
        let link = bench.link(request.handle);
        if request.credentials == Credentials::Bad {
            for access in ALL_ACCESS {
                link.deny(access);
            }
        }
        let options = Options::new(bench.store).with_namespace(request.namespace.as_str()).with_link(link);
        let store = (self.wrap_store)(options.client()?, &request);
        let handle = Handle::open(store, request.options.clone()).await?;
        Ok((self.wrap_handle)(handle, &request))
    }

    fn virtual_time(&self) -> bool {
        true
    }

    fn hooks(&self, namespace: &str) -> Option<Arc<dyn Hooks>> {
        Some(Arc::new(self.bench(namespace)))
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    async fn finish(&self, namespace: &str) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).remove(home(namespace));
    }
}

impl Default for MemoryHarness {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHarness").finish_non_exhaustive()
    }
}

/// A case may open a second namespace, which is on the same store.
fn home(namespace: &str) -> &str {
    namespace.strip_suffix("-b").unwrap_or(namespace)
}

impl Bench {
    fn link(&self, handle: HandleId) -> Link {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).entry(handle).or_default().clone()
    }

    fn encode(&self, info: &Info) -> Result<(String, Arc<[u8]>), HookError> {
        let unfit = |why: String| HookError(format!("the memory store cannot carry the entry: {why}"));
        let options = Options::new(self.store.clone()).with_namespace(self.namespace.as_str());
        let client = options.client().map_err(|error| unfit(error.to_string()))?;
        let record = client.encode(info).map_err(|refused| unfit(refused.to_string()))?;
        Ok((record.key().to_string(), record.value().into()))
    }

    fn found(there: bool, key: &str) -> Result<(), HookError> {
        if there { Ok(()) } else { Err(HookError(format!("nothing stands under {key}"))) }
    }
}

#[async_trait]
impl Hooks for Bench {
    fn offered(&self) -> Vec<Hook> {
        use Hook::*;
        vec![
            RawPut,
            RawBytes,
            RawRemove,
            RawChange,
            Expire,
            Cut,
            LoseAnswers,
            DelayWrites,
            Overtake,
            Freeze,
            Kill,
            Wipe,
            Compact,
            Deny,
            DenyEntry,
            BadCredentials,
            MendCredentials,
            CountWatches,
            CountSessions,
            CountRequests,
        ]
    }

    async fn raw_put(&self, info: &Info) -> Result<(), HookError> {
        let (key, value) = self.encode(info)?;
        self.store.raw_put(&key, value);
        Ok(())
    }

    async fn raw_bytes(&self, service: &ServiceName, name: &str, bytes: &[u8]) -> Result<(), HookError> {
        self.store.raw_put(&format!("{}/{service}/{name}", self.namespace), bytes);
        Ok(())
    }

    async fn raw_remove(&self, info: &Info) -> Result<(), HookError> {
        let (key, _) = self.encode(info)?;
        Self::found(self.store.raw_delete(&key), &key)
    }

    async fn raw_change(&self, info: &Info) -> Result<(), HookError> {
        let (key, value) = self.encode(info)?;
        Self::found(self.store.raw_overwrite(&key, value), &key)
    }

    async fn expire(&self, handle: HandleId) -> Result<(), HookError> {
        match self.store.expire_sessions(&self.link(handle)) {
            0 => Err(HookError(format!("handle {} has no session", handle.0))),
            _ => Ok(()),
        }
    }

    async fn cut(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).cut();
        Ok(())
    }

    async fn heal(&self, handle: HandleId) -> Result<(), HookError> {
        let link = self.link(handle);
        link.heal();
        link.release();
        Ok(())
    }

    async fn lose_answers(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).drop_replies();
        Ok(())
    }

    async fn delay_writes(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).deliver_late();
        Ok(())
    }

    async fn overtake(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).heal();
        Ok(())
    }

    async fn freeze(&self) -> Result<(), HookError> {
        self.store.freeze();
        Ok(())
    }

    async fn thaw(&self) -> Result<(), HookError> {
        self.store.thaw();
        Ok(())
    }

    async fn kill(&self) -> Result<(), HookError> {
        self.store.stop();
        Ok(())
    }

    async fn restart(&self) -> Result<(), HookError> {
        self.store.start();
        Ok(())
    }

    async fn wipe(&self) -> Result<(), HookError> {
        self.store.wipe();
        self.store.start();
        Ok(())
    }

    async fn compact(&self) -> Result<(), HookError> {
        self.store.compact();
        Ok(())
    }

    async fn deny(&self, handle: HandleId, access: Access) -> Result<(), HookError> {
        self.link(handle).deny(match access {
            Access::Read => registry_memory::Access::Read,
            Access::Write => registry_memory::Access::Write,
        });
        Ok(())
    }

    async fn allow(&self, handle: HandleId) -> Result<(), HookError> {
        let link = self.link(handle);
        link.permit(registry_memory::Access::Read);
        link.permit(registry_memory::Access::Write);
        Ok(())
    }

    async fn deny_entry(&self, info: &Info) -> Result<(), HookError> {
        let (key, _) = self.encode(info)?;
        self.store.refuse_key(&key);
        Ok(())
    }

    async fn allow_entry(&self, info: &Info) -> Result<(), HookError> {
        let (key, _) = self.encode(info)?;
        self.store.accept_key(&key);
        Ok(())
    }

    async fn mend_credentials(&self, handle: HandleId) -> Result<(), HookError> {
        let link = self.link(handle);
        for access in ALL_ACCESS {
            link.permit(access);
        }
        Ok(())
    }

    async fn watches(&self) -> Result<usize, HookError> {
        Ok(self.store.usage().views)
    }

    async fn sessions(&self) -> Result<usize, HookError> {
        Ok(self.store.usage().sessions)
    }

    async fn requests(&self, handle: HandleId) -> Result<u64, HookError> {
        Ok(self.link(handle).requests())
    }
}
