//! What the Consul adapter costs, measured against plain requests through the same pooled HTTP client: prints a table.
//!
//! `scripts/backends.sh all cargo bench -p integration-tests --bench consul`, about ten minutes. With words behind `--` only the rows whose group is named:
//! `registrations` (the wiped agent among them), `beats`, `latency`, `resolve`.
//!
//! Each row gives median and spread (lowest and highest round) of the ratio per round, ours to theirs, in alternating rounds, because machines are noisy.
//! Both sides are on a server of their own or on one in the same state, and keep at most 32 requests under way.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]
#![allow(clippy::unwrap_used, reason = "a measurement ends by panicking")]

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use integration_tests::{ConsulServer, docker};
use registry_consul::{
    Handle, HandleOptions, Info, Material, Options, Registry, Resolver, Secret, ServiceName, Watch, connect,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const ROUNDS: usize = 7;
const MANY: usize = 2_000;
const AT_ONCE: usize = 32;
const TTL: Duration = Duration::from_secs(30);
/// Within what time everything that is waited for comes, or the measurement is void.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |group: &str| asked.is_empty() || asked.iter().any(|word| word == group);
    println!("| what | ours (median) | plain (median) | ratio: median (lowest to highest of {ROUNDS} rounds) | goal |");
    println!("|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if wanted("registrations") {
            registrations().await;
        }
        if wanted("beats") {
            beats().await;
        }
        if wanted("latency") {
            latency(0).await;
            latency(500).await;
        }
        if wanted("resolve") {
            resolve().await;
        }
    });
}

/// 2,000 concurrent `register` calls on one handle: ours reads who stands there, registers as critical, and passes; plain is one request each. Then, from the
/// moment when the wiped agent serves again until all 2,000 pass, without anybody's doing; against writing them by hand at that moment.
async fn registrations() {
    let server = ConsulServer::start().await.unwrap();
    let (mut registered, mut back) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let handle = open(&server).await;
        let ours = timed(register_all(&handle, MANY)).await;
        server.wipe().await.unwrap();
        let plain = Plain::new(&server);
        let ours_again = timed(async { while plain.passing().await < MANY {} }).await;
        drop(handle);
        server.wipe().await.unwrap();
        let theirs = timed(Plain::new(&server).register_all(MANY)).await;
        server.wipe().await.unwrap();
        registered.push((ours, theirs));
        back.push((ours_again, theirs));
    }
    row("2,000 registrations on one handle", &registered, "at most 2");
    let bound = |written: Duration| Duration::from_secs(5 + 2) + TTL / 3 + written * 2;
    let late = back.iter().filter(|(ours, theirs)| *ours > bound(*theirs)).count();
    let goal = format!("the recovery bound: 17 s and twice the writing; late in {late} of {ROUNDS} rounds");
    row("2,000 back after a wiped agent", &back, &goal);
}

/// 2,000 checks kept for 10 s, each passed every 10 s. Both sides at once, on a server and a thread each, so that what else runs on the machine weighs alike.
async fn beats() {
    let (ours, plain) = (ConsulServer::start().await.unwrap(), ConsulServer::start().await.unwrap());
    let agents = [process(&ours).await, process(&plain).await];
    let (address, token) = (ours.url(), ours.root_token());
    let our_thread = Kept::start(async move || {
        let handle = connect(options(&address, token)).await.unwrap();
        register_all(&handle, MANY).await;
        handle
    });
    let requests = Plain::new(&plain);
    let their_thread = Kept::start(async move || {
        requests.register_all(MANY).await;
        // It ends with the runtime.
        drop(tokio::spawn(requests.beat()));
    });
    let threads = [our_thread.ready(), their_thread.ready()];
    let cpu = || {
        let [ours, theirs] = [0, 1].map(|side| (cpu_of_process(&agents[side]), cpu_of_thread(&threads[side])));
        (ours, theirs)
    };
    let window = TTL / 3;
    // The beats' own rhythm, and whatever the registrations left to do.
    tokio::time::sleep(window * 2).await;
    let (mut agent, mut own) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (before, began) = (cpu(), Instant::now());
        tokio::time::sleep(window).await;
        let (after, part) = (cpu(), window.as_secs_f64() / began.elapsed().as_secs_f64());
        agent.push(((after.0.0 - before.0.0).mul_f64(part), (after.1.0 - before.1.0).mul_f64(part)));
        own.push(((after.0.1 - before.0.1).mul_f64(part), (after.1.1 - before.1.1).mul_f64(part)));
    }
    row("heart-beats of 2,000 checks for 10 s: the agent's CPU time", &agent, "at most 1.2");
    row("heart-beats of 2,000 checks for 10 s: our own CPU time", &own, "at most 2");
}

/// From the call of `register` to the watcher's item, beside so many instances; against a plain registration and a plain waiting query.
async fn latency(beside: usize) {
    const SAMPLES: usize = 15;
    let server = ConsulServer::start().await.unwrap();
    let plain = Plain::new(&server);
    plain.register_all(beside).await;
    let (owner, reader) = (open(&server).await, open(&server).await);
    let mut watch = reader.watch(&service()).unwrap();
    watch.ready(beside, PATIENCE).await.unwrap();
    let (mut rounds, mut all) = (Vec::new(), (Vec::new(), Vec::new()));
    for round in 0..=ROUNDS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..SAMPLES {
            ours.push(seen_by_watch(&owner, &mut watch).await);
        }
        for _ in 0..SAMPLES {
            theirs.push(plain.seen_by_query().await);
        }
        if round > 0 {
            rounds.push((quantile(&mut ours, 0.5), quantile(&mut theirs, 0.5)));
            all.0.extend(ours);
            all.1.extend(theirs);
        }
    }
    let what = if beside == 0 { "alone".to_owned() } else { format!("beside {beside} instances") };
    row(&format!("from `register` to the watcher's item, {what}: p50"), &rounds, "at most 1.5");
    let p99 = [&mut all.0, &mut all.1].map(|times| quantile(times, 0.99));
    println!("| the same: p99 of all {} samples | {:.1?} | {:.1?} | | none set |", ROUNDS * SAMPLES, p99[0], p99[1]);
    owner.close().await.unwrap();
}

async fn seen_by_watch(owner: &Handle, watch: &mut Watch) -> Duration {
    let (info, mut item) = (info(MANY), Duration::ZERO);
    let began = Instant::now();
    let registering = async { owner.register(&info).await.unwrap() };
    let watching = async {
        while watch.latest().get(info.address().as_str()).is_none() {
            watch.next().await.unwrap();
        }
        item = began.elapsed();
    };
    within(async { tokio::join!(registering, watching) }).await;
    owner.deregister(&info).await.unwrap();
    within(async {
        while watch.latest().get(info.address().as_str()).is_some() {
            watch.next().await.unwrap();
        }
    })
    .await;
    settle().await;
    item
}

/// `resolve` of 2,000 instances, against a plain request whose answer is read as JSON.
async fn resolve() {
    const TIMES: u32 = 10;
    let server = ConsulServer::start().await.unwrap();
    let (plain, handle) = (Plain::new(&server), open(&server).await);
    plain.register_all(MANY).await;
    within(async { while handle.resolve(&service()).await.unwrap().len() < MANY {} }).await;
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let ours = timed(async {
            for _ in 0..TIMES {
                assert_eq!(handle.resolve(&service()).await.unwrap().len(), MANY);
            }
        });
        let ours = ours.await / TIMES;
        let theirs = timed(async {
            for _ in 0..TIMES {
                assert_eq!(plain.list("consistent").await.1.as_array().unwrap().len(), MANY);
            }
        });
        let theirs = theirs.await / TIMES;
        rounds.extend((round > 0).then_some((ours, theirs)));
    }
    row("`resolve` of 2,000 instances", &rounds, "at most 1.2");
}

/// Requests by hand.
#[derive(Clone)]
struct Plain {
    http: reqwest::Client,
    base: String,
    token: &'static str,
}

impl Plain {
    /// The client that the adapter makes, by the same settings.
    fn new(server: &ConsulServer) -> Self {
        let http = reqwest::Client::builder().http1_only().no_proxy().gzip(true).tcp_nodelay(true);
        Self { http: http.build().unwrap(), base: server.url(), token: server.root_token() }
    }

    async fn put(&self, path: &str, body: Option<Value>) {
        let request = self.http.put(format!("{}{path}", self.base)).header("x-consul-token", self.token);
        let request = if let Some(body) = body { request.body(body.to_string()) } else { request };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.unwrap();
    }

    async fn get(&self, path: &str) -> (u64, Value) {
        let request = self.http.get(format!("{}{path}", self.base)).header("x-consul-token", self.token);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let index = answer.headers().get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
        (index.unwrap_or(0), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    async fn register(&self, place: usize) {
        let info = info(place);
        let definition = json!({
            "ID": id(&info), "Name": "demo", "Address": info.address().host(), "Port": info.address().port(), "Tags": ["idc:hd1"],
            "Weights": {"Passing": 10, "Warning": 10},
            // Longer than the measurements: nobody has to keep it alive.
            "Check": {"TTL": "3600s", "Status": "passing", "DeregisterCriticalServiceAfter": "60s"},
        });
        self.put("/v1/agent/service/register?replace-existing-checks=true", Some(definition)).await;
    }

    async fn register_all(&self, count: usize) {
        stream::iter(0..count).for_each_concurrent(AT_ONCE, |place| self.register(place)).await;
    }

    /// Passes each check every TTL/3, one after the other at an even distance.
    async fn beat(self) {
        let mut ticks = tokio::time::interval(TTL / 3 / u32::try_from(MANY).unwrap());
        for place in (0..MANY).cycle() {
            ticks.tick().await;
            let plain = self.clone();
            tokio::spawn(async move {
                plain.put(&format!("/v1/agent/check/pass/service:{}", id(&info(place))), None).await;
            });
        }
    }

    async fn list(&self, query: &str) -> (u64, Value) {
        self.get(&format!("/v1/health/service/demo?{query}")).await
    }

    /// How many of the agent's checks pass; asked a few times a second.
    async fn passing(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (_, checks) = self.get("/v1/agent/checks").await;
        checks.as_object().unwrap().values().filter(|check| check["Status"] == "passing").count()
    }

    async fn seen_by_query(&self) -> Duration {
        let (wanted, (mut index, _)) = (id(&info(MANY)), self.list("consistent").await);
        let has = |list: &Value| list.as_array().unwrap().iter().any(|entry| entry["Service"]["ID"] == wanted.as_str());
        let mut began = Instant::now();
        let registering = async {
            // The query waits by then.
            settle().await;
            began = Instant::now();
            self.register(MANY).await;
        };
        let watching = async {
            loop {
                let (next, list) = self.list(&format!("consistent&wait=60000ms&index={index}")).await;
                if has(&list) {
                    return Instant::now();
                }
                index = next;
            }
        };
        let seen = within(async { tokio::join!(registering, watching).1 }).await;
        let item = seen.duration_since(began);
        self.put(&format!("/v1/agent/service/deregister/{wanted}"), None).await;
        within(async { while has(&self.list("consistent").await.1) {} }).await;
        settle().await;
        item
    }
}

/// A thread with a runtime of its own that keeps something alive until this is dropped.
struct Kept {
    ready: mpsc::Receiver<PathBuf>,
    _stop: oneshot::Sender<()>,
}

impl Kept {
    fn start<T>(make: impl AsyncFnOnce() -> T + Send + 'static) -> Self {
        let (tell, ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let _kept = make().await;
                tell.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
                let _ = stopped.await;
            });
        });
        Self { ready, _stop: stop }
    }

    /// Where the system tells about the thread, once it has made what it keeps.
    fn ready(&self) -> PathBuf {
        PathBuf::from("/proc").join(self.ready.recv_timeout(PATIENCE).unwrap())
    }
}

/// Where the system tells about the first process of a server's container.
async fn process(server: &ConsulServer) -> PathBuf {
    let id = docker(["inspect", "--format", "{{.State.Pid}}", server.container().name()]).await.unwrap();
    PathBuf::from("/proc").join(id)
}

/// User and system time of all threads of a process, in steps of 10 ms.
fn cpu_of_process(process: &std::path::Path) -> Duration {
    let stat = fs::read_to_string(process.join("stat")).unwrap();
    // The second field is a name in brackets; the 14th and the 15th are the times.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn cpu_of_thread(thread: &std::path::Path) -> Duration {
    let stat = fs::read_to_string(thread.join("schedstat")).unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn row(what: &str, rounds: &[(Duration, Duration)], goal: &str) {
    let mut ratios: Vec<f64> = rounds.iter().map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let ours = quantile(&mut rounds.iter().map(|round| round.0).collect::<Vec<_>>(), 0.5);
    let theirs = quantile(&mut rounds.iter().map(|round| round.1).collect::<Vec<_>>(), 0.5);
    let (lowest, median, highest) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    println!("| {what} | {ours:.1?} | {theirs:.1?} | {median:.2} ({lowest:.2} to {highest:.2}) | {goal} |");
}

fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * part).round() as usize]
}

async fn timed(work: impl Future) -> Duration {
    let began = Instant::now();
    within(work).await;
    began.elapsed()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

/// A pause between two samples, in which nothing is measured.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn options(address: &str, token: &str) -> Options {
    let mut timings = HandleOptions::with_ttl(TTL);
    // A stall of the machine is no measurement's end.
    (timings.operation_timeout, timings.attempt_timeout) = (PATIENCE, Duration::from_secs(20));
    Options::new(address).with_token(Material::Inline(Secret::new(token))).with_handle(timings)
}

async fn open(server: &ConsulServer) -> Handle {
    connect(options(&server.url(), server.root_token())).await.unwrap()
}

async fn register_all(handle: &Handle, count: usize) {
    let infos: Vec<Info> = (0..count).map(info).collect();
    join_all(infos.iter().map(|info| handle.register(info))).await.into_iter().for_each(|done| done.unwrap());
}

fn service() -> ServiceName {
    ServiceName::new("demo").unwrap()
}

fn info(place: usize) -> Info {
    let address = format!("10.0.{}.{}:{}", place / 250, place % 250, 1 + place);
    Info::builder("demo").address(address).tag("idc", "hd1").build().unwrap()
}

fn id(info: &Info) -> String {
    format!("demo:{}", info.address())
}
