//! `memory://name/namespace`: the store of that name in this process; without a name an empty store of its own.

use registry_core::{Error, Handle, HandleOptions};
use registry_memory::{MemoryStore, Options};

use crate::connector::{Backend, Opening};
use crate::settings::Settings;
use crate::url::refused;

pub(crate) const BACKEND: Backend = Backend { scheme: "memory", options: &[], open };

fn open(settings: Settings) -> Opening {
    Box::pin(connect(settings))
}

async fn connect(settings: Settings) -> Result<Handle, Error> {
    let store = match settings.url().hosts() {
        [] => MemoryStore::new(),
        [host] if host.port().is_none() => MemoryStore::named(host.name()),
        _ => {
            return Err(refused(
                "host",
                "is no name of a store in this process: one name without a port, as in `memory://demo`",
            ));
        }
    };
    let options = Options::new(store).with_handle(settings.handle_options(HandleOptions::default())?);
    let options = match settings.url().path().trim_matches('/') {
        "" => options,
        namespace => options.with_namespace(namespace),
    };
    registry_memory::connect(options).await
}
