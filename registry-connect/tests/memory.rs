//! `memory://` through the facade.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

use std::time::Duration;

use registry_connect::{Error, Info, Registry, Resolver, connect};

fn server() -> Info {
    Info::builder("greeter").address("10.0.0.5:8888").build().unwrap()
}

/// How many instances a handle on `reader` finds of a server that a handle on `writer` registered.
async fn seen(writer: &str, reader: &str) -> Result<usize, Error> {
    let (writer, reader) = (connect(writer).await?, connect(reader).await?);
    writer.register(&server()).await?;
    let found = reader.resolve(server().service()).await?.len();
    writer.close().await?;
    reader.close().await?;
    Ok(found)
}

async fn refused_part(url: &str) -> &'static str {
    connect(url).await.expect_err(url).invalid_field().expect("the error names the part").field()
}

#[tokio::test(start_paused = true)]
async fn one_name_is_one_store_and_another_name_another() {
    assert_eq!(seen("memory://same", "memory://same?ttl=3s").await.unwrap(), 1);
    assert_eq!(seen("memory://same", "memory://other").await.unwrap(), 0);
    assert_eq!(seen("memory://", "memory://").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_path_is_the_namespace() {
    assert_eq!(seen("memory://spaces/team/a", "memory://spaces/team/a/").await.unwrap(), 1);
    assert_eq!(seen("memory://spaces/team/a", "memory://spaces/team").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_options_reach_the_handle() {
    let handle = connect("memory://options?ttl=3s&audit_interval=7s").await.unwrap();
    assert_eq!(
        (handle.options().ttl, handle.options().audit_interval),
        (Duration::from_secs(3), Duration::from_secs(7))
    );
    handle.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_memory_does_not_have_is_refused() {
    assert_eq!(refused_part("memory://a,b").await, "host");
    assert_eq!(refused_part("memory://a:1").await, "host");
    assert_eq!(refused_part("memory://joe:tiger@a").await, "user");
    assert_eq!(refused_part("memory://a?token=x").await, "query");
    assert_eq!(refused_part("memory://a?ttl=1ms").await, "ttl");
    assert_eq!(refused_part("memory://a/b//c").await, "namespace");
}
