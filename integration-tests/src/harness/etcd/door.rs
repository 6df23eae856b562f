//! The back door to etcd, as its root user: what stands there, and who may do what.

use etcd_client::{
    Client, ConnectOptions, DeleteOptions, Error, GetOptions, Permission, PutOptions, RoleRevokePermissionOptions,
};

use crate::bench::BenchError;

/// What no output may show.
pub(super) const PASSWORD: &str = "sesame-7c1f0e52";
/// How many handles have their users from the start, so that they can be opened while the server is away.
pub(super) const USERS_AT_ONCE: u32 = 8;

/// A connection to the server itself, past all proxies. Each use makes its own: tokens end with the server.
pub(super) struct Door(Client);

impl Door {
    pub(super) async fn open(url: &str) -> Result<Self, BenchError> {
        let options = ConnectOptions::new().with_user("root", PASSWORD);
        Ok(Self(Client::connect([url], Some(options)).await.map_err(failed("entering as root"))?))
    }

    /// Users for the first handles, and authentication on.
    pub(super) async fn furnish(url: &str) -> Result<(), BenchError> {
        let mut client = Client::connect([url], None).await.map_err(failed("connecting"))?;
        add_user(&mut client, "root").await.map_err(failed("adding root"))?;
        for number in 0..USERS_AT_ONCE {
            add_user(&mut client, &user(number)).await.map_err(failed("adding a user"))?;
            grant(&mut client, number, Permission::read_write("")).await.map_err(failed("granting"))?;
        }
        client.auth_enable().await.map(drop).map_err(failed("switching authentication on"))
    }

    /// The user of a handle past the first ones.
    pub(super) async fn add_user(&mut self, number: u32) -> Result<(), BenchError> {
        match add_user(&mut self.0, &user(number)).await {
            // An earlier case had as many handles.
            Err(Error::GRpcStatus(status)) if status.message().contains("already exists") => self.reset(number).await,
            added => {
                added.map_err(failed("adding a user"))?;
                self.grant(number, Permission::read_write("")).await
            }
        }
    }

    /// Gives a user the role of the beginning again. A case may have left permissions in it that would outlive a denial of all keys.
    async fn reset(&mut self, number: u32) -> Result<(), BenchError> {
        reset(&mut self.0, &user(number)).await.map_err(failed("making a role anew"))?;
        self.grant(number, Permission::read_write("")).await
    }

    /// Replaces what the user may do with every key.
    pub(super) async fn grant(&mut self, number: u32, permission: Permission) -> Result<(), BenchError> {
        grant(&mut self.0, number, permission).await.map_err(failed("granting"))
    }

    /// Takes the right to write one key from a user, and leaves that to read it and everything with the others.
    pub(super) async fn deny_key(&mut self, number: u32, key: &str) -> Result<(), BenchError> {
        self.grant(number, Permission::read("")).await?;
        for (from, to) in around(key) {
            let permission = Permission::write(from).with_range_end(to);
            let granted = self.0.role_grant_permission(user(number), permission).await;
            granted.map_err(failed("granting all keys but one"))?;
        }
        Ok(())
    }

    /// Ends [`deny_key`](Self::deny_key).
    pub(super) async fn allow_key(&mut self, number: u32, key: &str) -> Result<(), BenchError> {
        self.grant(number, Permission::read_write("")).await?;
        for (from, to) in around(key) {
            let options = RoleRevokePermissionOptions::new().with_range_end(to);
            let revoked = self.0.role_revoke_permission(user(number), from, Some(options)).await;
            revoked.map_err(failed("revoking a permission"))?;
        }
        Ok(())
    }

    /// Forgets the history up to now.
    pub(super) async fn compact(&mut self) -> Result<(), BenchError> {
        let answer = self.0.get("", Some(GetOptions::new().with_all_keys().with_count_only())).await;
        let answer = answer.map_err(failed("asking for the revision"))?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        self.0.compact(revision, None).await.map(drop).map_err(failed("compacting"))
    }

    pub(super) async fn put(&mut self, key: &str, value: &[u8], keep_lease: bool) -> Result<(), BenchError> {
        let options = keep_lease.then(|| PutOptions::new().with_ignore_lease());
        self.0.put(key, value, options).await.map(drop).map_err(failed("putting"))
    }

    pub(super) async fn delete(&mut self, key: &str) -> Result<(), BenchError> {
        self.0.delete(key, None).await.map(drop).map_err(failed("deleting"))
    }

    pub(super) async fn revoke(&mut self, lease: i64) -> Result<(), BenchError> {
        self.0.lease_revoke(lease).await.map(drop).map_err(failed("revoking"))
    }

    pub(super) async fn leases(&mut self) -> Result<Vec<i64>, BenchError> {
        let answer = self.0.leases().await.map_err(failed("listing leases"))?;
        Ok(answer.leases().iter().map(etcd_client::LeaseStatus::id).collect())
    }

    /// Removes what a case left, so that the next one finds an empty store.
    pub(super) async fn clean(&mut self) -> Result<(), BenchError> {
        for lease in self.leases().await? {
            // It may expire meanwhile.
            let _ = self.revoke(lease).await;
        }
        let all = DeleteOptions::new().with_all_keys();
        self.0.delete("", Some(all)).await.map_err(failed("deleting all keys"))?;
        for number in 0..USERS_AT_ONCE {
            self.reset(number).await?;
        }
        Ok(())
    }
}

/// The user of a handle.
pub(super) fn user(number: u32) -> String {
    format!("handle-{number}")
}

/// The keys below and above this one, as ranges. The lower one must not begin where "all keys" does: etcd takes them for one permission.
fn around(key: &str) -> [(Vec<u8>, Vec<u8>); 2] {
    let next = [key.as_bytes(), &[0]].concat();
    [(vec![1], key.as_bytes().to_vec()), (next, vec![0])]
}

async fn add_user(client: &mut Client, name: &str) -> Result<(), Error> {
    client.user_add(name, PASSWORD, None).await?;
    client.role_add(name).await?;
    client.user_grant_role(name, name).await.map(drop)
}

async fn reset(client: &mut Client, name: &str) -> Result<(), Error> {
    client.role_delete(name).await?;
    client.role_add(name).await?;
    client.user_grant_role(name, name).await.map(drop)
}

async fn grant(client: &mut Client, number: u32, permission: Permission) -> Result<(), Error> {
    client.role_grant_permission(user(number), permission.with_all_keys()).await.map(drop)
}

fn failed(doing: &str) -> impl Fn(Error) -> BenchError {
    move |error| BenchError::new(format!("{doing}: {error}"))
}
