/// Registers a server, finds it from another handle, and withdraws it.
async fn serve_and_find(options: Options) -> Result<(), Box<dyn Error>> {
    let (server, client) = (connect(options.clone()).await?, connect(options).await?);
    let greeter = Info::builder("any-backend-greeter").address("10.0.0.5:8888").weight(20).build()?;
    server.register(&greeter).await?;
    assert_eq!(*client.resolve(greeter.service()).await?.pick()?.as_ref(), greeter);
    server.close().await?;
    assert!(client.resolve(greeter.service()).await?.is_empty());
    Ok(client.close().await?)
}
