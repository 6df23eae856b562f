//! The program on real servers, as they should be and as they should not: the exit code, the one line, the report, and that nothing is left behind.
//!
//! `scripts/backends.sh all cargo test -p registry-check --all-features --test stores`; without servers these tests show as ignored.

use std::error::Error;
use std::net::SocketAddr;
use std::process::Command;

use etcd_client::GetOptions;
use integration_tests::environment::{Backend, secured_consul, secured_etcd, secured_file};
use integration_tests::{Acl, ConsulDoor, Running, ZooKeeperDoor, trial};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

type Outcome = Result<(), Box<dyn Error>>;

/// The user `registry` with the digest of its password `owners-51ae`, as ACLs have it: the Base64 form of `SHA1("registry:owners-51ae")`.
const OWNERS: Acl = Acl { permissions: 31, scheme: "digest", id: "registry:4MPCrSgVulKHjq86l4wblAZ7jdw=" };
/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

/// A test: its store, its name after that, and what it does.
type Test = (Backend, &'static str, fn() -> Running);

fn main() {
    let tests: [Test; 6] = [
        (Backend::Etcd, "a_sound_deployment_passes_and_is_left_empty", || Box::pin(sound_etcd())),
        (Backend::Etcd, "what_is_wrong_is_one_line", || Box::pin(async { wrong_etcd() })),
        (Backend::Zookeeper, "a_sound_deployment_passes_and_is_left_empty", || Box::pin(sound_zookeeper())),
        (Backend::Zookeeper, "what_is_wrong_is_one_line", || Box::pin(wrong_zookeeper())),
        (Backend::Consul, "a_sound_deployment_passes_and_is_left_empty", || Box::pin(sound_consul())),
        (Backend::Consul, "what_is_wrong_is_one_line", || Box::pin(async { wrong_consul() })),
    ];
    let trials: Vec<Trial> = tests.into_iter().map(|(backend, name, body)| trial(backend, name, body)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// Runs the program with a report: its exit code, the report, and what it said on standard error.
fn check(url: &str, clauses: &str) -> Result<(Option<i32>, Value, String), Box<dyn Error>> {
    let program = env!("CARGO_BIN_EXE_registry-check");
    let output = Command::new(program).args(["--json", "--ttl", "4", "--clause", clauses, url]).output()?;
    let said = String::from_utf8(output.stderr)?;
    let report = serde_json::from_slice(&output.stdout).map_err(|error| format!("{url}: {error}: {said}"))?;
    Ok((output.status.code(), report, said))
}

/// The cases of these clauses all pass.
fn passes(adapter: &str, url: &str, clauses: &str) -> Outcome {
    let (code, report, said) = check(url, clauses)?;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{report:#}");
    assert_eq!(report["adapter"], adapter);
    assert_eq!(report["summary"]["core"]["failed"], 0);
    let cases = report["cases"].as_array().cloned().unwrap_or_default();
    assert!(!cases.is_empty() && cases.iter().all(|case| case["outcome"] == "passed"), "{report:#}");
    Ok(())
}

/// There is nothing to judge: one line with these words, exit code 2, the kind in the report, and no secret.
fn says(url: &str, kind: &str, words: &[&str], secret: &str) -> Outcome {
    let (code, report, said) = check(url, "D1")?;
    assert_eq!(code, Some(2), "{url}: {said}");
    assert_eq!(said.lines().count(), 1, "{url}: {said}");
    assert_eq!(report["obstacle"]["kind"], kind, "{url}: {said}");
    assert_eq!(format!("registry-check: {}\n", report["obstacle"]["text"].as_str().unwrap_or_default()), said);
    for word in words {
        assert!(said.contains(word), "{url}: {word:?} is missing: {said}");
    }
    assert!(secret.is_empty() || !said.contains(secret) && !report.to_string().contains(secret), "{url}: {said}");
    Ok(())
}

/// Host and port of a server's URL.
fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

fn shared(backend: Backend) -> Result<(String, SocketAddr), Box<dyn Error>> {
    let host = host(&backend.url()?).to_owned();
    let address = host.parse()?;
    Ok((host, address))
}

fn file(name: &str) -> Result<String, String> {
    secured_file(name).map(|path| path.display().to_string())
}

/// The keys of a URL for mutual TLS; for TLS alone the first of them.
fn tls() -> Result<(String, String), String> {
    let ca = format!("ca_file={}", file("certificates/ca.pem")?);
    let (cert, key) = (file("certificates/client.pem")?, file("certificates/client.key")?);
    Ok((ca.clone(), format!("{ca}&cert_file={cert}&key_file={key}")))
}

fn none_of_ours(left: impl IntoIterator<Item = String>) {
    let ours: Vec<String> = left.into_iter().filter(|name| name.contains("registry-check-")).collect();
    assert!(ours.is_empty(), "the check left {ours:?}");
}

async fn sound_etcd() -> Outcome {
    let (plain, _) = shared(Backend::Etcd)?;
    for path in ["", "/checked/services"] {
        passes("etcd", &format!("etcd://{plain}{path}"), "R6,L2")?;
    }
    let mut door = etcd_client::Client::connect([Backend::Etcd.url()?], None).await?;
    let keys = door.get("", Some(GetOptions::new().with_all_keys().with_keys_only())).await?;
    none_of_ours(keys.kvs().iter().map(|entry| String::from_utf8_lossy(entry.key()).into_owned()));
    let ((on_tls, on_mutual), (ca, identity)) = (secured_etcd()?, tls()?);
    let user = format!("user=registry&password_file={}", file("passwords/registry")?);
    passes("etcd", &format!("etcd://{}/x?{ca}&{user}", host(&on_tls)), "D1")?;
    passes("etcd", &format!("etcd://{}/x?{identity}&{user}", host(&on_mutual)), "D1")
}

fn wrong_etcd() -> Outcome {
    let ((plain, _), (tls_url, mutual), (ca, _)) = (shared(Backend::Etcd)?, secured_etcd()?, tls()?);
    let secured = host(&tls_url);
    let reader = format!("user=reader&password_file={}", file("passwords/reader")?);
    says(&format!("etcd://registry:hunter2@{secured}/x?{ca}"), "Denied", &["cannot connect", "password"], "hunter2")?;
    says(&format!("etcd://{secured}/x?{ca}"), "Denied", &["cannot connect", "user"], "")?;
    says(&format!("etcd://{secured}/x?{ca}&{reader}"), "Denied", &["cannot register", "permission denied"], "")?;
    says(&format!("etcd://{NOBODY}/x"), "Unreachable", &["cannot connect", "Connection refused"], "")?;
    says(&format!("etcd://{secured}/x"), "Unreachable", &["cannot connect", "TLS"], "")?;
    says(&format!("etcd://{plain}/x?{ca}"), "Misconfigured", &["cannot connect", "TLS"], "")?;
    let certificate = format!("etcd://{}/x?{ca}&{reader}", host(&mutual));
    says(&certificate, "Misconfigured", &["cannot connect", "client certificate"], "")
}

async fn sound_zookeeper() -> Outcome {
    let (plain, address) = shared(Backend::Zookeeper)?;
    passes("zookeeper", &format!("zookeeper://{plain}"), "R6,L2")?;
    none_of_ours(ZooKeeperDoor::open(address).await?.children("/").await?);
    // Below a chroot of its own, which nobody else may enter.
    ZooKeeperDoor::open(address).await?.create("/checked", b"", OWNERS).await?;
    passes("zookeeper", &format!("zookeeper://registry:owners-51ae@{plain}/checked"), "R6,L2")?;
    // What is not empty cannot be deleted.
    assert!(ZooKeeperDoor::open(address).await?.delete("/checked").await?);
    Ok(())
}

async fn wrong_zookeeper() -> Outcome {
    let (plain, address) = shared(Backend::Zookeeper)?;
    for (path, acl) in [("/owned", OWNERS), ("/readable", Acl::world(1))] {
        ZooKeeperDoor::open(address).await?.create(path, b"", acl).await?;
    }
    let wrong = format!("zookeeper://registry:hunter2@{plain}/owned");
    says(&wrong, "Denied", &["does not permit it", "user and password"], "hunter2")?;
    says(&format!("zookeeper://{plain}/readable"), "Denied", &["does not permit it", "access list"], "")?;
    says(&format!("zookeeper://{NOBODY}"), "Unreachable", &["cannot connect"], "")?;
    // Some other server's port: nothing that speaks ZooKeeper's protocol.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let silent = listener.local_addr()?;
    says(&format!("zookeeper://{silent}"), "Unreachable", &["cannot connect", "answer"], "")?;
    let mut door = ZooKeeperDoor::open(address).await?;
    assert!(door.delete("/owned").await? && door.delete("/readable").await?, "the check left something, or took it");
    Ok(())
}

async fn sound_consul() -> Outcome {
    let (plain, address) = shared(Backend::Consul)?;
    passes("consul", &format!("consul://{plain}"), "R6,L2")?;
    let services = ConsulDoor::new(address, None).services().await?;
    none_of_ours(services.into_iter().map(|(id, service)| format!("{id} {service}")));
    let ((on_tls, on_mutual), (ca, identity)) = (secured_consul()?, tls()?);
    let token = format!("token_file={}", file("tokens/registry")?);
    passes("consul", &format!("consul://{}?{ca}&{token}", host(&on_tls)), "D1")?;
    passes("consul", &format!("consul://{}?{identity}&{token}", host(&on_mutual)), "D1")
}

fn wrong_consul() -> Outcome {
    let ((plain, _), (tls_url, mutual), (ca, _)) = (shared(Backend::Consul)?, secured_consul()?, tls()?);
    let secured = host(&tls_url);
    let token = |name: &str| file(&format!("tokens/{name}")).map(|path| format!("token_file={path}"));
    says(&format!("consul://{secured}?{ca}&token=hunter2"), "Denied", &["cannot connect", "token"], "hunter2")?;
    says(
        &format!("consul://{secured}?{ca}&{}", token("reader")?),
        "Denied",
        &["cannot register", "service:write"],
        "",
    )?;
    says(&format!("consul://{NOBODY}"), "Unreachable", &["cannot connect", "Connection refused"], "")?;
    says(&format!("consul://{secured}?{}", token("registry")?), "Misconfigured", &["cannot connect", "TLS"], "")?;
    says(&format!("consul://{plain}?{ca}"), "Misconfigured", &["cannot connect", "TLS"], "")?;
    let certificate = format!("consul://{}?{ca}&{}", host(&mutual), token("registry")?);
    says(&certificate, "Misconfigured", &["cannot connect", "client certificate"], "")
}
