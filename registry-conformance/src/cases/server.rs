//! S1 to S4: the life cycle of a server, with a real listener, over the adapter's registry.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use registry_core::server::{Readiness, RunError, Server, ServerBasicInfo, Stop};
use registry_core::{Info, Resolver, ServiceName, Snapshot};
use tokio::net::{TcpListener, TcpStream};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::context::{Context, Owner, addresses};
use crate::ensure;
use crate::failure::{Failure, Promised as _};

pub(super) const CASES: &[Case] = &[
    case!(S1: s1_the_port_that_the_listener_really_got_is_registered).in_real_time(),
    case!(S1: s1_skip_listen_addr_registers_the_address_of_the_info).in_real_time(),
    case!(S2: s2_an_unspecified_host_is_registered_as_one_that_can_be_dialled).in_real_time(),
    case!(S2: s2_an_advertised_host_stays_a_name_and_goes_before_the_listeners).in_real_time(),
    case!(S3: s3_what_the_info_leaves_out_comes_from_the_basic_info).in_real_time(),
    case!(S3: s3_what_the_info_says_stands).in_real_time(),
    case!(S4: s4_a_server_is_registered_only_when_it_accepts).in_real_time(),
    case!(S4, R5: s4_a_server_that_is_asked_to_stop_is_withdrawn_before_it_stops_accepting)
        .in_real_time()
        .lasting(|timing| timing.prompt() / 4),
    case!(S4, R5: s4_a_server_that_fails_or_panics_is_withdrawn).in_real_time(),
    case!(S4, R6: s4_a_server_that_never_accepted_leaves_a_predecessor_alone).in_real_time(),
];

async fn s1_the_port_that_the_listener_really_got_is_registered(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr().map_err(Failure::bench)?;
    let expected = Info::builder(service.as_str()).address(address).build().map_err(Failure::bench)?;
    let server = server(owner, &service).with_listener(&listener);
    running(
        ctx,
        server,
        |stop| accept(listener, stop),
        async || {
            stands(&*reader, &service, &[&expected]).await.promised("the listener's own address is registered")?;
            dials(&found(&reader, &service).await?).await
        },
    )
    .await
}

async fn s1_skip_listen_addr_registers_the_address_of_the_info(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
    let expected = ctx.builder(&service).skip_listen_addr(true).build().map_err(Failure::bench)?;
    let server = server(owner, &service).with_listener(&listener).with_registry_info(&expected);
    running(
        ctx,
        server,
        |stop| accept(listener, stop),
        async || stands(&*reader, &service, &[&expected]).await.promised("the info's address is registered"),
    )
    .await
}

async fn s2_an_unspecified_host_is_registered_as_one_that_can_be_dialled(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let port = listener.local_addr().map_err(Failure::bench)?.port();
    let server = server(owner, &service).with_listener(&listener);
    running(
        ctx,
        server,
        |stop| accept(listener, stop),
        async || {
            let snapshot = found(&reader, &service).await?;
            let seen = snapshot.instances().first().and_then(|instance| instance.address().socket_addr());
            ensure!(
                seen.is_some_and(|seen| seen.port() == port && !seen.ip().is_unspecified()),
                "expected: an address of this machine with port {port}; seen: {}",
                addresses(&snapshot)
            );
            dials(&snapshot).await
        },
    )
    .await
}

async fn s2_an_advertised_host_stays_a_name_and_goes_before_the_listeners(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
    let expected = Info::builder(service.as_str()).address("server.example:8443").build().map_err(Failure::bench)?;
    let server = server(owner, &service)
        .with_listener(&listener)
        .with_advertised_host("server.example")
        .with_advertised_port(8443);
    running(
        ctx,
        server,
        |stop| accept(listener, stop),
        async || stands(&*reader, &service, &[&expected]).await.promised("the advertised host and port are registered"),
    )
    .await
}

async fn s3_what_the_info_leaves_out_comes_from_the_basic_info(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr().map_err(Failure::bench)?;
    let basic = ServerBasicInfo::new(service.as_str()).with_tag("idc", "hd1").with_payload_codec("thrift");
    let expected = Info::builder(service.as_str()).address(address).tag("idc", "hd1").payload_codec("thrift");
    let expected = expected.weight(10).build().map_err(Failure::bench)?;
    let server = server(owner, &service).with_server_basic_info(basic).with_listener(&listener);
    running(
        ctx,
        server,
        |stop| accept(listener, stop),
        async || {
            stands(&*reader, &service, &[&expected]).await.promised("name, tags, codec and default weight are filled")
        },
    )
    .await
}

async fn s3_what_the_info_says_stands(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr().map_err(Failure::bench)?;
    let basic = ServerBasicInfo::new("another").with_tag("idc", "hd1").with_payload_codec("thrift");
    let given = Info::builder(service.as_str()).tag("zone", "b").payload_codec("protobuf").weight(33);
    let expected = given.clone().address(address).build().map_err(Failure::bench)?;
    let server =
        server(owner, &service).with_server_basic_info(basic).with_registry_info(given).with_listener(&listener);
    running(
        ctx,
        server,
        |stop| accept(listener, stop),
        async || stands(&*reader, &service, &[&expected]).await.promised("what the info says stands"),
    )
    .await
}

async fn s4_a_server_is_registered_only_when_it_accepts(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    // A port that is free for now: the server binds it later.
    let address = listener((Ipv4Addr::LOCALHOST, 0)).await?.local_addr().map_err(Failure::bench)?;
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let server = server(owner, &service).with_listener(&address);
    let serve = async |stop: Stop| {
        // The sender is gone when the case has failed.
        let _ = begun.await;
        accept(TcpListener::bind(address).await.map_err(Failure::bench)?, stop).await
    };
    let (stopper, readiness) = (server.stopper(), server.readiness());
    let test = async {
        let what = "nothing is registered while nothing accepts";
        let quiet = ctx.timing().allow(Duration::from_millis(300));
        let seen = ctx.throughout(quiet, what, async || stands(&*reader, &service, &[]).await).await;
        // The receiver lives as long as the server.
        let _ = begin.send(());
        let seen = match seen {
            Ok(()) => match is_serving(ctx, &readiness).await {
                Ok(()) => dials(&found(&reader, &service).await?).await,
                failure => failure,
            },
            failure => failure,
        };
        stopper.stop();
        seen
    };
    let (ended, seen) = tokio::join!(server.run(serve), test);
    seen?;
    ended.map_err(Failure::bench)?
}

async fn s4_a_server_that_is_asked_to_stop_is_withdrawn_before_it_stops_accepting(
    ctx: &Context,
) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr().map_err(Failure::bench)?;
    let drain = ctx.timing().prompt() / 4;
    let server = server(owner, &service).with_listener(&listener).with_drain(drain);
    let (stopper, readiness) = (server.stopper(), server.readiness());
    let serve = async |stop: Stop| {
        tokio::select! { biased; () = stop.clone() => {}, ended = accept(listener, std::future::pending()) => ended? }
        stands(&*reader, &service, &[]).await.promised("the entry is gone before the server stops accepting")
    };
    let test = async {
        is_serving(ctx, &readiness).await?;
        let asked = ctx.elapsed();
        stopper.stop();
        let gone = ctx.timing().prompt();
        ctx.eventually(gone, "the entry is gone", async || stands(&*reader, &service, &[]).await).await?;
        // As a client does that has not heard of it yet.
        if ctx.elapsed() < asked + drain / 2 {
            TcpStream::connect(address).await.promised("the server accepts while it drains")?;
        }
        Ok::<_, Failure>(asked)
    };
    let (ended, asked) = tokio::join!(server.run(serve), test);
    let asked = asked?;
    ended.map_err(Failure::bench)??;
    let waited = ctx.elapsed().saturating_sub(asked);
    ensure!(waited >= drain, "expected: a drain of {drain:?}; seen: the server ended {waited:?} after the word");
    Ok(())
}

async fn s4_a_server_that_fails_or_panics_is_withdrawn(ctx: &Context) -> Result<(), Failure> {
    let reader = ctx.connect().await?;
    for panics in [false, true] {
        let (owner, service) = (ctx.connect().await?, ctx.service());
        let listener = listener((Ipv4Addr::LOCALHOST, 0)).await?;
        let server = server(owner, &service).with_listener(&listener);
        let readiness = server.readiness();
        let serve = async |_: Stop| {
            is_serving(ctx, &readiness).await?;
            let seen = found(&reader, &service).await?;
            ensure!(seen.len() == 1, "expected: one instance; seen: {}", addresses(&seen));
            // Quietly: the suite takes panics that it hears of for the case's own.
            if panics { std::panic::resume_unwind(Box::new("a server's panic")) } else { Ok(()) }
        };
        match AssertUnwindSafe(server.run(serve)).catch_unwind().await {
            Ok(ended) => ended.map_err(Failure::bench)??,
            Err(panic) if panics && panic.is::<&str>() => {}
            Err(_) => return Err(Failure::broken("expected: the server's own panic goes on; seen: another one")),
        }
        let what = if panics { "nothing of a server that panicked" } else { "nothing of a server that ended" };
        stands(&*reader, &service, &[]).await.promised(what)?;
    }
    Ok(())
}

async fn s4_a_server_that_never_accepted_leaves_a_predecessor_alone(ctx: &Context) -> Result<(), Failure> {
    let (predecessor, owner, reader) = (ctx.connect().await?, ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let address = listener((Ipv4Addr::LOCALHOST, 0)).await?.local_addr().map_err(Failure::bench)?;
    let info = Info::builder(service.as_str()).address(address).weight(77).build().map_err(Failure::bench)?;
    ctx.register(&predecessor, &info).await?;
    let server = server(owner, &service).with_listener(&address);
    server.stopper().stop();
    server.run(async |stop: Stop| stop.await).await.map_err(Failure::bench)?;
    stands(&*reader, &service, &[&info]).await.promised("the predecessor's entry stands")
}

/// A server that leaves signals to the suite, without a drain.
fn server(owner: Owner, service: &ServiceName) -> Server {
    Server::new()
        .with_registry(owner.into_registry())
        .with_server_basic_info(ServerBasicInfo::new(service.as_str()))
        .with_drain(Duration::ZERO)
        .leave_signals_alone()
}

/// Runs the server, looks once it is registered, and stops it whatever was seen.
async fn running<S, F>(
    ctx: &Context,
    server: Server,
    serve: S,
    look: impl AsyncFnOnce() -> Result<(), Failure>,
) -> Result<(), Failure>
where
    S: FnOnce(Stop) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let (stopper, readiness) = (server.stopper(), server.readiness());
    let test = async {
        let seen = match is_serving(ctx, &readiness).await {
            Ok(()) => look().await,
            failure => failure,
        };
        stopper.stop();
        seen
    };
    let (ended, seen) = tokio::join!(server.run(serve), test);
    match ended {
        Err(RunError::Register(error)) => Err(Failure::bench(error)),
        ended => seen.and(ended.map_err(Failure::bench)?),
    }
}

async fn is_serving(ctx: &Context, readiness: &Readiness) -> Result<(), Failure> {
    match ctx.within(ctx.timing().call_ends(), "the server is registered", readiness.serving()).await {
        Ok(true) => Ok(()),
        _ => Err(Failure::broken(format!("expected: the server is registered; seen: {:?}", readiness.is_ready()))),
    }
}

async fn listener(address: (Ipv4Addr, u16)) -> Result<TcpListener, Failure> {
    TcpListener::bind(SocketAddr::from(address)).await.map_err(Failure::bench)
}

/// The least server that there is: it accepts until it is stopped.
async fn accept(listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let accepting = async {
        loop {
            listener.accept().await.map_err(Failure::bench)?;
        }
    };
    tokio::select! { ended = accepting => ended, () = stop => Ok(()) }
}

async fn found(reader: &Owner, service: &ServiceName) -> Result<Snapshot, Failure> {
    Ok(Resolver::resolve(&**reader, service).await?)
}

/// Whether somebody accepts at each instance's address.
async fn dials(snapshot: &Snapshot) -> Result<(), Failure> {
    ensure!(!snapshot.is_empty(), "expected: the server is registered; seen: no instance");
    for instance in snapshot.instances() {
        let address = instance.address();
        TcpStream::connect(address.as_str()).await.promised(&format!("the server accepts at {address}"))?;
    }
    Ok(())
}
