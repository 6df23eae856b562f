use registry_core::ErrorKind;
use registry_core::store::{Applied, Store};

use super::*;
use crate::Info;
use crate::fake::FakeAgent;

const PASSING: &str = r#"[{"CheckID": "service:demo:10.0.0.5:80", "Status": "passing"}]"#;

struct Bench {
    agent: FakeAgent,
    client: crate::Client,
    session: Arc<dyn Session>,
    lineage: Lineage,
}

impl Bench {
    async fn new() -> Self {
        let agent = FakeAgent::start().await;
        let client = agent.options().client().unwrap();
        let owner = OwnerToken::random();
        agent.say(200, None, "{}");
        let session = client.open(OpenRequest::new(Duration::from_secs(3), 0, owner.clone())).await.unwrap();
        Self { agent, client, session, lineage: Lineage::new(owner) }
    }

    fn record(&self) -> Record {
        let info = Info::builder("demo").address("10.0.0.5:80").build().unwrap();
        self.client.encode(&info).unwrap()
    }

    async fn put(&self, guard: Guard) -> Result<(), WriteError> {
        self.session.put(&[Put { record: self.record(), guard }], &self.lineage).await.remove(0)
    }

    /// Will say that the entry stands, with this `Meta` and these checks.
    fn say_standing(&self, meta: &str, checks: &str) {
        let service =
            r#""Service": "demo", "Port": 80, "Address": "10.0.0.5", "Weights": {"Passing": 10, "Warning": 10}"#;
        self.agent.say(200, None, &format!(r#"{{"Service": {{{service}, "Meta": {meta}}}, "Checks": {checks}}}"#));
    }

    fn ours(&self) -> String {
        format!(r#"{{"owner": "{}"}}"#, self.lineage.owner().as_str())
    }

    /// Everything asked after opening, without its escapes.
    fn asked(&self) -> Vec<String> {
        self.agent.requests().iter().skip(1).map(|request| request.line.clone()).collect()
    }
}

const STANDING: &str = "GET /v1/agent/health/service/id/demo:10.0.0.5:80";
const REGISTER: &str = "PUT /v1/agent/service/register?replace-existing-checks=true";
const PASS: &str = "PUT /v1/agent/check/pass/service:demo:10.0.0.5:80";
const DROP_CHECK: &str = "PUT /v1/agent/check/deregister/service:demo:10.0.0.5:80";
const DEREGISTER: &str = "PUT /v1/agent/service/deregister/demo:10.0.0.5:80";

#[tokio::test]
async fn what_stood_nowhere_is_registered_as_critical_and_passed_at_once() {
    let bench = Bench::new().await;
    bench.agent.say(404, None, r#"{"AggregatedStatus": "critical", "Service": null, "Checks": null}"#);
    bench.agent.say(200, None, "");
    bench.agent.say(200, None, "");
    bench.put(Guard::Claim).await.unwrap();
    assert_eq!(bench.asked(), [STANDING, REGISTER, PASS]);
    let body: serde_json::Value = serde_json::from_str(&bench.agent.requests()[2].body).unwrap();
    let golden =
        serde_json::json!({"TTL": "3000ms", "Status": "critical", "DeregisterCriticalServiceAfter": "60000ms"});
    assert_eq!(body["Check"], golden, "and no id of its own");
    assert_eq!(body["Meta"], serde_json::json!({"owner": bench.lineage.owner().as_str()}));
}

#[tokio::test]
async fn what_the_agent_checks_itself_loses_that_check_when_it_is_ours() {
    // An agent may say of the check that it does not know it.
    for (status, text) in [(200, ""), (404, "Unknown check"), (500, r#"Unknown check "service:demo:10.0.0.5:80""#)] {
        let bench = Bench::new().await;
        bench.say_standing("null", PASSING);
        bench.agent.say(200, None, "");
        bench.agent.say(status, None, text);
        bench.agent.say(200, None, "");
        bench.agent.say(200, None, "");
        bench.put(Guard::Claim).await.unwrap();
        assert_eq!(bench.asked(), [STANDING, REGISTER, DROP_CHECK, REGISTER, PASS]);
        assert!(bench.agent.requests()[4].body.contains(r#""Status":"passing""#));
    }
}

#[tokio::test]
async fn a_takeover_that_is_refused_leaves_the_other_entry_its_check() {
    let bench = Bench::new().await;
    bench.say_standing("null", PASSING);
    bench.agent.say(400, None, "Invalid service");
    let failed = bench.put(Guard::Claim).await;
    assert!(matches!(failed, Err(WriteError::Failed { applied: Applied::Never, .. })), "{failed:?}");
    assert_eq!(bench.asked(), [STANDING, REGISTER]);
}

#[tokio::test]
async fn a_takeover_that_fails_half_way_goes_on_there() {
    let bench = Bench::new().await;
    bench.say_standing("null", PASSING);
    bench.agent.say(200, None, "");
    bench.agent.say(429, None, "slow down");
    let failed = bench.put(Guard::Claim).await;
    assert!(matches!(failed, Err(WriteError::Failed { applied: Applied::Unknown, .. })), "{failed:?}");
    bench.say_standing(&bench.ours(), PASSING);
    for _ in 0..4 {
        bench.agent.say(200, None, "");
    }
    bench.put(Guard::AbsentOrOurs).await.unwrap();
    assert_eq!(bench.asked()[3..], [STANDING, REGISTER, DROP_CHECK, REGISTER, PASS]);
}

#[tokio::test]
async fn what_stands_as_wanted_is_only_passed() {
    let bench = Bench::new().await;
    bench.say_standing(&bench.ours(), PASSING);
    bench.agent.say(200, None, "");
    bench.put(Guard::AbsentOrOurs).await.unwrap();
    assert_eq!(bench.asked(), [STANDING, PASS]);
}

#[tokio::test]
async fn both_answers_to_a_lost_check_make_core_look() {
    let texts = [
        (500, "CheckID \"service:demo:10.0.0.5:80\" does not have associated TTL"),
        (404, "Unknown check ID \"service:demo:10.0.0.5:80\". Ensure that the check ID is passed, not the check name."),
        (404, "CheckID \"service:demo:10.0.0.5:80\" does not have associated TTL"),
    ];
    for (status, text) in texts {
        let bench = Bench::new().await;
        bench.agent.say(200, None, r#"{"demo:10.0.0.5:80": {}}"#);
        bench.agent.say(status, None, text);
        assert_eq!(bench.session.renew(&[bench.record()]).await.unwrap(), [bench.record().key().clone()]);
        assert_eq!(bench.asked()[1], PASS);
    }
}

#[tokio::test]
async fn what_was_not_read_as_ours_is_not_passed() {
    let bench = Bench::new().await;
    bench.agent.say(200, None, r#"{"demo:10.0.0.6:80": {}}"#);
    assert_eq!(bench.session.renew(&[bench.record()]).await.unwrap(), [bench.record().key().clone()]);
    let asked = bench.asked();
    assert!(asked.len() == 1 && asked[0].starts_with("GET /v1/agent/services?filter=Meta.owner"), "{asked:?}");
}

#[tokio::test]
async fn one_reading_serves_all_beats_of_a_third_of_a_ttl() {
    let bench = Bench::new().await;
    bench.agent.say(200, None, r#"{"demo:10.0.0.5:80": {}}"#);
    for _ in 0..5 {
        bench.agent.say(200, None, "");
        assert!(bench.session.renew(&[bench.record()]).await.unwrap().is_empty());
    }
    let readings = bench.asked().iter().filter(|line| line.starts_with("GET")).count();
    assert_eq!(readings, 1);
}

#[tokio::test]
async fn a_beat_that_nobody_answers_is_an_error() {
    let bench = Bench::new().await;
    bench.agent.say(200, None, r#"{"demo:10.0.0.5:80": {}}"#);
    bench.agent.say(500, None, "rpc error: No cluster leader");
    match bench.session.renew(&[bench.record()]).await {
        Err(SessionError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_removal_that_is_confirmed_and_had_no_effect_is_an_error() {
    let bench = Bench::new().await;
    bench.say_standing(&bench.ours(), PASSING);
    bench.agent.say(200, None, "");
    bench.say_standing(&bench.ours(), PASSING);
    let removed = bench.session.remove(&[bench.record()], &bench.lineage).await.remove(0);
    assert!(matches!(&removed, Err(WriteError::Failed { applied: Applied::Unknown, .. })), "{removed:?}");
    assert_eq!(bench.asked(), [STANDING, DEREGISTER, STANDING]);
}

#[tokio::test]
async fn a_removal_that_a_successor_follows_at_once_is_done() {
    let bench = Bench::new().await;
    bench.say_standing(&bench.ours(), PASSING);
    // Newer agents say so of what is gone already.
    bench.agent.say(404, None, "Unknown service ID");
    bench.say_standing(r#"{"owner": "another"}"#, PASSING);
    let removed = bench.session.remove(&[bench.record()], &bench.lineage).await.remove(0);
    assert!(matches!(removed, Ok(Removed::Gone)), "{removed:?}");
}

#[tokio::test]
async fn a_registration_that_fails_before_it_was_sent_has_changed_nothing() {
    let bench = Bench::new().await;
    bench.agent.say(500, None, "no");
    let failed = bench.put(Guard::Claim).await;
    assert!(matches!(failed, Err(WriteError::Failed { applied: Applied::Never, .. })), "{failed:?}");
}

#[tokio::test]
async fn a_registration_whose_pass_fails_may_stand() {
    let bench = Bench::new().await;
    bench.agent.say(404, None, "{}");
    bench.agent.say(200, None, "");
    bench.agent.say(403, None, "Permission denied");
    let failed = bench.put(Guard::Claim).await;
    assert!(
        matches!(&failed, Err(WriteError::Failed { applied: Applied::Unknown, error }) if error.kind() == ErrorKind::Denied),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_ttl_that_ran_out_is_of_a_dead_handle_and_of_a_go_server_that_lives() {
    let expired = r#"[{"CheckID": "service:demo:10.0.0.5:80", "Status": "critical", "Output": "TTL expired"}]"#;
    for (meta, standing) in [(r#"{"owner": "another"}"#, Standing::Unowned), ("null", Standing::Foreign)] {
        let bench = Bench::new().await;
        bench.say_standing(meta, expired);
        let inspected = bench.session.inspect(&[bench.record()], &bench.lineage).await.unwrap();
        assert!(matches!(inspected[..], [Ok(stands)] if stands == standing), "{meta}: {inspected:?}");
        bench.say_standing(meta, expired);
        bench.agent.say(500, None, "enough");
        let restored = bench.put(Guard::AbsentOrOurs).await;
        let overwrites = bench.asked().contains(&REGISTER.to_owned());
        assert_eq!(matches!(restored, Err(WriteError::Foreign)), standing == Standing::Foreign, "{restored:?}");
        assert_eq!(overwrites, standing == Standing::Unowned);
    }
}
