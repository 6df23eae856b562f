//! Tokens, TLS and mutual TLS, on the secured servers that `scripts/backends.sh` starts.
//!
//! `REGISTRY_TEST_CONSUL_TLS` and `REGISTRY_TEST_CONSUL_AUTH` name the server with TLS and that with mutual TLS, both with tokens, and
//! `REGISTRY_TEST_SECURED` the folder with certificates and tokens.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use integration_tests::{ConsulServer, eventually, never};
use registry_consul::{HandleOptions, Info, Material, Options, Registry, Resolver, Secret, Tls, connect};
use registry_core::ErrorKind;
use registry_core::store::{Guard, Standing, Store, StoreError};

use crate::bench::{Bench, Outcome, TTL, tests};

tests![
    "REGISTRY_TEST_CONSUL", "REGISTRY_TEST_CONSUL_TLS", "REGISTRY_TEST_CONSUL_AUTH", "REGISTRY_TEST_SECURED" =>
    tls_and_a_token_are_enough,
    mutual_tls_and_a_token_are_enough,
    a_certificate_is_checked_for_the_name_given_whatever_host_is_dialled,
    what_is_wrong_with_tls_is_said,
    what_is_wrong_with_the_token_is_said,
    a_token_that_may_not_write_or_read_is_denied_or_finds_nothing,
    a_token_for_one_service_keeps_that_alive_and_is_denied_another,
    a_rotated_token_file_is_picked_up,
    a_rotated_certificate_is_picked_up_by_the_next_session,
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

pub(crate) fn token(of: &str) -> Material {
    Material::File(folder().join("tokens").join(of))
}

pub(crate) fn trusting() -> Tls {
    Tls::new().with_ca(certificate("ca.pem"))
}

pub(crate) fn with_identity(name: &str) -> Tls {
    trusting().with_identity(certificate(&format!("{name}.pem")), certificate(&format!("{name}.key")))
}

/// The server with TLS, without a token yet.
pub(crate) fn on_tls(tls: Tls) -> Options {
    options("REGISTRY_TEST_CONSUL_TLS", tls)
}

/// The server with mutual TLS, without a token yet.
pub(crate) fn on_mutual_tls(tls: Tls) -> Options {
    options("REGISTRY_TEST_CONSUL_AUTH", tls)
}

fn options(server: &str, tls: Tls) -> Options {
    let mut timings = HandleOptions::with_ttl(TTL);
    timings.operation_timeout = Duration::from_secs(3);
    Options::new(variable(server)).with_tls(tls).with_handle(timings)
}

/// A file of one test.
fn own_file(bench: &Bench, name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", bench.service))
}

async fn it_works(bench: &Bench, options: Options) -> Outcome {
    let handle = connect(options).await?;
    handle.register(&bench.info(1)).await?;
    let found = async || (handle.resolve(&bench.service).await.ok()?.len() == 1).then_some(());
    eventually(Duration::from_secs(5), "it is found", found).await;
    Ok(handle.close().await?)
}

async fn tls_and_a_token_are_enough(bench: Bench) -> Outcome {
    it_works(&bench, on_tls(trusting()).with_token(token("registry"))).await
}

async fn mutual_tls_and_a_token_are_enough(bench: Bench) -> Outcome {
    it_works(&bench, on_mutual_tls(with_identity("client")).with_token(token("registry"))).await
}

async fn a_certificate_is_checked_for_the_name_given_whatever_host_is_dialled(bench: Bench) -> Outcome {
    let mut options = on_tls(trusting().with_server_name("consul.test")).with_token(token("registry"));
    options.address = options.address.replace("127.0.0.1", "localhost");
    it_works(&bench, options).await
}

async fn what_is_wrong_with_tls_is_said(bench: Bench) -> Outcome {
    let inline = |text: &str| Material::Inline(Secret::new(text));
    let nonsense = "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n";
    let mut plaintext_port = on_tls(trusting());
    plaintext_port.address = bench.url.replace("http://", "https://");
    let mut wrong_name = on_tls(trusting());
    wrong_name.address = wrong_name.address.replace("127.0.0.1", "localhost");
    let mismatch = trusting().with_identity(certificate("client.pem"), certificate("other-client.key"));
    let garbage = trusting().with_identity(inline(nonsense), certificate("client.key"));
    let rows = [
        (on_tls(Tls::new().with_ca(certificate("other-ca.pem"))), "CA given"),
        (on_tls(Tls::new()), "CA given"),
        (on_tls(Tls::new().with_ca(inline("garbage"))), "no PEM"),
        (on_tls(Tls::new().with_ca(inline(nonsense))), "check the CA"),
        (on_tls(Tls::new().with_ca(certificate("missing.pem"))), "missing.pem"),
        (on_mutual_tls(trusting()), "client certificate"),
        (on_mutual_tls(with_identity("other-client")), "client certificate"),
        (on_mutual_tls(mismatch), "client key"),
        (on_mutual_tls(garbage), "client certificate"),
        (plaintext_port, "TLS"),
        (wrong_name, "the host of the address"),
    ];
    for (options, word) in rows {
        let error = connect(options.with_token(token("registry"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.message().contains(word), "{word} is missing in {error}");
    }
    Ok(())
}

async fn what_is_wrong_with_the_token_is_said(bench: Bench) -> Outcome {
    let wrong = "5f5f5f5f-aaaa-bbbb-cccc-0123456789ab";
    let options = on_tls(trusting()).with_token(Material::Inline(Secret::new(wrong)));
    let shown = format!("{options:?}");
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.message().contains("does not know this token"), "{error}");
    assert!(!format!("{shown}{error}{error:?}").contains(wrong));
    // Without one, everybody is the anonymous one, who may connect and nothing else.
    let error = connect(on_tls(trusting())).await?.register(&bench.info(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.message().contains("policy"), "{error}");
    Ok(())
}

async fn a_token_that_may_not_write_or_read_is_denied_or_finds_nothing(bench: Bench) -> Outcome {
    let owner = connect(on_tls(trusting()).with_token(token("registry"))).await?;
    owner.register(&bench.info(1)).await?;
    let reader = connect(on_tls(trusting()).with_token(token("reader"))).await?;
    let found = async || (reader.resolve(&bench.service).await.ok()?.len() == 1).then_some(());
    eventually(Duration::from_secs(5), "the reader finds it", found).await;
    let error = reader.register(&bench.info(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    // Consul leaves out what a token may not read, and says nothing about it.
    let stranger = connect(on_tls(trusting()).with_token(token("stranger"))).await?;
    assert!(stranger.resolve(&bench.service).await?.is_empty());
    Ok(owner.close().await?)
}

async fn a_token_for_one_service_keeps_that_alive_and_is_denied_another(bench: Bench) -> Outcome {
    const TOKEN: &str = "7c1f0e52-0000-4000-8000-00000000a001";
    let (server, service) = (ConsulServer::start().await?, &bench.service);
    server.door().set_policy("one", &format!("service \"{service}\" {{ policy = \"write\" }}")).await?;
    server.door().add_token(TOKEN, "one").await?;
    let as_one = Options::new(server.url()).with_token(Material::Inline(Secret::new(TOKEN))).with_ttl(TTL);
    let as_root = Options::new(server.url()).with_token(Material::Inline(Secret::new(server.root_token())));
    let other = bench.owner_with(as_one.client()?).await;
    let (owner, root) = (connect(as_one).await?, connect(as_root).await?);
    owner.register(&bench.info(1)).await?;
    let stranger = Info::builder(format!("{service}-other")).address("10.0.0.1:8888").build()?;
    let error = owner.register(&stranger).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.message().contains("policy") && !error.message().contains(TOKEN), "{error}");
    root.register(&stranger).await?;
    let records = [other.record(1), other.client.encode(&stranger)?];
    let shown = other.session.inspect(&records, &other.lineage).await.unwrap();
    let is_denied =
        |shown: &Result<_, StoreError>| shown.as_ref().is_err_and(|error| error.kind() == ErrorKind::Denied);
    assert!(matches!(&shown[..], [Ok(Standing::Foreign), denied] if is_denied(denied)), "{shown:?}");
    let found = async || (root.resolve(service).await.ok()?.len() == 1).then_some(());
    eventually(Duration::from_secs(5), "it is found", found).await;
    let missed = eventually(TTL * 20, "it is missed", async || found().await.is_none().then_some(()));
    never(TTL * 3, "a beat was denied, and it is missed", missed).await;
    assert!(owner.resolve(service).await?.is_empty(), "it may not read the nodes, so that Consul shows it nothing");
    Ok(owner.close().await?)
}

async fn a_rotated_token_file_is_picked_up(bench: Bench) -> Outcome {
    let file = own_file(&bench, "token");
    fs::write(&file, text("tokens/reader") + "\n")?;
    let handle = connect(on_tls(trusting()).with_token(Material::File(file.clone()))).await?;
    assert_eq!(handle.register(&bench.info(1)).await.unwrap_err().kind(), ErrorKind::Denied);
    fs::write(&file, text("tokens/registry") + "\n")?;
    handle.register(&bench.info(1)).await?;
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
    let client = on_mutual_tls(tls).with_token(token("registry")).client()?;
    let mut owner = bench.owner_with(client).await;
    present("other-client");
    let request = registry_core::store::OpenRequest::new(TTL, 0, owner.lineage.owner().clone());
    assert!(owner.client.open(request.clone()).await.is_err(), "the pair that the server refuses was not read");
    present("client-rotated");
    owner.session = owner.client.open(request).await.unwrap();
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    owner.remove(1).await;
    Ok([pem, key].iter().try_for_each(fs::remove_file)?)
}
