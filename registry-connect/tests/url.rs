//! The URL parser: what it takes apart, what it refuses, and that it shows no secret.
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

use std::fmt::Write;

use proptest::prelude::*;
use proptest::string::string_regex;
use registry_connect::{Error, Secret, Url};

fn refused_part(text: &str) -> &'static str {
    let error = Url::parse(text).expect_err(text);
    error.invalid_field().expect("the error names the part").field()
}

#[test]
fn several_hosts_in_one_authority_are_kept_in_order() {
    let url = Url::parse("etcd://user:pw@h1:2379,[2001:DB8::5]:2379,h3/prefix/a?ttl=15s&lazy=true").unwrap();
    let hosts: Vec<_> = url.hosts().iter().map(|host| (host.name(), host.port())).collect();
    assert_eq!(hosts, [("h1", Some(2379)), ("2001:db8::5", Some(2379)), ("h3", None)]);
    assert_eq!((url.scheme(), url.user(), url.path()), ("etcd", Some("user"), "/prefix/a"));
    let query: Vec<_> = url.query().map(|(key, value)| (key, value.expose())).collect();
    assert_eq!(query, [("ttl", "15s"), ("lazy", "true")]);
}

#[test]
fn user_password_path_and_query_are_percent_decoded_and_a_plus_stays() {
    let url = Url::parse("x://a%40b:p%2F%3a+%25@h/%C3%A9?k%3D=v%26").unwrap();
    assert_eq!((url.user(), url.password().map(Secret::expose)), (Some("a@b"), Some("p/:+%")));
    assert_eq!(url.path(), "/é");
    assert_eq!(url.query().map(|(key, value)| (key, value.expose())).collect::<Vec<_>>(), [("k=", "v&")]);
}

#[test]
fn an_authority_may_be_left_out() {
    for text in ["memory://", "MEMORY:///", "memory://?ttl=1s"] {
        let url = Url::parse(text).unwrap();
        assert_eq!((url.scheme(), url.hosts().len(), url.user()), ("memory", 0, None), "{text}");
    }
}

#[test]
fn each_refusal_names_the_part() {
    let long = format!("x://{}", "h".repeat(254));
    let huge = format!("x://{}", "h".repeat(20_000));
    for (text, part) in [
        ("", "scheme"),
        ("localhost:2379", "scheme"),
        ("://h", "scheme"),
        ("1x://h", "scheme"),
        ("a_b://h", "scheme"),
        ("x://h#f", "url"),
        (huge.as_str(), "url"),
        ("x://@h", "user"),
        ("x://:pw@h", "user"),
        ("x://a%zz@h", "user"),
        ("x://a:%ff@h", "password"),
        ("x://a:b@c@h", "password"),
        ("x://h,", "host"),
        ("x://h,,i", "host"),
        ("x://h:0", "host"),
        ("x://h:65536", "host"),
        ("x://h:+1", "host"),
        ("x://h:", "host"),
        ("x://:80", "host"),
        ("x://::1", "host"),
        ("x://[::1", "host"),
        ("x://[::g]:1", "host"),
        ("x://[::1]80", "host"),
        ("x://a b", "host"),
        ("x://h%41", "host"),
        ("x://é", "host"),
        (long.as_str(), "host"),
        ("x://h/%0a", "path"),
        ("x://h/%", "path"),
        ("x://h/a@b", "path"),
        ("x://h?a@b=c", "query"),
        ("x://h?key", "query"),
        ("x://h?k=%4", "query"),
    ] {
        assert_eq!(refused_part(text), part, "{text:?}");
    }
}

#[test]
fn debug_and_display_show_neither_password_nor_unknown_values() {
    let url = Url::parse("etcd://joe:tiger@h1:1,[::1]:2/p?token=lion&ttl=15s&password_file=/etc/wolf").unwrap();
    let shown = "etcd://joe:***@h1:1,[::1]:2/p?token=***&ttl=15s&password_file=***";
    assert_eq!(url.to_string(), shown);
    assert_eq!(format!("{url:?}"), format!("Url({shown})"));
}

#[test]
fn no_error_repeats_a_piece_of_a_password_that_was_not_encoded() {
    for text in [
        "x://joe:ti/ger@h",
        "x://joe:12/ger@h",
        "x://joe:12?ger@h=",
        "x://joe:12?ttl=ger@h",
        "x://joe:tiger@ger@h",
        "x://joe:?tiger@h",
        "x://joe:ti#ger@h",
        "x://joe:%tiger@h",
    ] {
        let error = Url::parse(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("ger"), "{error}");
    }
}

/// Everything but letters and digits is percent-encoded.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(b)),
            _ => write!(out, "%{b:02x}").unwrap(),
        }
        out
    })
}

/// A valid URL, with the parts that it was built from.
#[derive(Debug, Clone)]
struct Built {
    text: String,
    user: String,
    password: String,
    hosts: Vec<(String, u16)>,
    path: String,
    query: Vec<(String, String)>,
}

/// Printable text. Made once for all values: where a strategy is the expression itself, it is taken apart again for each.
fn text() -> impl Strategy<Value = String> {
    string_regex("\\PC*").expect("a regular expression")
}

fn built() -> impl Strategy<Value = Built> {
    let host = prop_oneof![
        string_regex("[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?").expect("a regular expression"),
        any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from(bits).to_string()),
    ];
    (
        text().prop_filter("a user is not empty", |user| !user.is_empty()),
        text(),
        prop::collection::vec((host, 1u16..), 1..4),
        string_regex("(/[a-zé %?#@]{0,8}){0,3}").expect("a regular expression"),
        prop::collection::vec((text(), text()), 0..4),
    )
        .prop_map(|(user, password, hosts, path, query)| {
            let shown: Vec<_> = hosts
                .iter()
                .map(
                    |(name, port)| {
                        if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
                    },
                )
                .collect();
            let pairs: Vec<_> = query.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
            let text = format!(
                "x://{}:{}@{}{}?{}",
                encode(&user),
                encode(&password),
                shown.join(","),
                encode(&path).replace("%2f", "/"),
                pairs.join("&")
            );
            Built { text, user, password, hosts, path, query }
        })
}

/// What changes one place of a text: cut, insert, or replace.
fn mutate(text: &str, edits: &[(prop::sample::Index, u8, char)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (place, what, letter)| {
        let mut letters: Vec<char> = text.chars().collect();
        let place = place.index(letters.len() + 1);
        match what % 3 {
            0 if place < letters.len() => drop(letters.remove(place)),
            1 if place < letters.len() => letters[place] = *letter,
            _ => letters.insert(place, *letter),
        }
        letters.into_iter().collect()
    })
}

fn parsed_or_typed(text: &str) -> Result<(), Error> {
    let url = Url::parse(text)?;
    let _shown = format!("{url} {url:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_url_gives_back_the_parts_that_it_was_built_from(built in built()) {
        let url = Url::parse(&built.text).unwrap();
        prop_assert_eq!(url.user(), Some(built.user.as_str()));
        prop_assert_eq!(url.password().map(Secret::expose), Some(built.password.as_str()));
        let hosts: Vec<_> = url.hosts().iter().map(|h| (h.name().to_owned(), h.port().unwrap())).collect();
        prop_assert_eq!(hosts, built.hosts);
        prop_assert_eq!(url.path(), built.path);
        let query: Vec<_> = url.query().map(|(k, v)| (k.to_owned(), v.expose().to_owned())).collect();
        prop_assert_eq!(query, built.query);
    }

    #[test]
    fn what_is_shown_does_not_depend_on_the_password(built in built(), other in text()) {
        let with = |password: &str| {
            let text = built.text.replacen(&format!(":{}@", encode(&built.password)), &format!(":{}@", encode(password)), 1);
            Url::parse(&text).unwrap().to_string()
        };
        prop_assert_eq!(with(&built.password), with(&other));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in text()) {
        if let Err(error) = parsed_or_typed(&text) {
            prop_assert!(error.invalid_field().is_some());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutated_url_makes_the_parser_panic(
        built in built(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), prop_oneof![
            prop::sample::select("%:@/?#[],&=.\0é".chars().collect::<Vec<_>>()), any::<char>()
        ]), 1..5),
    ) {
        if let Err(error) = parsed_or_typed(&mutate(&built.text, &edits)) {
            prop_assert!(error.invalid_field().is_some());
        }
    }
}
