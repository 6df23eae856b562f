use super::*;

/// Which kind a status becomes, whether it can have had an effect, and what is said about mending it.
fn row(status: u16, body: &str) -> (ErrorKind, bool, String) {
    let failure = Failure::of_status(StatusCode::from_u16(status).unwrap(), body.as_bytes());
    (failure.kind, failure.effect == Effect::Unknown, failure.message)
}

#[test]
fn every_status_of_consul_has_its_kind() {
    use ErrorKind::{Denied, InvalidInput, Misconfigured, Unreachable};
    let rows = [
        (403, "Permission denied", Denied, false, "policy"),
        (403, "ACL not found", Denied, false, "does not know this token"),
        (500, "rpc error making call: ACL not found", Denied, false, "does not know this token"),
        (500, "rpc error making call: Permission denied", Denied, false, "policy"),
        (401, "", Denied, false, "401"),
        (400, "Client sent an HTTP request to an HTTPS server.", Misconfigured, false, "Configure TLS"),
        (400, "Invalid check: TTL must be > 0 for TTL checks", InvalidInput, false, "TTL must be"),
        (413, "Request body too large", InvalidInput, false, "too large for this Consul"),
        (429, "Your IP is issuing too many concurrent connections", Unreachable, false, "limits"),
        (500, "No cluster leader", Unreachable, true, "No cluster leader"),
        (500, "rpc error getting client: failed to get conn: EOF", Unreachable, true, "failed to get conn"),
        (503, "", Unreachable, true, "503"),
        (500, "No path to datacenter", Misconfigured, false, "datacenter's name"),
        (404, "<html>not found</html>", Misconfigured, false, "base path"),
        (301, "", Misconfigured, false, "base path"),
        (405, "method PUT not allowed", Misconfigured, false, "base path"),
    ];
    for (status, body, kind, may_apply, said) in rows {
        let (seen, effect, message) = row(status, body);
        assert_eq!((seen, effect), (kind, may_apply), "{status} {body}: {message}");
        assert!(message.contains(said), "{status} {body}: {message}");
    }
}

#[test]
fn a_lost_check_is_known_by_both_of_its_answers_and_by_nothing_else() {
    let unknown = |status: u16, body: &str| {
        Failure::of_status(StatusCode::from_u16(status).unwrap(), body.as_bytes()).is_unknown_check()
    };
    assert!(unknown(500, "CheckID \"service:x\" does not have associated TTL"));
    assert!(unknown(404, "Unknown check ID \"service:x\""));
    assert!(!unknown(500, "No cluster leader") && !unknown(404, "page not found") && !unknown(403, "Unknown check"));
}

#[test]
fn what_openssl_says_has_its_kind_and_says_what_to_mend() {
    let rows = [
        (
            "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed (self-signed certificate in certificate chain)",
            "CA given",
        ),
        ("error:0A000086:SSL routines::certificate verify failed (hostname mismatch)", "the host of the address"),
        ("error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required", "client certificate"),
        ("error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate", "client certificate"),
        ("error:0A00010B:SSL routines:ssl3_get_record:wrong version number", "does not speak TLS"),
    ];
    for (text, said) in rows {
        let failure = of_tls(text).unwrap();
        assert_eq!((failure.kind, failure.effect), (ErrorKind::Misconfigured, Effect::None), "{text}");
        assert!(failure.message.contains(said), "{}", failure.message);
    }
    assert!(of_tls("tcp connect error: Connection refused (os error 111)").is_none());
}

#[test]
fn a_connection_that_is_closed_at_once_says_what_that_may_be() {
    let closed = || Failure { note: Note::Closed, ..judge(ErrorKind::Unreachable, Effect::Unknown, "closed".into()) };
    let rows = [
        (None, false, ErrorKind::Unreachable, "configure TLS"),
        (Some(false), false, ErrorKind::Misconfigured, "client certificate"),
        (Some(true), false, ErrorKind::Misconfigured, "signed the client certificate"),
        (Some(true), true, ErrorKind::Unreachable, "http_max_conns_per_client"),
        (None, true, ErrorKind::Unreachable, "http_max_conns_per_client"),
    ];
    for (tls, was_answered, kind, said) in rows {
        let failure = closed().of_contact(tls, was_answered);
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert!(failure.message.contains(said), "{}", failure.message);
    }
}

#[test]
fn what_consul_says_is_one_short_line() {
    let (_, _, message) = row(500, &format!("first\u{7}line\nsecond line {}", "x".repeat(10_000)));
    assert!(message.contains("firstline") && !message.contains("second"), "{message}");
    let (_, _, message) = row(500, &"y".repeat(10_000));
    assert!(message.len() < 400);
}
