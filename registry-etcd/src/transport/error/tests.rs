use std::io;

use super::*;

/// An error, and what it must become: kind, whether it certainly had no effect, and a word of what to do.
type Row = (Error, ErrorKind, bool, &'static str);

fn status(code: Code, message: &str) -> Error {
    Error::GRpcStatus(Status::new(code, message))
}

/// A status as tonic makes it from an error of the connection.
fn transport(code: Code, message: &str, source: &str) -> Error {
    let mut status = Status::new(code, message);
    status.set_source(std::sync::Arc::new(io::Error::other(source.to_owned())));
    Error::GRpcStatus(status)
}

fn check(rows: Vec<Row>) {
    for (error, kind, no_effect, word) in rows {
        let shown = format!("{error:?}");
        let failure = Failure::new(&error, "http://etcd-1:2379");
        assert_eq!((failure.kind, failure.is_not_applied()), (kind, no_effect), "{shown} became {failure:?}");
        assert!(failure.message.starts_with("http://etcd-1:2379: "), "{failure:?}");
        assert!(failure.message.contains(word), "{word:?} is missing in {failure:?}");
    }
}

#[test]
fn every_error_of_the_client_has_its_kind() {
    use ErrorKind::*;
    let bad_header = tonic::metadata::MetadataValue::try_from("\n").unwrap_err();
    #[expect(invalid_from_utf8, reason = "the error is what is wanted")]
    let bad_text = std::str::from_utf8(b"\xff").unwrap_err();
    check(vec![
        (Error::InvalidArgs("empty endpoints".into()), Misconfigured, true, "empty endpoints"),
        (Error::InvalidUri("a b".parse::<tonic::codegen::http::Uri>().unwrap_err()), Misconfigured, true, "uri"),
        (Error::EndpointError("gone".into()), Misconfigured, true, "gone"),
        (Error::InvalidMetadataValue(bad_header), Misconfigured, true, ""),
        (Error::IoError(io::Error::other("broken")), Unreachable, false, "broken"),
        (Error::WatchError("channel closed".into()), Unreachable, false, "channel closed"),
        (Error::LeaseKeepAliveError("channel closed".into()), Unreachable, false, "channel closed"),
        (Error::LeaseKeepAliveError("lease not found".into()), Other, true, "expired or was revoked"),
        (Error::Utf8Error(bad_text), Other, false, "utf"),
        (Error::ElectError("x".into()), Other, false, "x"),
        (Error::EndpointsNotManaged, Other, false, ""),
        (Error::Internal("x".into()), Other, false, "x"),
    ]);
}

#[test]
fn every_refusal_of_etcd_says_what_to_mend() {
    use ErrorKind::*;
    check(vec![
        (status(Code::PermissionDenied, "etcdserver: permission denied"), Denied, true, "grant the user a role"),
        (status(Code::Unauthenticated, "etcdserver: invalid auth token"), Denied, true, "check user and password"),
        (
            status(Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"),
            Denied,
            true,
            "check user and password",
        ),
        (status(Code::InvalidArgument, "etcdserver: user name is empty"), Denied, true, "wants a user"),
        (status(Code::InvalidArgument, "etcdserver: revision of auth store is old"), Denied, true, "try again"),
        (
            status(Code::FailedPrecondition, "etcdserver: authentication is not enabled"),
            Misconfigured,
            true,
            "leave user and password out",
        ),
        (status(Code::InvalidArgument, "etcdserver: request is too large"), InvalidInput, true, "--max-request-bytes"),
        (status(Code::InvalidArgument, "etcdserver: too many operations in txn request"), Other, true, "--max-txn-ops"),
        (status(Code::InvalidArgument, "etcdserver: key is not provided"), Other, true, "key is not provided"),
        (
            status(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            Other,
            false,
            "disarm the alarm",
        ),
        (
            status(Code::ResourceExhausted, "grpc: received message larger than max (2 vs. 1)"),
            InvalidInput,
            true,
            "too large",
        ),
        (status(Code::ResourceExhausted, "etcdserver: too many requests"), Unreachable, true, "too many requests"),
        (status(Code::NotFound, "etcdserver: requested lease not found"), Other, true, "expired or was revoked"),
        (status(Code::NotFound, "etcdserver: member not found"), Other, true, "member"),
        (status(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"), Other, true, "compacted"),
        (status(Code::FailedPrecondition, "etcdserver: lease already exists"), Other, true, "lease"),
        (status(Code::AlreadyExists, "x"), Other, true, "x"),
        (status(Code::Unimplemented, "unknown service etcdserverpb.KV"), Misconfigured, true, "no etcd v3 server"),
    ]);
}

#[test]
fn what_may_have_happened_all_the_same_is_unknown() {
    use ErrorKind::*;
    check(vec![
        (status(Code::Unavailable, "etcdserver: request timed out"), Unreachable, false, "timed out"),
        (status(Code::Unavailable, "etcdserver: leader changed"), Unreachable, false, "leader changed"),
        (status(Code::Unavailable, "etcdserver: no leader"), Unreachable, false, "no leader"),
        (status(Code::Cancelled, "operation was canceled"), Unreachable, false, "canceled"),
        (status(Code::Aborted, "x"), Unreachable, false, "x"),
        (status(Code::DeadlineExceeded, "context deadline exceeded"), TimedOut, false, "deadline"),
        (status(Code::Unknown, "h2 protocol error: error reading a body"), Unreachable, false, "h2 protocol"),
        (status(Code::Internal, "h2 protocol error: http2 error"), Unreachable, false, "h2 protocol"),
        (status(Code::Internal, "etcdserver: corrupt cluster"), Other, false, "corrupt"),
        (status(Code::DataLoss, "etcdserver: corrupt"), Other, false, "corrupt"),
        (status(Code::Unknown, "etcdserver: strange"), Other, false, "strange"),
        (transport(Code::Unknown, "transport error", "reset by peer"), Unreachable, false, "reset by peer"),
    ]);
}

#[test]
fn what_keeps_a_connection_from_being_made_was_not_sent() {
    use ErrorKind::*;
    let made = |source| transport(Code::Unavailable, "x", source);
    check(vec![
        (made("tcp connect error: Connection refused (os error 111)"), Unreachable, true, "refused"),
        (made("dns error: failed to lookup address information"), Unreachable, true, "lookup"),
        (made("tls handshake eof"), Unreachable, true, "handshake"),
        (made("invalid peer certificate: UnknownIssuer"), Misconfigured, true, "the CA given"),
        (made("invalid peer certificate: certificate not valid for name \"a\""), Misconfigured, true, "server_name"),
        (made("received fatal alert: CertificateRequired"), Misconfigured, true, "client certificate"),
        (made("received fatal alert: UnknownCA"), Misconfigured, true, "client certificate"),
        (made("received corrupt message of type InvalidContentType"), Misconfigured, true, "does not speak TLS"),
    ]);
}

#[test]
fn a_connection_closed_before_any_answer_may_be_tls_on_one_side_only() {
    let closed = || Failure::new(&transport(Code::Unknown, "transport error", "broken pipe"), "etcd-1");
    let first = |tls| closed().of_first_contact(tls);
    assert_eq!((first(None).kind, first(None).is_not_applied()), (ErrorKind::Unreachable, false));
    assert!(first(None).message.ends_with("configure TLS"));
    assert_eq!(first(Some(false)).kind, ErrorKind::Misconfigured);
    assert!(first(Some(false)).message.contains("client certificate"));
    let refused = Failure::new(&transport(Code::Unavailable, "x", "tcp connect error: refused"), "etcd-1");
    assert_eq!(refused.of_first_contact(Some(true)).kind, ErrorKind::Unreachable);
}

#[test]
fn a_watch_that_etcd_ended_says_why() {
    use ErrorKind::*;
    let rows = [
        ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", 0, Denied),
        ("etcdserver: invalid auth token", 0, Denied),
        ("etcdserver: no leader", 0, Unreachable),
        ("", 0, Unreachable),
        ("", 17, Other),
    ];
    for (reason, compacted, kind) in rows {
        assert_eq!(Failure::watch_canceled(reason, compacted).kind, kind, "{reason:?}");
    }
}

#[test]
fn only_what_another_try_elsewhere_can_mend_speaks_against_an_endpoint() {
    let speaks = |error: &Error| Failure::new(error, "etcd-1").speaks_against_endpoint();
    assert!(speaks(&status(Code::Unavailable, "etcdserver: no leader")));
    assert!(!speaks(&status(Code::PermissionDenied, "etcdserver: permission denied")));
    assert!(!speaks(&status(Code::InvalidArgument, "etcdserver: request is too large")));
    assert!(!speaks(&status(Code::NotFound, "etcdserver: requested lease not found")));
}
