//! What cases look at, in words for their messages.

use registry_core::{Info, Instance, Resolver, ServiceName, Snapshot};

use crate::context::addresses;

/// Asks the store whether exactly these registrations stand under the service, field by field.
pub(crate) async fn stands(reader: &dyn Resolver, service: &ServiceName, wanted: &[&Info]) -> Result<(), String> {
    let snapshot = reader.resolve(service).await.map_err(|error| error.to_string())?;
    holds(&snapshot, wanted)
}

/// Whether a snapshot holds exactly these registrations, field by field.
pub(crate) fn holds(snapshot: &Snapshot, wanted: &[&Info]) -> Result<(), String> {
    for info in wanted {
        same(snapshot, info)?;
    }
    match snapshot.len() {
        len if len == wanted.len() => Ok(()),
        _ => Err(format!("{} instead of {} instances", addresses(snapshot), wanted.len())),
    }
}

/// Asks the store whether some entry of this identity stands, whatever it says.
pub(crate) async fn is_there(reader: &dyn Resolver, info: &Info) -> Result<(), String> {
    let snapshot = reader.resolve(info.service()).await.map_err(|error| error.to_string())?;
    match snapshot.get(info.address().as_str()) {
        Some(_) => Ok(()),
        None => Err(format!("{} is missing in {}", info.address(), addresses(&snapshot))),
    }
}

fn same(snapshot: &Snapshot, info: &Info) -> Result<(), String> {
    let wanted = Instance::from(info);
    match snapshot.get(info.address().as_str()) {
        Some(found) if **found == wanted => Ok(()),
        Some(found) => Err(format!("{found:?} instead of {wanted:?}")),
        None => Err(format!("{} is missing in {}", info.address(), addresses(snapshot))),
    }
}
