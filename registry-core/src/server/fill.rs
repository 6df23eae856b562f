//! What a registry info leaves out (clause S3).

use std::time::SystemTime;

use super::basic_info::ServerBasicInfo;
use crate::address::Address;
use crate::error::InvalidField;
use crate::info::{Info, InfoBuilder};

/// Fills what `given` leaves out. `address` is the one to advertise for the listener, which an info with `skip_listen_addr` does not take.
pub(super) fn filled(
    given: &InfoBuilder,
    basic: &ServerBasicInfo,
    address: Option<&Address>,
    now: SystemTime,
) -> Result<Info, InvalidField> {
    let mut info = given.clone();
    if info.service.is_empty() {
        info.service.clone_from(&basic.service_name);
    }
    if info.tags.is_empty() {
        info.tags.clone_from(&basic.tags);
    }
    if info.payload_codec.is_empty() {
        info.payload_codec.clone_from(&basic.payload_codec);
    }
    // Without its start nobody could tell how far a warm-up is.
    if !info.warm_up.is_zero() && info.start_time.is_none() {
        info.start_time = Some(now);
    }
    match address {
        Some(address) if !info.skip_listen_addr => info.address(address).build(),
        _ => info.build(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn basic() -> ServerBasicInfo {
        ServerBasicInfo::new("basic").with_tag("from", "basic").with_payload_codec("thrift")
    }

    fn fill(given: &InfoBuilder) -> Info {
        filled(given, &basic(), Some(&Address::tcp("10.0.0.5:80").unwrap()), NOW).unwrap()
    }

    #[test]
    fn everything_left_out_comes_from_the_basic_info_and_the_listener() {
        let expected = Info::builder("basic").address("10.0.0.5:80").tag("from", "basic").payload_codec("thrift");
        assert_eq!(fill(&InfoBuilder::default()), expected.build().unwrap());
    }

    #[test]
    fn each_field_that_is_given_stands() {
        let given = InfoBuilder::default;
        assert_eq!(fill(&given().service("given")).service().as_str(), "given");
        assert_eq!(fill(&given().payload_codec("protobuf")).payload_codec(), "protobuf");
        assert_eq!(fill(&given().weight(7)).weight(), 7);
        let tags = fill(&given().tag("own", "1"));
        assert_eq!(tags.tags().iter().collect::<Vec<_>>(), [(&"own".to_owned(), &"1".to_owned())]);
    }

    #[test]
    fn the_listeners_address_stands_unless_it_is_to_be_skipped() {
        let given = InfoBuilder::default().address("h.example:1");
        assert_eq!(fill(&given).address().as_str(), "10.0.0.5:80");
        assert_eq!(fill(&given.skip_listen_addr(true)).address().as_str(), "h.example:1");
    }

    #[test]
    fn a_warm_up_without_a_start_begins_now() {
        assert_eq!(fill(&InfoBuilder::default()).start_time(), None);
        let warming = InfoBuilder::default().warm_up(Duration::from_secs(1));
        assert_eq!(fill(&warming).start_time(), Some(NOW));
        let started = NOW + Duration::from_secs(9);
        assert_eq!(fill(&warming.start_time(started)).start_time(), Some(started));
    }

    #[test]
    fn what_nobody_gave_is_refused_by_its_field() {
        let refused = |given: InfoBuilder, basic| filled(&given, &basic, None, NOW).unwrap_err().field();
        assert_eq!(refused(InfoBuilder::default(), ServerBasicInfo::default()), "service");
        assert_eq!(refused(InfoBuilder::default(), basic()), "address");
        assert_eq!(refused(InfoBuilder::default().address("h:1").weight(0), basic()), "weight");
    }
}
