//! The secured etcd servers are what the tests of TLS and users expect: that each refusal comes from etcd and not from a bench that is wrong.

use std::fs;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use integration_tests::environment::{secured_etcd, secured_file};

use crate::{Outcome, tests};

tests![Etcd:
    the_user_of_the_registry_reads_and_writes_over_tls,
    the_user_of_the_registry_reads_and_writes_over_mutual_tls,
    the_rotated_pair_is_as_good_as_the_first,
    another_authoritys_client_is_refused,
    a_client_without_a_certificate_is_refused,
    localhost_is_the_wrong_host,
    the_reader_reads_and_may_not_write,
    the_stranger_may_not_read,
];

fn text(name: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(fs::read_to_string(secured_file(name)?)?)
}

/// A client of this user, with the certificate of this name, if any.
async fn enter(url: &str, user: &str, certificate: Option<&str>) -> Result<Client, Box<dyn std::error::Error>> {
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(text("certificates/ca.pem")?));
    if let Some(name) = certificate {
        let (pem, key) = (text(&format!("certificates/{name}.pem"))?, text(&format!("certificates/{name}.key"))?);
        tls = tls.identity(Identity::from_pem(pem, key));
    }
    let password = text(&format!("passwords/{user}"))?;
    let options = ConnectOptions::new().with_tls(tls).with_user(user, password.trim());
    Ok(Client::connect([url], Some(options)).await?)
}

async fn writes_and_reads(mut client: Client, key: &str) -> Outcome {
    client.put(key, "value", None).await?;
    assert_eq!(client.get(key, None).await?.kvs().len(), 1);
    Ok(())
}

async fn the_user_of_the_registry_reads_and_writes_over_tls() -> Outcome {
    let (tls, _) = secured_etcd()?;
    writes_and_reads(enter(&tls, "registry", None).await?, "bench/tls").await
}

async fn the_user_of_the_registry_reads_and_writes_over_mutual_tls() -> Outcome {
    let (_, mutual) = secured_etcd()?;
    writes_and_reads(enter(&mutual, "registry", Some("client")).await?, "bench/mutual").await
}

async fn the_rotated_pair_is_as_good_as_the_first() -> Outcome {
    let (_, mutual) = secured_etcd()?;
    writes_and_reads(enter(&mutual, "registry", Some("client-rotated")).await?, "bench/rotated").await
}

async fn another_authoritys_client_is_refused() -> Outcome {
    let (_, mutual) = secured_etcd()?;
    assert!(enter(&mutual, "registry", Some("other-client")).await.is_err());
    Ok(())
}

async fn a_client_without_a_certificate_is_refused() -> Outcome {
    let (_, mutual) = secured_etcd()?;
    assert!(enter(&mutual, "registry", None).await.is_err());
    Ok(())
}

async fn localhost_is_the_wrong_host() -> Outcome {
    let (tls, _) = secured_etcd()?;
    assert!(enter(&tls.replace("127.0.0.1", "localhost"), "registry", None).await.is_err());
    Ok(())
}

async fn the_reader_reads_and_may_not_write() -> Outcome {
    let (tls, _) = secured_etcd()?;
    let mut client = enter(&tls, "reader", None).await?;
    client.get("bench/reader", None).await?;
    is_denied(client.put("bench/reader", "value", None).await);
    Ok(())
}

async fn the_stranger_may_not_read() -> Outcome {
    let (tls, _) = secured_etcd()?;
    is_denied(enter(&tls, "stranger", None).await?.get("bench/stranger", None).await);
    Ok(())
}

fn is_denied<T>(result: Result<T, Error>) {
    let error = result.err().expect("a refusal");
    assert!(error.to_string().contains("permission denied"), "{error}");
}
