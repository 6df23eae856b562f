//! What a server is, whatever it registers.

use std::collections::BTreeMap;

/// What a server says about itself: Kitex's `WithServerBasicInfo`. Fields that its registry info leaves out come from here (clause S3).
///
/// Nothing is checked before the server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerBasicInfo {
    pub(super) service_name: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) payload_codec: String,
}

impl ServerBasicInfo {
    /// A server of this service.
    pub fn new(service_name: impl Into<String>) -> Self {
        Self { service_name: service_name.into(), ..Self::default() }
    }

    /// Adds a tag, or replaces the value of one.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Sets the payload codec (`thrift`, `protobuf`, …).
    #[must_use]
    pub fn with_payload_codec(mut self, codec: impl Into<String>) -> Self {
        self.payload_codec = codec.into();
        self
    }
}
