//! The two environment variables of Kitex: the one place of this workspace's libraries where the environment is read (clause S2).

use crate::error::InvalidField;

/// The host to register, in place of the listener's: an IP address or a host name.
pub const IP_TO_REGISTRY: &str = "KITEX_IP_TO_REGISTRY";
/// The port to register, in place of the listener's.
pub const PORT_TO_REGISTRY: &str = "KITEX_PORT_TO_REGISTRY";

/// What the variables say. An empty one counts as unset, as in Kitex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) host: Option<String>,
    pub(super) port: Option<String>,
}

impl Environment {
    /// Reads both variables of this process.
    ///
    /// # Errors
    /// A value that is no UTF-8.
    pub(super) fn read() -> Result<Self, InvalidField> {
        Ok(Self { host: variable(IP_TO_REGISTRY)?, port: variable(PORT_TO_REGISTRY)? })
    }
}

fn variable(name: &'static str) -> Result<Option<String>, InvalidField> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(InvalidField::new(name, "is no UTF-8")),
    }
}
