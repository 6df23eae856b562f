//! Requests that consulrs has no type for.

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};

/// `GET /v1/health/service/{name}`: the entries of a service with their node and all their checks.
#[derive(Debug)]
pub(super) struct HealthOfService<'a>(pub(super) &'a str);

impl Endpoint for HealthOfService<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("health/service/{}", self.0)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

/// `GET /v1/status/leader`: the address of the leader, empty when there is none. The agent asks a server for it, and no ACL stands against it.
#[derive(Debug)]
pub(super) struct Leader;

impl Endpoint for Leader {
    type Response = String;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        "status/leader".to_owned()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

/// `GET /v1/acl/token/self`: what our token is. It takes no permission but a token that is known.
#[derive(Debug)]
pub(super) struct TokenSelf;

impl Endpoint for TokenSelf {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        "acl/token/self".to_owned()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}
