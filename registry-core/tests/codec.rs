//! The record codec against hostile bytes (clause V2), and its round trip (clause D2).

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::{Duration, Instant, UNIX_EPOCH};

use proptest::prelude::*;
use registry_core::store::{JsonRecord, MAX_RECORD};
use registry_core::{Address, Info, Instance, ServiceName};

/// How many inputs there are, half of them and more mutations of valid records.
const INPUTS: u64 = 120_000;

fn service() -> ServiceName {
    ServiceName::new("demo").expect("a service name")
}

/// The bytes number `seed`: of each five, four are mutations of a valid record and one is made up.
fn input(seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    if seed.is_multiple_of(5) {
        return made_up(&mut rng);
    }
    let mut bytes = JsonRecord::encode(&valid(&mut rng));
    for _ in 0..rng.usize(1..6) {
        mutate(&mut rng, &mut bytes);
    }
    bytes
}

fn valid(rng: &mut fastrand::Rng) -> Info {
    let address = match rng.u8(..4) {
        0 => Address::tcp(&format!("[2001:db8::{:x}]:{}", rng.u16(1..), rng.u16(1..))),
        1 => Address::unix("/run/demo.sock"),
        2 => Address::new("udp", "host.example:80"),
        _ => Address::tcp(&format!("10.0.0.{}:{}", rng.u8(..), rng.u16(1..))),
    };
    let mut builder = Info::builder("demo").address(address.expect("an address")).weight(rng.u32(1..));
    for _ in 0..rng.usize(..4) {
        let text: String = (0..rng.usize(..12)).map(|_| rng.char('\0'..'\u{3000}')).collect();
        builder = builder.tag(text.clone(), text);
    }
    if rng.bool() {
        let start = UNIX_EPOCH + Duration::from_millis(rng.u64(..1 << 53));
        builder = builder.payload_codec("thrift").start_time(start).warm_up(Duration::from_millis(rng.u64(..1 << 53)));
    }
    builder.build().expect("every part is valid")
}

/// Bytes that mean something to a reader of JSON, of Go's dialect of it, or of numbers and addresses.
const PIECES: [&[u8]; 18] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-0",
    b"1e999",
    b"99999999999999999999",
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\"weight\":1,",
    b"\"tags\":{\"a\":",
];

fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = rng.usize(..=bytes.len());
    let to = (at + rng.usize(..12)).min(bytes.len());
    match rng.u8(..7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 if at < bytes.len() => bytes[at] = rng.u8(..),
        2 => drop(bytes.drain(at..to)),
        3 => bytes.truncate(at),
        4 => {
            let doubled = bytes[at..to].to_vec();
            bytes.splice(at..at, doubled).for_each(drop);
        }
        5 => bytes.splice(at..at, b"9".repeat(rng.usize(1..60))).for_each(drop),
        _ => bytes.splice(at..to, PIECES[rng.usize(..PIECES.len())].iter().copied()).for_each(drop),
    }
}

fn made_up(rng: &mut fastrand::Rng) -> Vec<u8> {
    let pieces = rng.usize(..40);
    let mut bytes = Vec::new();
    for _ in 0..pieces {
        match rng.bool() {
            true => bytes.extend(PIECES[rng.usize(..PIECES.len())]),
            false => bytes.push(rng.u8(..)),
        }
    }
    bytes
}

/// The bytes of all texts that a decoded instance, or the reason why there is none, holds.
fn output_size(service: &ServiceName, bytes: &[u8]) -> usize {
    match JsonRecord::decode(service, bytes) {
        Err(why) => why.to_string().len(),
        Ok(instance) => {
            let tags: usize = instance.tags().iter().map(|(key, value)| key.len() + value.len()).sum();
            instance.address().as_str().len() + instance.payload_codec().len() + tags
        }
    }
}

#[test]
fn hostile_bytes_neither_panic_nor_grow() {
    let service = service();
    let mut decoded = 0_u32;
    for seed in 0..INPUTS {
        let bytes = input(seed);
        let shown = || format!("seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        let size = catch_unwind(|| output_size(&service, &bytes));
        let size = size.unwrap_or_else(|_| panic!("the decoder panicked on {}", shown()));
        // An address may gain brackets; a reason is a short sentence that quotes at most a part of the input, escaped.
        assert!(size <= 300 + 6 * bytes.len(), "{size} bytes came of {} bytes, {}", bytes.len(), shown());
        decoded += u32::from(JsonRecord::decode(&service, &bytes).is_ok());
    }
    // The mutations are gentle enough to reach what lies behind the parser, and rough enough to break it.
    let share = f64::from(decoded) / INPUTS as f64;
    assert!((0.05..0.8).contains(&share), "{decoded} of {INPUTS} inputs were decoded");
}

/// An entry of a map of texts costs some hundred bytes, and seven bytes of JSON make one.
fn allowance(bytes: usize) -> u64 {
    4_096 + 32 * bytes as u64
}

#[test]
fn decoding_allocates_a_small_multiple_of_its_input() {
    let service = service();
    for seed in 0..INPUTS / 10 {
        let bytes = input(seed);
        let used = allocation_counter::measure(|| drop(JsonRecord::decode(&service, &bytes)));
        let shown = String::from_utf8_lossy(&bytes);
        assert!(used.bytes_max <= allowance(bytes.len()), "{} bytes for seed {seed}: {shown:?}", used.bytes_max);
        assert_eq!(used.bytes_current, 0, "what was allocated is given back, seed {seed}: {shown:?}");
    }
}

#[test]
fn what_the_decoder_accepts_can_be_encoded_and_is_read_the_same() {
    let service = service();
    for seed in 0..INPUTS / 10 {
        let bytes = input(seed);
        let Ok(instance) = JsonRecord::decode(&service, &bytes) else { continue };
        let Some(info) = as_info(&instance) else { continue };
        let again = JsonRecord::decode(&service, &JsonRecord::encode(&info)).expect("what was encoded is decoded");
        assert_eq!(again, instance, "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

/// What would have to be registered for this instance; `None` when a time is past what a builder takes.
fn as_info(instance: &Instance) -> Option<Info> {
    let mut builder = Info::builder(instance.service().as_str())
        .address(instance.address())
        .weight(instance.weight())
        .payload_codec(instance.payload_codec())
        .warm_up(instance.warm_up())
        .tags(instance.tags().clone());
    if let Some(start) = instance.start_time() {
        builder = builder.start_time(start);
    }
    builder.build().ok()
}

#[test]
fn the_largest_and_deepest_records_are_decoded_or_refused_in_bounded_time() {
    let (service, began) = (service(), Instant::now());
    let deep = "[".repeat(MAX_RECORD);
    let nested = format!("{{\"address\":\"h:1\",\"x\":{}", "{\"x\":".repeat(MAX_RECORD / 6));
    let members = format!("{{\"address\":\"h:1\"{}}}", ",\"x\":0".repeat(MAX_RECORD / 6 - 4));
    let tags: Vec<String> = (0..MAX_RECORD / 12).map(|number| format!("\"{number:05}\":\"\"")).collect();
    let tags = format!("{{\"address\":\"h:1\",\"tags\":{{{}}}}}", tags.join(","));
    let digits = format!("{{\"address\":\"h:1\",\"weight\":{}}}", "9".repeat(MAX_RECORD - 40));
    let escapes = format!("{{\"address\":\"{}\"}}", "\\u0041".repeat(MAX_RECORD / 6 - 4));
    for bytes in [deep, nested, members, tags, digits, escapes] {
        assert!(bytes.len() <= MAX_RECORD, "the limit on the length is tested elsewhere: {} bytes", bytes.len());
        let used = allocation_counter::measure(|| drop(JsonRecord::decode(&service, bytes.as_bytes())));
        assert!(
            used.bytes_max <= allowance(bytes.len()),
            "{} bytes for {:.40}… ({})",
            used.bytes_max,
            bytes,
            bytes.len()
        );
    }
    // Milliseconds are expected; what is quadratic in 64 KiB takes minutes.
    assert!(began.elapsed() < Duration::from_secs(10), "six records took {:?}", began.elapsed());
}

fn addresses() -> impl Strategy<Value = Address> {
    let networks = prop_oneof![Just("tcp"), Just("udp"), Just("tcp4")];
    let ipv4 = (any::<[u8; 4]>(), 1_u16..).prop_map(|([a, b, c, d], port)| format!("{}.{b}.{c}.{d}:{port}", a.max(1)));
    let ipv6 = (any::<[u16; 8]>(), 1_u16..).prop_map(|(parts, port)| {
        let [_, rest @ ..] = parts;
        let ip = std::net::Ipv6Addr::new(0x2001, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6]);
        format!("[{ip}]:{port}")
    });
    let name = ("[a-z][a-z0-9_-]{0,20}(\\.[a-z][a-z0-9]{0,10}){0,3}", 1_u16..);
    let name = name.prop_map(|(host, port)| format!("{host}:{port}"));
    let hosts = (networks, prop_oneof![ipv4, ipv6, name])
        .prop_map(|(network, text)| Address::new(network, &text).expect("a host and a port"));
    let sockets = "/[a-zA-Z0-9_][ -.0-~]{0,30}".prop_filter_map("a socket's path", |path| Address::unix(&path).ok());
    prop_oneof![3 => hosts, 1 => sockets]
}

fn infos() -> impl Strategy<Value = Info> {
    let text = || proptest::string::string_regex("(?s).{0,24}").expect("a regular expression");
    let tags = proptest::collection::btree_map(text(), text(), 0..6);
    let times = (proptest::option::of(0_u64..1 << 53), 0_u64..1 << 53);
    (addresses(), 1_u32.., text(), tags, times).prop_map(|(address, weight, codec, tags, (start, warm_up))| {
        let tags: BTreeMap<String, String> = tags;
        let builder = Info::builder("demo").address(address).weight(weight).payload_codec(codec).tags(tags);
        let builder = builder.warm_up(Duration::from_millis(warm_up));
        let builder = match start {
            Some(start) => builder.start_time(UNIX_EPOCH + Duration::from_millis(start)),
            None => builder,
        };
        builder.build().expect("every part is valid")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_valid_info_survives_the_round_trip(info in infos()) {
        let bytes = JsonRecord::encode(&info);
        let instance = JsonRecord::decode(info.service(), &bytes);
        prop_assert!(instance.as_ref().is_ok_and(|instance| *instance == info), "{:?} of {:?}", instance, info);
        let go = [b"<".as_slice(), b">", b"&", "\u{2028}".as_bytes(), "\u{2029}".as_bytes()];
        for escaped in go {
            prop_assert!(!bytes.windows(escaped.len()).any(|window| window == escaped), "Go escapes {:?}", escaped);
        }
    }
}
