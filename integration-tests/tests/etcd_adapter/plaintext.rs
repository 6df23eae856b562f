//! What somebody on the wire can read: with TLS nothing, whether etcd lets us in or not.

use etcd_client::{Client as Door, Permission};
use integration_tests::{EtcdServer, Wiretap};
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

/// A wiretap in front of the server that `options` name, for these secrets; and the options to go through it.
async fn overheard(mut options: Options, secrets: &[&str]) -> Result<(Wiretap, Options), Box<dyn std::error::Error>> {
    let server = options.endpoints.first().ok_or("no endpoint")?;
    let wiretap = Wiretap::start(server, secrets.iter().copied()).await?;
    options.endpoints = vec![wiretap.address()];
    Ok((wiretap, options))
}

/// The same with the user that may do everything.
async fn overheard_user(options: Options) -> Result<(Wiretap, Options), Box<dyn std::error::Error>> {
    overheard(options.with_user(USER, password(USER)), &[USER, &text("passwords/registry")]).await
}

async fn without_tls_the_entry_is_read_on_the_wire(bench: Bench) -> Outcome {
    let (wiretap, options) = overheard(bench.options(), &[]).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.everything_was_read();
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
    let (wiretap, options) = overheard(options, &[USER, &word]).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.everything_was_read();
    Ok(())
}

async fn under_tls_nothing_is_read_on_the_wire(bench: Bench) -> Outcome {
    let (wiretap, options) = overheard_user(options(&bench, TLS, trusting())).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.nothing_was_read("TLS");
    Ok(())
}

async fn under_mutual_tls_nothing_is_read_on_the_wire(bench: Bench) -> Outcome {
    let (wiretap, options) = overheard_user(options(&bench, MUTUAL, with_identity("client"))).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.nothing_was_read("mutual TLS");
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
        let (wiretap, options) = overheard_user(options).await?;
        wiretap.was_refused(what, connect(options).await);
    }
    Ok(())
}

async fn a_handle_that_is_refused_again_and_again_sends_nothing_in_plaintext(bench: Bench) -> Outcome {
    for (what, mut options) in refused(&bench) {
        options.handle.lazy = true;
        let (wiretap, options) = overheard_user(options).await?;
        wiretap.talk_in_vain(&connect(options).await?).await?;
        wiretap.nothing_was_read(what);
    }
    Ok(())
}
