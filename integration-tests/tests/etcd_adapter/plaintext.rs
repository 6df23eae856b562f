//! What somebody on the wire can read: with TLS nothing, whether etcd lets us in or not.

use std::time::Duration;

use etcd_client::{Client as Door, Permission};
use integration_tests::{EtcdServer, FaultProxy, eventually};
use registry_core::{ErrorKind, Info, Registry, Resolver, ServiceName};
use registry_etcd::{Material, Options, Secret, Tls, connect};

use crate::bench::{Bench, Outcome, tests};
use crate::secured::{certificate, options, password, text, trusting, with_identity};

tests![
    "REGISTRY_TEST_ETCD", "REGISTRY_TEST_ETCD_IMAGE", "REGISTRY_TEST_ETCD_TLS", "REGISTRY_TEST_ETCD_AUTH", "REGISTRY_TEST_SECURED" =>
    without_tls_the_entry_is_read_on_the_wire,
    without_tls_user_and_password_are_read_on_the_wire,
    under_tls_nothing_is_read_on_the_wire,
    under_mutual_tls_nothing_is_read_on_the_wire,
    a_refused_connection_sends_nothing_in_plaintext,
    a_handle_that_is_refused_again_and_again_sends_nothing_in_plaintext,
];

const TLS: &str = "REGISTRY_TEST_ETCD_TLS";
const MUTUAL: &str = "REGISTRY_TEST_ETCD_AUTH";
const USER: &str = "registry";
const SERVICE: &str = "whispered-service";
const TAG: &str = "whispered-tag";

fn info() -> Result<Info, Box<dyn std::error::Error>> {
    Ok(Info::builder(SERVICE).address("10.0.0.1:8888").tag("zone", TAG).build()?)
}

/// A proxy in front of the server that `options` name, which looks for what nobody may read; and the options to go through it.
async fn overheard(mut options: Options) -> Result<(FaultProxy, Options), Box<dyn std::error::Error>> {
    let server = options.endpoints.first().ok_or("no endpoint")?;
    let address = server.split_once("://").map_or(server.as_str(), |(_, address)| address);
    let proxy = FaultProxy::start(address.parse()?).await?;
    for secret in [SERVICE, TAG, USER, &text("passwords/registry")] {
        proxy.look_for(secret);
    }
    options.endpoints = vec![proxy.address().to_string()];
    Ok((proxy, options))
}

/// Everything that a handle sends.
async fn talk(options: Options) -> Outcome {
    let (handle, service) = (connect(options).await?, ServiceName::new(SERVICE)?);
    let watch = handle.watch(&service)?;
    handle.register(&info()?).await?;
    assert_eq!(handle.resolve(&service).await?.len(), 1);
    eventually(Duration::from_secs(5), "the watch has it", async || watch.latest().get("10.0.0.1:8888").cloned()).await;
    handle.deregister(&info()?).await?;
    Ok(handle.close().await?)
}

fn nothing_was_read(proxy: &FaultProxy, what: &str) {
    assert_eq!(proxy.found(), Vec::<String>::new(), "{what}");
    assert!(proxy.counts().to_server > 0, "{what}: nothing was sent");
}

async fn without_tls_the_entry_is_read_on_the_wire(bench: Bench) -> Outcome {
    let (proxy, options) = overheard(bench.options()).await?;
    talk(options).await?;
    assert_eq!(proxy.found(), [SERVICE, TAG]);
    Ok(())
}

async fn without_tls_user_and_password_are_read_on_the_wire(bench: Bench) -> Outcome {
    let (server, word) = (EtcdServer::start().await?, text("passwords/registry"));
    let mut door = Door::connect([server.url()], None).await?;
    for user in ["root", USER] {
        door.user_add(user, word.as_str(), None).await?;
        door.role_add(user).await?;
        door.role_grant_permission(user, Permission::read_write("").with_all_keys()).await?;
        door.user_grant_role(user, user).await?;
    }
    door.auth_enable().await?;
    let mut options = bench.options().with_user(USER, Material::Inline(Secret::new(word.as_str())));
    options.endpoints = vec![server.url()];
    let (proxy, options) = overheard(options).await?;
    talk(options).await?;
    assert_eq!(proxy.found(), [SERVICE, TAG, USER, &word]);
    Ok(())
}

async fn under_tls_nothing_is_read_on_the_wire(bench: Bench) -> Outcome {
    let (proxy, options) = overheard(options(&bench, TLS, trusting()).with_user(USER, password(USER))).await?;
    talk(options).await?;
    nothing_was_read(&proxy, "TLS");
    Ok(())
}

async fn under_mutual_tls_nothing_is_read_on_the_wire(bench: Bench) -> Outcome {
    let (proxy, options) =
        overheard(options(&bench, MUTUAL, with_identity("client")).with_user(USER, password(USER))).await?;
    talk(options).await?;
    nothing_was_read(&proxy, "mutual TLS");
    Ok(())
}

/// Options that a server refuses, each with a word for it.
fn refused(bench: &Bench) -> Vec<(&'static str, Options)> {
    let mut plaintext_port = options(bench, TLS, trusting());
    plaintext_port.endpoints = vec![bench.url.trim_start_matches("http://").to_owned()];
    vec![
        ("wrong CA", options(bench, TLS, Tls::new().with_ca(certificate("other-ca.pem")))),
        ("wrong host", options(bench, TLS, trusting().with_server_name("elsewhere.test"))),
        ("no client certificate", options(bench, MUTUAL, trusting())),
        ("client certificate of another authority", options(bench, MUTUAL, with_identity("other-client"))),
        ("port without TLS", plaintext_port),
    ]
}

async fn a_refused_connection_sends_nothing_in_plaintext(bench: Bench) -> Outcome {
    for (what, options) in refused(&bench) {
        let (proxy, options) = overheard(options.with_user(USER, password(USER))).await?;
        let error = connect(options).await.err().ok_or(what)?;
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{what}: {error}");
        nothing_was_read(&proxy, what);
    }
    Ok(())
}

async fn a_handle_that_is_refused_again_and_again_sends_nothing_in_plaintext(bench: Bench) -> Outcome {
    for (what, mut options) in refused(&bench) {
        options.handle.lazy = true;
        let (proxy, options) = overheard(options.with_user(USER, password(USER))).await?;
        let handle = connect(options).await?;
        handle.announce(&info()?)?;
        let watch = handle.watch(&ServiceName::new(SERVICE)?)?;
        let status = handle.status();
        let tried = async || (status.borrow().attempts > 2 && watch.latest().stale().is_some()).then_some(());
        eventually(Duration::from_secs(10), "it is refused and tries again", tried).await;
        nothing_was_read(&proxy, what);
    }
    Ok(())
}
