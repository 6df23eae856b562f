//! Who may do what below a namespace: its root, the services in it, and the entries in those.
//!
//! ZooKeeper has no permission for a whole tree and none for one client apart from its user, so that what is denied is denied to all handles, and
//! for what stands there. No case asks for more.

use registry_conformance::Access;

use crate::bench::BenchError;
use crate::zookeeper::{Acl, ZooKeeperDoor};

/// The user `registry` with the digest of its password, as ACLs have it: the Base64 form of `SHA1("registry:owners-51ae")`.
const OWNERS: &str = "registry:4MPCrSgVulKHjq86l4wblAZ7jdw=";

const READ: i32 = 1;
const DELETE: i32 = 8;
const ALL: i32 = 31;

/// The owners may do this, and nobody else anything.
fn owners(permissions: i32) -> Acl {
    Acl { permissions, scheme: "digest", id: OWNERS }
}

/// What the root of a namespace is made with: a wrong password finds nothing there.
pub(super) fn root() -> Acl {
    owners(ALL)
}

/// Takes a right from everybody.
pub(super) async fn deny(door: &mut ZooKeeperDoor, namespace: &str, access: Access) -> Result<(), BenchError> {
    match access {
        // Without DELETE not even a removal of nothing is answered, which is how a reader makes sure that it reads the newest state.
        Access::Read => set(door, namespace, [ALL & !(READ | DELETE), ALL & !(READ | DELETE), ALL]).await,
        Access::Write => set(door, namespace, [ALL, READ, READ]).await,
    }
}

/// Ends [`deny`].
pub(super) async fn allow(door: &mut ZooKeeperDoor, namespace: &str) -> Result<(), BenchError> {
    set(door, namespace, [ALL, ALL, ALL]).await
}

/// Sets what may be done with the root, with services and with entries.
async fn set(door: &mut ZooKeeperDoor, namespace: &str, permissions: [i32; 3]) -> Result<(), BenchError> {
    let root = format!("/{namespace}");
    for path in door.tree(&root).await? {
        let depth = path[root.len()..].matches('/').count();
        let acl = match depth {
            1 => Acl::world(permissions[1]),
            _ => owners(permissions[depth.min(2)]),
        };
        // It may have gone meanwhile.
        door.set_acl(&path, acl).await?;
    }
    Ok(())
}
