//! Users, TLS and mutual TLS, on the secured servers that `scripts/backends.sh` starts.
//!
//! `REGISTRY_TEST_ETCD_TLS` and `REGISTRY_TEST_ETCD_AUTH` name the server with TLS and that with mutual TLS, both with users, and
//! `REGISTRY_TEST_SECURED` the folder with certificates and passwords.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, Permission, RoleRevokePermissionOptions, TlsOptions};
use registry_core::store::{Guard, SessionError, Standing, Store, StoreError, WriteError};
use registry_core::{ErrorKind, Info};
use registry_etcd::{Material, Options, Registry, Resolver, Secret, Tls, connect};

use crate::bench::{Bench, Outcome, Owner, eventually, info, tests};

tests![
    "REGISTRY_TEST_ETCD", "REGISTRY_TEST_ETCD_TLS", "REGISTRY_TEST_ETCD_AUTH", "REGISTRY_TEST_SECURED" =>
    tls_and_a_user_are_enough,
    mutual_tls_and_a_user_are_enough,
    what_is_wrong_with_tls_is_said,
    what_is_wrong_with_the_user_is_said,
    a_role_that_may_not_write_or_read_is_denied,
    a_token_that_is_not_valid_any_more_is_renewed,
    a_rotated_password_file_is_picked_up,
    a_rotated_certificate_is_picked_up_by_the_next_session,
    a_role_for_one_service_is_denied_another_and_fences_by_ending_its_lease,
    a_role_that_was_narrowed_costs_the_session_and_no_entry,
    a_watcher_whose_permission_is_revoked_is_told,
];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn folder() -> PathBuf {
    variable("REGISTRY_TEST_SECURED").into()
}

pub(crate) fn certificate(name: &str) -> Material {
    Material::File(folder().join("certificates").join(name))
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap().trim_end().to_owned()
}

pub(crate) fn password(user: &str) -> Material {
    Material::File(folder().join("passwords").join(user))
}

pub(crate) fn trusting() -> Tls {
    Tls::new().with_ca(certificate("ca.pem"))
}

pub(crate) fn with_identity(name: &str) -> Tls {
    trusting().with_identity(certificate(&format!("{name}.pem")), certificate(&format!("{name}.key")))
}

/// The server with TLS, without a user yet.
fn on_tls(bench: &Bench, tls: Tls) -> Options {
    options(bench, "REGISTRY_TEST_ETCD_TLS", tls)
}

/// The server with mutual TLS, without a user yet.
fn on_mutual_tls(bench: &Bench, tls: Tls) -> Options {
    options(bench, "REGISTRY_TEST_ETCD_AUTH", tls)
}

pub(crate) fn options(bench: &Bench, server: &str, tls: Tls) -> Options {
    let mut options = bench.options().with_tls(tls);
    options.endpoints = vec![variable(server)];
    options
}

/// The back door to the server with TLS.
async fn root() -> etcd_client::Client {
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(text("certificates/ca.pem")))
        .identity(Identity::from_pem(text("certificates/client.pem"), text("certificates/client.key")));
    let options =
        ConnectOptions::new().with_tls(tls).with_user("root", text("passwords/root")).with_auto_token_refresh(true);
    etcd_client::Client::connect([variable("REGISTRY_TEST_ETCD_TLS")], Some(options)).await.unwrap()
}

/// Makes a user of its own for a test, who may read and write what begins with `keys`.
async fn new_user(bench: &Bench, keys: &str, password: &str) -> String {
    let name = bench.prefix.replace('/', "-");
    let mut auth = root().await.auth_client();
    auth.user_add(name.as_str(), password, None).await.unwrap();
    auth.role_add(name.as_str()).await.unwrap();
    auth.role_grant_permission(name.as_str(), Permission::read_write(keys).with_prefix()).await.unwrap();
    auth.user_grant_role(name.as_str(), name.as_str()).await.unwrap();
    name
}

/// A file of one test.
fn own_file(bench: &Bench, name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", bench.prefix.replace('/', "-")))
}

async fn it_works(options: Options) -> Outcome {
    let handle = connect(options).await?;
    handle.register(&info(1)).await?;
    assert_eq!(handle.resolve(&"demo".try_into()?).await?.len(), 1);
    handle.close().await?;
    Ok(())
}

async fn tls_and_a_user_are_enough(bench: Bench) -> Outcome {
    it_works(on_tls(&bench, trusting()).with_user("registry", password("registry"))).await
}

async fn mutual_tls_and_a_user_are_enough(bench: Bench) -> Outcome {
    it_works(on_mutual_tls(&bench, with_identity("client")).with_user("registry", password("registry"))).await
}

async fn what_is_wrong_with_tls_is_said(bench: Bench) -> Outcome {
    let inline = |text: &str| Material::Inline(Secret::new(text));
    let nonsense = "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n";
    let mut plaintext_port = on_tls(&bench, trusting());
    plaintext_port.endpoints = vec![bench.url.replace("http://", "")];
    let mismatch = trusting().with_identity(certificate("client.pem"), certificate("other-client.key"));
    let rows = [
        (on_tls(&bench, Tls::new().with_ca(certificate("other-ca.pem"))), "CA given"),
        (on_tls(&bench, trusting().with_server_name("elsewhere.test")), "server_name"),
        (on_tls(&bench, Tls::new().with_ca(inline("garbage"))), "no PEM"),
        (on_tls(&bench, Tls::new().with_ca(inline(nonsense))), "check the CA"),
        (on_tls(&bench, Tls::new().with_ca(certificate("missing.pem"))), "missing.pem"),
        (on_mutual_tls(&bench, trusting()), "client certificate"),
        (on_mutual_tls(&bench, with_identity("other-client")), "client certificate"),
        (on_mutual_tls(&bench, mismatch), "client key"),
        (plaintext_port, "TLS"),
    ];
    for (options, word) in rows {
        let error = connect(options.with_user("registry", password("registry"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.message().contains(word), "{word} is missing in {error}");
    }
    Ok(())
}

async fn what_is_wrong_with_the_user_is_said(bench: Bench) -> Outcome {
    let wrong = Material::Inline(Secret::new("tiger-in-the-tank"));
    let rows = [
        (on_tls(&bench, trusting()).with_user("registry", wrong.clone()), "check user and password"),
        (on_tls(&bench, trusting()).with_user("nobody", wrong), "check user and password"),
        (on_tls(&bench, trusting()), "wants a user"),
    ];
    for (options, word) in rows {
        let shown = format!("{options:?}");
        let error = connect(options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.message().contains(word), "{word} is missing in {error}");
        assert!(!format!("{shown}{error}{error:?}").contains("tiger-in-the-tank"));
    }
    Ok(())
}

async fn a_role_that_may_not_write_or_read_is_denied(bench: Bench) -> Outcome {
    let service = "demo".try_into()?;
    let reader = connect(on_tls(&bench, trusting()).with_user("reader", password("reader"))).await?;
    assert!(reader.resolve(&service).await?.is_empty());
    let error = reader.register(&info(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.message().contains("grant the user a role"), "{error}");
    let stranger = connect(on_tls(&bench, trusting()).with_user("stranger", password("stranger"))).await?;
    let error = stranger.resolve(&service).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let watch = stranger.watch(&service)?;
    let denied = async || watch.latest().stale().is_some_and(|stale| stale.kind == ErrorKind::Denied);
    eventually("the watch says denied", denied).await;
    assert!(!watch.latest().is_known());
    Ok(())
}

async fn a_token_that_is_not_valid_any_more_is_renewed(bench: Bench) -> Outcome {
    let user = new_user(&bench, &bench.prefix, "lion").await;
    let options = on_tls(&bench, trusting()).with_user(user.as_str(), Material::Inline(Secret::new("lion")));
    let owner = Owner::open(options.client()?).await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    // etcd forgets a user's tokens when the password is set, be it to the same one.
    root().await.auth_client().user_change_password(user.as_str(), "lion").await?;
    assert_eq!(owner.client.list(&"demo".try_into()?).await?.len(), 1);
    root().await.auth_client().user_change_password(user.as_str(), "lion").await?;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    assert!(owner.session.renew(&[]).await.is_ok());
    Ok(())
}

async fn a_rotated_password_file_is_picked_up(bench: Bench) -> Outcome {
    let (user, file) = (new_user(&bench, &bench.prefix, "lion").await, own_file(&bench, "password"));
    fs::write(&file, "lion\n")?;
    let options = on_tls(&bench, trusting()).with_user(user.as_str(), Material::File(file.clone()));
    let handle = connect(options).await?;
    handle.register(&info(1)).await?;
    fs::write(&file, "wolf\n")?;
    root().await.auth_client().user_change_password(user.as_str(), "wolf").await?;
    assert_eq!(handle.resolve(&"demo".try_into()?).await?.len(), 1);
    handle.register(&info(2)).await?;
    let watch = handle.watch(&"demo".try_into()?)?;
    eventually("the watch has both", async || watch.latest().len() == 2).await;
    handle.close().await?;
    Ok(fs::remove_file(&file)?)
}

async fn a_rotated_certificate_is_picked_up_by_the_next_session(bench: Bench) -> Outcome {
    let (pem, key) = (own_file(&bench, "pem"), own_file(&bench, "key"));
    let present = |name: &str| {
        fs::write(&pem, text(&format!("certificates/{name}.pem"))).unwrap();
        fs::write(&key, text(&format!("certificates/{name}.key"))).unwrap();
    };
    present("client");
    let tls = trusting().with_identity(Material::File(pem.clone()), Material::File(key.clone()));
    let client = on_mutual_tls(&bench, tls).with_user("registry", password("registry")).client()?;
    let mut owner = Owner::open(client).await;
    present("other-client");
    let request = registry_core::store::OpenRequest::new(Duration::from_secs(5), 0, owner.lineage.owner().clone());
    assert!(owner.client.open(request).await.is_err(), "the pair that the server refuses was not read");
    present("client-rotated");
    owner.reopen().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    owner.session.end().await?;
    Ok([pem, key].iter().try_for_each(fs::remove_file)?)
}

async fn a_role_for_one_service_is_denied_another_and_fences_by_ending_its_lease(bench: Bench) -> Outcome {
    let user = new_user(&bench, &bench.key("demo/"), "lion").await;
    let options = on_tls(&bench, trusting()).with_user(user.as_str(), Material::Inline(Secret::new("lion")));
    let owner = Owner::open(options.client()?).await;
    assert!(owner.session.fencing_ends_session());
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let stranger = owner.client.encode(&Info::builder("other").address("10.0.0.1:8888").build()?)?;
    let shown = owner.session.inspect(&[owner.record(1), stranger], &owner.lineage).await.unwrap();
    let is_denied =
        |shown: &Result<_, StoreError>| shown.as_ref().is_err_and(|error| error.kind() == ErrorKind::Denied);
    let ours = Standing::Ours { current: true, same: true };
    assert!(matches!(&shown[..], [Ok(first), denied] if *first == ours && is_denied(denied)), "{shown:?}");
    assert!(matches!(owner.session.fence().await, Err(SessionError::Lost)));
    assert!(owner.client.list(&"demo".try_into()?).await?.is_empty());
    assert!(matches!(owner.session.renew(&[]).await, Err(SessionError::Lost)));
    Ok(())
}

async fn a_role_that_was_narrowed_costs_the_session_and_no_entry(bench: Bench) -> Outcome {
    let (user, all) = (new_user(&bench, &bench.key(""), "lion").await, bench.key(""));
    let options = on_tls(&bench, trusting()).with_user(user.as_str(), Material::Inline(Secret::new("lion")));
    let mut owner = Owner::open(options.client()?).await;
    assert!(!owner.session.fencing_ends_session());
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let mut auth = root().await.auth_client();
    let (service, end) = (Permission::read_write(bench.key("demo/")).with_prefix(), RoleRevokePermissionOptions::new());
    auth.role_grant_permission(user.as_str(), service).await?;
    auth.role_revoke_permission(user.as_str(), all, Some(end.with_prefix())).await?;
    let refused = owner.put_all(&[(1, Guard::AbsentOrOurs), (2, Guard::Claim)]).await;
    assert!(refused.iter().all(|one| matches!(one, Err(WriteError::SessionLost))), "{refused:?}");
    owner.reopen().await;
    assert!(owner.session.fencing_ends_session());
    for number in [1, 2] {
        assert!(owner.put(number, Guard::AbsentOrOurs).await.is_ok());
    }
    owner.session.end().await?;
    Ok(())
}

async fn a_watcher_whose_permission_is_revoked_is_told(bench: Bench) -> Outcome {
    let (user, keys) = (new_user(&bench, &bench.key(""), "lion").await, bench.key(""));
    let options = on_tls(&bench, trusting()).with_user(user.as_str(), Material::Inline(Secret::new("lion")));
    let (server, client) = (connect(options.clone()).await?, connect(options).await?);
    server.register(&info(1)).await?;
    let watch = client.watch(&"demo".try_into()?)?;
    eventually("the watch has it", async || watch.latest().len() == 1).await;
    let mut auth = root().await.auth_client();
    auth.role_grant_permission(user.as_str(), Permission::write(keys.as_str()).with_prefix()).await?;
    let denied = async || watch.latest().stale().is_some_and(|stale| stale.kind == ErrorKind::Denied);
    eventually("the watch says denied", denied).await;
    assert_eq!(watch.latest().len(), 1, "what was known stays");
    auth.role_grant_permission(user.as_str(), Permission::read_write(keys.as_str()).with_prefix()).await?;
    eventually("the watch is fresh again", async || watch.latest().stale().is_none()).await;
    Ok(())
}
