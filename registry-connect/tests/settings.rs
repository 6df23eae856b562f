//! Options against a backend's keys. The backend is one that only these tests have: it knows secrets, which `memory` does not.
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

use std::time::Duration;

use registry_connect::{
    Connector, Error, ErrorKind, HandleOptions, Material, OPTIONS, Settings, Url, UrlOption, ValueKind,
};

const fn vault(key: &'static str, value: ValueKind) -> UrlOption {
    UrlOption { key, value, default: "none", meaning: "a test's", schemes: &["vault"] }
}

const VAULT: &[UrlOption] = &[
    vault("user", ValueKind::Text),
    vault("password", ValueKind::Secret),
    vault("token", ValueKind::Secret),
    vault("ca", ValueKind::Pem),
];

fn settings(text: &str) -> Result<Settings, Error> {
    Settings::new(Url::parse(text)?, VAULT)
}

fn refusal(text: &str) -> (&'static str, String) {
    let error = settings(text).expect_err(text);
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, "connect"));
    let field = error.invalid_field().expect("the error names the key").field();
    (field, error.to_string())
}

/// The lines of the derived `Debug`: one a field.
fn fields(options: &HandleOptions) -> Vec<String> {
    let shown = format!("{options:?}");
    let inner = shown.split_once('{').unwrap().1.trim_end_matches('}').trim();
    inner.split(", ").map(str::to_owned).collect()
}

fn name(field: &str) -> &str {
    field.split(':').next().unwrap().trim()
}

#[test]
fn every_field_of_the_handle_options_has_a_key() {
    let keys: Vec<_> = OPTIONS.iter().filter(|option| option.schemes.is_empty()).map(|option| option.key).collect();
    let defaults = fields(&HandleOptions::default());
    assert_eq!(defaults.iter().map(|field| name(field)).collect::<Vec<_>>(), keys);
}

#[test]
fn every_key_takes_effect_on_the_field_of_its_name_and_on_no_other() {
    let before = fields(&HandleOptions::default());
    for option in OPTIONS.iter().filter(|option| option.schemes.is_empty()) {
        let value = if option.value == ValueKind::Flag { "true" } else { "1234ms" };
        let settings = settings(&format!("vault://h?{}={value}", option.key)).unwrap();
        let after = fields(&settings.handle_options(HandleOptions::default()).unwrap());
        let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(_, b)| name(b)).collect();
        assert_eq!(changed, [option.key]);
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_handle_options() {
    let own = HandleOptions::default();
    for option in OPTIONS.iter().filter(|option| option.schemes.is_empty() && option.key != "removal_grace") {
        let settings = settings(&format!("vault://h?{}={}", option.key, option.default)).unwrap();
        assert_eq!(settings.handle_options(own.clone()).unwrap(), own, "{}", option.key);
    }
    assert_eq!(own.removal_grace, None);
}

#[test]
fn what_the_url_leaves_out_is_the_backends_default() {
    let options = settings("vault://h?lazy=true").unwrap();
    let options = options.handle_options(HandleOptions::with_ttl(Duration::from_secs(30))).unwrap();
    assert_eq!((options.ttl, options.lazy), (Duration::from_secs(30), true));
}

#[test]
fn a_value_out_of_range_names_its_key() {
    let error = settings("vault://h?audit_interval=0s").unwrap().handle_options(HandleOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.invalid_field().unwrap().field()), (ErrorKind::InvalidInput, "audit_interval"));
}

#[test]
fn a_value_of_the_wrong_kind_names_its_key() {
    for (query, key) in [
        ("ttl=15", "ttl"),
        ("ttl=", "ttl"),
        ("lazy=yes", "lazy"),
        ("ttl=1s&ttl=2s", "ttl"),
        ("token=a&token_file=b", "token"),
        ("ca_file=", "ca"),
    ] {
        assert_eq!(refusal(&format!("vault://h?{query}")).0, key, "{query}");
    }
    assert_eq!(refusal("vault://joe:tiger@h?password=lion").0, "password");
}

#[test]
fn an_unknown_key_lists_the_known_ones_and_guesses_what_was_meant() {
    let (field, text) = refusal("vault://h?lasy=true");
    assert_eq!(field, "query");
    assert!(text.contains("unknown key `lasy`: did you mean `lazy`?"), "{text}");
    let known = OPTIONS.iter().filter(|option| option.applies_to("vault"));
    for key in known.chain(VAULT).map(|option| option.key).chain(["ca_file", "password_file", "token_file"]) {
        assert!(text.contains(key), "{key} is missing in: {text}");
    }
    assert!(!text.contains("ttl_file"), "{text}");
}

#[test]
fn a_piece_of_a_secret_is_not_taken_for_a_key_to_repeat() {
    let (_, text) = refusal("vault://h?token=ti&ger=1");
    assert!(text.contains("after `token`") && !text.contains("ger"), "{text}");
}

#[test]
fn secrets_come_from_the_authority_or_the_query_and_are_not_shown() {
    let both = settings("vault://joe:tiger@h?token=lion&ca=wolf").unwrap();
    let value = |key: &str| both.material(key).unwrap().read().unwrap().expose().to_owned();
    assert_eq!((both.text("user"), value("password").as_str()), (Some("joe"), "tiger"));
    assert_eq!((value("token"), value("ca")), ("lion".into(), "wolf".into()));
    let shown = format!("{both:?}");
    assert!(!["tiger", "lion", "wolf"].iter().any(|secret| shown.contains(secret)), "{shown}");
}

#[test]
fn a_secret_file_is_read_again_each_time_without_its_last_line_end() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("token");
    let settings = settings(&format!("vault://h?token_file={}", path.display())).unwrap();
    let Some(material @ Material::File(_)) = settings.material("token") else { panic!("{settings:?}") };
    for (content, token) in [("tiger\r\n", "tiger"), ("li\non\n\n", "li\non")] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(material.read().unwrap().expose(), token);
    }
}

#[test]
fn a_backend_without_users_refuses_one() {
    let error = Settings::new(Url::parse("memory://joe:tiger@h").unwrap(), &[]).unwrap_err();
    assert_eq!(error.invalid_field().unwrap().field(), "user");
    assert!(!error.to_string().contains("tiger"), "{error}");
}

#[tokio::test]
async fn an_unknown_scheme_lists_those_that_are_compiled_in() {
    let error = registry_connect::connect("gossip://h").await.unwrap_err();
    assert_eq!((error.kind(), error.invalid_field().unwrap().field()), (ErrorKind::InvalidInput, "scheme"));
    let text = error.to_string();
    for scheme in Connector::new().schemes() {
        assert!(text.contains(scheme), "{text}");
    }
    assert!(text.contains("Cargo feature"), "{text}");
}

#[cfg(not(feature = "memory"))]
#[tokio::test]
async fn a_scheme_that_is_left_out_names_its_feature() {
    let error = registry_connect::connect("memory://demo").await.unwrap_err();
    assert!(error.to_string().contains("enable the Cargo feature `memory`"), "{error}");
}

#[tokio::test]
async fn a_backend_from_outside_is_opened_with_its_settings() {
    let backend = registry_connect::Backend {
        scheme: "vault",
        options: VAULT,
        open: |settings| Box::pin(async move { Err(Error::new(ErrorKind::Other, "open", settings.url().to_string())) }),
    };
    let error = Connector::new().with(backend).connect("vault://joe:tiger@h:1/p?ttl=1s").await.unwrap_err();
    assert_eq!(error.message(), "vault://joe:***@h:1/p?ttl=1s");
}
