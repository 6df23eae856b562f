//! A TCP server that answers every line with its name, and is registered while it does.

use std::error::Error;

use registry_connect::{Handle, Info, Registry, ServiceName, connect};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Server {
    name: &'static str,
    registry: Handle,
    info: Info,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on a free port of this machine, then registers what the listener really got.
    pub(crate) async fn start(
        url: &str,
        service: &ServiceName,
        name: &'static str,
        weight: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let info =
            Info::builder(service.as_str()).address(listener.local_addr()?).weight(weight).tag("name", name).build()?;
        let accepting = tokio::spawn(accept(listener, name));
        let registry = connect(url).await?;
        registry.register(&info).await?;
        println!("   {name} listens on {} and is registered with weight {weight}", info.address());
        Ok(Self { name, registry, info, accepting })
    }

    /// Registering again replaces the entry in place.
    pub(crate) async fn change_weight(&mut self, weight: u32) -> Result<(), Box<dyn Error>> {
        self.info = self.info.to_builder().weight(weight).build()?;
        self.registry.register(&self.info).await?;
        Ok(())
    }

    /// Deregisters, and goes on answering those who have not heard of it yet.
    pub(crate) async fn leave(&self) -> Result<(), Box<dyn Error>> {
        self.registry.deregister(&self.info).await?;
        println!("   {} is deregistered", self.name);
        Ok(())
    }

    /// Stops accepting, and gives the handle back to the store.
    pub(crate) async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.accepting.abort();
        self.registry.close().await?;
        println!("   {} has stopped", self.name);
        Ok(())
    }

    /// What a killed process does: the port is closed and the handle is gone, without a word to the registry.
    pub(crate) fn crash(self) {
        self.accepting.abort();
        drop(self.registry);
        println!("   {} is dead", self.name);
    }
}

async fn accept(listener: TcpListener, name: &'static str) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A client that hangs up early is its own affair.
            let _ = answer(stream, name).await;
        });
    }
}

async fn answer(stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await? > 0 {
        stream.write_all(format!("{name} says: {line}").as_bytes()).await?;
    }
    Ok(())
}
