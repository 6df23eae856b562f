//! A password that is changed, in its file and on the server.

use std::path::PathBuf;

use integration_tests::{Acl, Scene, ZooKeeperDoor, ZooKeeperServer, eventually};
use registry_core::{ErrorKind, Material, Registry, Resolver, Secret};
use registry_zookeeper::connect;

use crate::scene::{holder, options, path, timing};
use crate::{Outcome, tests};

tests![a_changed_password_is_read_when_denied, a_changed_password_is_read_for_a_new_session];

/// `me` with the password `lion`, as ACLs have it: the Base64 form of `SHA1("me:lion")`.
const LION: Acl = Acl { permissions: 31, scheme: "digest", id: "me:YkS3ptg75imcQX54p3wjqFQpOiQ=" };

/// A password file, which goes with this value.
struct PasswordFile(PathBuf);

impl PasswordFile {
    fn new(server: &ZooKeeperServer) -> std::io::Result<Self> {
        let file = Self(std::env::temp_dir().join(format!("registry-test-password-{}", server.address().port())));
        file.set("tiger")?;
        Ok(file)
    }

    fn set(&self, password: &str) -> std::io::Result<()> {
        std::fs::write(&self.0, password)
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn a_changed_password_is_read_when_denied() -> Outcome {
    let (server, timing) = (ZooKeeperServer::start().await?, timing()?);
    let file = PasswordFile::new(&server)?;
    let mine = connect(options(&[server.address()], &timing).with_user("me", Material::File(file.0.clone()))).await?;
    let info = Scene::info(1);
    mine.register(&info).await?;
    let (path, session) = (path(&info), holder(server.address(), &info).await?);
    let mut door = ZooKeeperDoor::open(server.address()).await?;
    door.set_acl("/demo", LION).await?;
    door.set_acl(&path, LION).await?;
    door.close().await?;
    let changed = info.to_builder().weight(20).build()?;
    let refused = mine.register(&changed).await.err().ok_or("written with a password that is not the node's")?;
    assert_eq!(refused.kind(), ErrorKind::Denied);
    file.set("lion")?;
    mine.register(&changed).await?;
    assert_eq!(mine.resolve(&Scene::service()).await?.instances()[0].weight(), 20);
    assert_eq!(holder(server.address(), &info).await?, session);
    mine.close().await?;
    Ok(())
}

async fn a_changed_password_is_read_for_a_new_session() -> Outcome {
    let (server, timing) = (ZooKeeperServer::start().await?, timing()?);
    let file = PasswordFile::new(&server)?;
    let mine = connect(options(&[server.address()], &timing).with_user("me", Material::File(file.0.clone()))).await?;
    mine.register(&Scene::info(1)).await?;
    let reader =
        connect(options(&[server.address()], &timing).with_user("me", Material::Inline(Secret::new("lion")))).await?;
    let denied = reader.resolve(&Scene::service()).await.err().ok_or("read with a password that is not the node's")?;
    assert_eq!(denied.kind(), ErrorKind::Denied);
    file.set("lion")?;
    let session = holder(server.address(), &Scene::info(1)).await?.ok_or("it is not registered")?;
    assert!(ZooKeeperDoor::expire(server.address(), session).await?);
    let seen = async || reader.resolve(&Scene::service()).await.is_ok_and(|seen| seen.instances().len() == 1);
    let readable = async || seen().await.then_some(());
    eventually(timing.recovery(), "its node is one of the new password", readable).await;
    mine.close().await?;
    reader.close().await?;
    Ok(())
}
