//! What a session says of entries.

use registry_core::store::{Lineage, Record, Session, Standing};

/// What stands under these keys, each of which the store has to show.
pub async fn standings(session: &dyn Session, records: &[Record], ours: &Lineage) -> Vec<Standing> {
    let inspected = session.inspect(records, ours).await.expect("the session is asked");
    inspected.into_iter().map(|standing| standing.expect("the entry is shown")).collect()
}
