//! What a server registers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::address::Address;
use crate::error::InvalidField;
use crate::name::ServiceName;

/// The weight of an instance that names none, as in Kitex.
pub const DEFAULT_WEIGHT: u32 = 10;

/// The largest entry that any store is asked to carry, in bytes: key and value together (clause V1).
pub const MAX_ENTRY: usize = 64 * 1024;

/// What a server registers: Kitex's `registry.Info`.
///
/// Complete and valid by construction: [`InfoBuilder::build`] is the one place of validation that all stores share. What only one
/// store refuses, its adapter refuses with the same [`InvalidField`] when the info is registered.
///
/// ```
/// use registry_core::Info;
///
/// let info = Info::builder("demo").address("10.0.0.5:8888").weight(20).tag("idc", "hd1").build()?;
/// assert_eq!(info.address().as_str(), "10.0.0.5:8888");
/// # Ok::<(), registry_core::InvalidField>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    service: ServiceName,
    address: Address,
    payload_codec: String,
    weight: u32,
    start_time: Option<SystemTime>,
    warm_up: Duration,
    tags: BTreeMap<String, String>,
    skip_listen_addr: bool,
}

impl Info {
    /// Starts an info for `service`. A name that is no [`ServiceName`] is reported by [`InfoBuilder::build`].
    pub fn builder(service: impl Into<String>) -> InfoBuilder {
        InfoBuilder::default().service(service)
    }

    /// The service that the instance belongs to.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Where the instance is reached.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The payload codec (`thrift`, `protobuf`, …); empty when none was named.
    pub fn payload_codec(&self) -> &str {
        &self.payload_codec
    }

    /// The weight, at least 1. [`DEFAULT_WEIGHT`] when none was named.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// When the instance started, in whole milliseconds since the Unix epoch.
    pub fn start_time(&self) -> Option<SystemTime> {
        self.start_time
    }

    /// How long the weight ramps up after the start, in whole milliseconds; zero for no ramp.
    pub fn warm_up(&self) -> Duration {
        self.warm_up
    }

    /// Free tags.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// Whether the server life cycle leaves [`address`](Self::address) as it is instead of taking the listener's (clause S1).
    /// Never written to a store.
    pub fn skip_listen_addr(&self) -> bool {
        self.skip_listen_addr
    }

    /// A builder filled with this info, to change a few fields of it.
    pub fn to_builder(&self) -> InfoBuilder {
        InfoBuilder {
            service: self.service.to_string(),
            address: Some(Ok(self.address.clone())),
            payload_codec: self.payload_codec.clone(),
            weight: Some(u64::from(self.weight)),
            start_time: self.start_time,
            warm_up: self.warm_up,
            tags: self.tags.clone(),
            skip_listen_addr: self.skip_listen_addr,
        }
    }
}

/// Builds an [`Info`]. Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct InfoBuilder {
    pub(crate) service: String,
    pub(crate) address: Option<Result<Address, InvalidField>>,
    pub(crate) payload_codec: String,
    pub(crate) weight: Option<u64>,
    pub(crate) start_time: Option<SystemTime>,
    pub(crate) warm_up: Duration,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) skip_listen_addr: bool,
}

impl InfoBuilder {
    /// Sets the service name.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// Sets the address: an [`Address`], a `SocketAddr`, or `host:port` as text.
    pub fn address<A>(mut self, address: A) -> Self
    where
        A: TryInto<Address>,
        A::Error: Into<InvalidField>,
    {
        self.address = Some(address.try_into().map_err(Into::into));
        self
    }

    /// Sets the payload codec.
    pub fn payload_codec(mut self, codec: impl Into<String>) -> Self {
        self.payload_codec = codec.into();
        self
    }

    /// Sets the weight: 1 or more. Stores may have an upper limit (Consul: 65535).
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(u64::from(weight));
        self
    }

    /// Sets the start time. Stores carry whole milliseconds: the rest is cut off.
    pub fn start_time(mut self, start: SystemTime) -> Self {
        self.start_time = Some(start);
        self
    }

    /// Sets the warm-up. Stores carry whole milliseconds: the rest is cut off.
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// Adds a tag, or replaces the value of one.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Replaces all tags.
    pub fn tags<K: Into<String>, V: Into<String>>(mut self, tags: impl IntoIterator<Item = (K, V)>) -> Self {
        self.tags = tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self
    }

    /// Tells the server life cycle to register [`address`](Self::address) rather than the listener's (clause S1).
    pub fn skip_listen_addr(mut self, skip: bool) -> Self {
        self.skip_listen_addr = skip;
        self
    }

    /// Checks everything that all stores refuse (clause V1).
    ///
    /// # Errors
    /// [`InvalidField`] names the first field that cannot be registered anywhere, the offence, and the limit.
    pub fn build(self) -> Result<Info, InvalidField> {
        let service = ServiceName::new(self.service)?;
        let address = self.address.unwrap_or_else(|| Err(InvalidField::new("address", "is missing")))?;
        let weight = match self.weight {
            None => DEFAULT_WEIGHT,
            Some(weight) => match u32::try_from(weight) {
                Ok(weight) if weight > 0 => weight,
                _ => return Err(InvalidField::new("weight", format!("is {weight}")).with_limit("1 or more")),
            },
        };
        let start_time = self.start_time.map(whole_milliseconds).transpose()?;
        let warm_up = u64::try_from(self.warm_up.as_millis())
            .ok()
            .filter(|ms| *ms <= MAX_MILLISECONDS)
            .map(Duration::from_millis)
            .ok_or_else(|| {
                InvalidField::new("warm_up", format!("is {:?}", self.warm_up))
                    .with_limit(format!("at most {MAX_MILLISECONDS} ms"))
            })?;
        let size =
            self.payload_codec.len() + self.tags.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if size > MAX_ENTRY {
            let field = if self.payload_codec.len() > MAX_ENTRY / 2 { "payload_codec" } else { "tags" };
            return Err(InvalidField::new(field, format!("the entry would have more than {size} bytes"))
                .with_limit(format!("at most {MAX_ENTRY} bytes an entry")));
        }
        Ok(Info {
            service,
            address,
            payload_codec: self.payload_codec,
            weight,
            start_time,
            warm_up,
            tags: self.tags,
            skip_listen_addr: self.skip_listen_addr,
        })
    }
}

/// The largest number that every JSON reader takes as an exact integer (2^53 - 1), in milliseconds: 285,000 years.
const MAX_MILLISECONDS: u64 = (1 << 53) - 1;

/// Cuts a time to the milliseconds that stores carry.
fn whole_milliseconds(time: SystemTime) -> Result<SystemTime, InvalidField> {
    let since_epoch = time
        .duration_since(UNIX_EPOCH)
        .map_err(|_| InvalidField::new("start_time", "is before 1970").with_limit("the Unix epoch or later"))?;
    match u64::try_from(since_epoch.as_millis()) {
        Ok(ms) if ms <= MAX_MILLISECONDS => Ok(UNIX_EPOCH + Duration::from_millis(ms)),
        _ => {
            Err(InvalidField::new("start_time", "is too far ahead")
                .with_limit(format!("at most {MAX_MILLISECONDS} ms")))
        }
    }
}

impl From<Info> for InfoBuilder {
    fn from(info: Info) -> Self {
        info.to_builder()
    }
}

impl From<&Info> for InfoBuilder {
    fn from(info: &Info) -> Self {
        info.to_builder()
    }
}

impl From<std::convert::Infallible> for InvalidField {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> InfoBuilder {
        Info::builder("demo").address("10.0.0.5:8888")
    }

    #[test]
    fn what_is_left_out_has_kitex_defaults() {
        let info = valid().build().unwrap();
        assert_eq!((info.weight(), info.payload_codec(), info.warm_up()), (10, "", Duration::ZERO));
        assert!(info.start_time().is_none() && info.tags().is_empty() && !info.skip_listen_addr());
    }

    #[test]
    fn times_are_cut_to_the_milliseconds_that_stores_carry() {
        let start = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let info = valid().start_time(start).warm_up(Duration::from_micros(1_500)).build().unwrap();
        assert_eq!(info.start_time(), Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)));
        assert_eq!(info.warm_up(), Duration::from_millis(1));
    }

    #[test]
    fn each_refusal_names_its_field() {
        let refused = |builder: InfoBuilder| builder.build().unwrap_err().field();
        assert_eq!(refused(valid().service("")), "service");
        assert_eq!(refused(Info::builder("demo")), "address");
        assert_eq!(refused(valid().address("10.0.0.5:0")), "address");
        assert_eq!(refused(valid().weight(0)), "weight");
        assert_eq!(refused(valid().start_time(UNIX_EPOCH - Duration::from_secs(1))), "start_time");
        assert_eq!(refused(valid().warm_up(Duration::MAX)), "warm_up");
        assert_eq!(refused(valid().tag("k", "v".repeat(MAX_ENTRY))), "tags");
        assert_eq!(refused(valid().payload_codec("v".repeat(MAX_ENTRY + 1))), "payload_codec");
    }

    #[test]
    fn a_builder_from_an_info_builds_the_same_info() {
        let info = valid().weight(3).tag("a", "b").payload_codec("thrift").skip_listen_addr(true).build().unwrap();
        assert_eq!(info.to_builder().build().unwrap(), info);
    }
}
