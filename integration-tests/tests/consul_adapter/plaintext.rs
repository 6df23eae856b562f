//! What somebody on the wire can read: with TLS nothing, whether Consul lets us in or not.

use integration_tests::{ConsulServer, Wiretap};
use registry_consul::{Material, Options, Secret, Tls, connect};

use crate::bench::{Bench, Outcome, tests};
use crate::secured::{certificate, on_mutual_tls, on_tls, text, token, trusting, with_identity};

tests![
    "REGISTRY_TEST_CONSUL", "REGISTRY_TEST_CONSUL_IMAGE", "REGISTRY_TEST_CONSUL_TLS", "REGISTRY_TEST_CONSUL_AUTH", "REGISTRY_TEST_SECURED" =>
    without_tls_entry_and_token_are_read_on_the_wire,
    under_tls_nothing_is_read_on_the_wire,
    under_mutual_tls_nothing_is_read_on_the_wire,
    a_refused_connection_sends_nothing_in_plaintext,
    a_handle_that_is_refused_again_and_again_sends_nothing_in_plaintext,
];

/// A wiretap in front of the agent that `options` name, for this token; and the options to go through it.
async fn overheard(mut options: Options, token: &str) -> Result<(Wiretap, Options), Box<dyn std::error::Error>> {
    let wiretap = Wiretap::start(&options.address, [token]).await?;
    options.address = wiretap.address();
    Ok((wiretap, options))
}

/// The same with the token that may do everything.
async fn overheard_token(options: Options) -> Result<(Wiretap, Options), Box<dyn std::error::Error>> {
    overheard(options.with_token(token("registry")), &text("tokens/registry")).await
}

async fn without_tls_entry_and_token_are_read_on_the_wire(_: Bench) -> Outcome {
    let server = ConsulServer::start().await?;
    let token = Material::Inline(Secret::new(server.root_token()));
    let (wiretap, options) = overheard(Options::new(server.url()).with_token(token), server.root_token()).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.everything_was_read();
    Ok(())
}

async fn under_tls_nothing_is_read_on_the_wire(_: Bench) -> Outcome {
    let (wiretap, options) = overheard_token(on_tls(trusting())).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.nothing_was_read("TLS");
    Ok(())
}

async fn under_mutual_tls_nothing_is_read_on_the_wire(_: Bench) -> Outcome {
    let (wiretap, options) = overheard_token(on_mutual_tls(with_identity("client"))).await?;
    wiretap.talk(connect(options).await?).await?;
    wiretap.nothing_was_read("mutual TLS");
    Ok(())
}

/// Options that an agent refuses, each with a word for it.
fn refused(bench: &Bench) -> Vec<(&'static str, Options)> {
    let mut plaintext_port = on_tls(trusting());
    plaintext_port.address = bench.url.trim_start_matches("http://").to_owned();
    vec![
        ("wrong CA", on_tls(Tls::new().with_ca(certificate("other-ca.pem")))),
        ("wrong host", on_tls(trusting().with_server_name("elsewhere.test"))),
        ("no client certificate", on_mutual_tls(trusting())),
        ("client certificate of another authority", on_mutual_tls(with_identity("other-client"))),
        ("port without TLS", plaintext_port),
    ]
}

async fn a_refused_connection_sends_nothing_in_plaintext(bench: Bench) -> Outcome {
    for (what, options) in refused(&bench) {
        let (wiretap, options) = overheard_token(options).await?;
        wiretap.was_refused(what, connect(options).await);
    }
    Ok(())
}

async fn a_handle_that_is_refused_again_and_again_sends_nothing_in_plaintext(bench: Bench) -> Outcome {
    for (what, mut options) in refused(&bench) {
        options.handle.lazy = true;
        let (wiretap, options) = overheard_token(options).await?;
        wiretap.talk_in_vain(&connect(options).await?).await?;
        wiretap.nothing_was_read(what);
    }
    Ok(())
}
