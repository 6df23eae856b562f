//! S: the life cycle of a server over a broken registry.

use async_trait::async_trait;
use registry_core::{Error, Handle, Info, InfoBuilder, Registry as _};

use crate::mutant::Mutant;
use crate::twist::{Twist, handle};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "the port of the configuration is registered, not the listener's",
        "servers that format their configuration",
        "s1_the_port_that_the_listener_really_got_is_registered",
        handle!(|handle| Rewrites(handle, |info| info.to_builder().address("127.0.0.1:8888"))),
    )
    .in_real_time(),
    Mutant::new(
        "an address that was given is replaced all the same",
        "registries that know better",
        "s1_skip_listen_addr_registers_the_address_of_the_info",
        handle!(|handle| Rewrites(handle, |info| info.to_builder().address("127.0.0.1:8888"))),
    )
    .in_real_time(),
    Mutant::new(
        "the first interface is registered, whichever that is",
        "Kitex etcd, ZooKeeper, Consul: `0.0.0.0` as it is, or the first address found",
        "s2_an_unspecified_host_is_registered_as_one_that_can_be_dialled",
        handle!(|handle| Rewrites(handle, |info| {
            // 240.0.0.0/4 is reserved: no route leads there.
            info.to_builder().address(format!("240.0.0.1:{}", info.address().port().unwrap_or(1)).as_str())
        })),
    )
    .in_real_time(),
    Mutant::new(
        "host names are looked up before they are registered",
        "resolvers in the wrong place",
        "s2_an_advertised_host_stays_a_name_and_goes_before_the_listeners",
        handle!(|handle| Rewrites(handle, |info| info.to_builder().address("192.0.2.7:8443"))),
    )
    .in_real_time(),
    Mutant::new(
        "tags of the basic info are forgotten",
        "registries that take their own info only",
        "s3_what_the_info_leaves_out_comes_from_the_basic_info",
        handle!(|handle| Rewrites(handle, |info| info.to_builder().tags(Vec::<(String, String)>::new()))),
    )
    .in_real_time(),
    Mutant::new(
        "every weight is the default",
        "registries that fill before they look",
        "s3_what_the_info_says_stands",
        handle!(|handle| Rewrites(handle, |info| info.to_builder().weight(10))),
    )
    .in_real_time(),
    Mutant::new(
        "a withdrawal is left to `close`",
        "servers that deregister when they have stopped: Kitex, Hertz",
        "s4_a_server_that_is_asked_to_stop_is_withdrawn_before_it_stops_accepting",
        handle!(LeavesItToClose),
    )
    .in_real_time(),
    Mutant::new(
        "nothing is withdrawn when the server fails",
        "servers that deregister in their signal handler",
        "s4_a_server_that_fails_or_panics_is_withdrawn",
        handle!(NeverLeaves),
    )
    .in_real_time(),
];

/// Registers something else than it was asked to.
struct Rewrites(Handle, fn(&Info) -> InfoBuilder);

impl Rewrites {
    fn rewritten(&self, info: &Info) -> Result<Info, Error> {
        Ok((self.1)(info).build()?)
    }
}

#[async_trait]
impl Twist for Rewrites {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.0.register(&self.rewritten(info)?).await
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        self.0.deregister(&self.rewritten(info)?).await
    }
}

struct LeavesItToClose(Handle);

#[async_trait]
impl Twist for LeavesItToClose {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn deregister(&self, _: &Info) -> Result<(), Error> {
        Ok(())
    }
}

struct NeverLeaves(Handle);

#[async_trait]
impl Twist for NeverLeaves {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn deregister(&self, _: &Info) -> Result<(), Error> {
        Ok(())
    }
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
