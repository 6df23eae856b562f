//! The floors: the bare client, doing by hand what the adapter does.

use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions, PutOptions, Txn, TxnOp};
use futures_util::{StreamExt, stream};
use integration_tests::EtcdServer;
use registry_core::Info;
use registry_core::store::JsonRecord;
use registry_etcd::DEFAULT_PREFIX;

use crate::ground::Failure;

/// Operations in one transaction: what etcd allows by default.
const OPERATIONS: usize = 128;

pub(crate) async fn client(server: &EtcdServer) -> Result<Client, Failure> {
    Ok(Client::connect([server.url()], None).await?)
}

pub(crate) fn key(info: &Info) -> String {
    format!("{DEFAULT_PREFIX}/{}/{}", info.service(), info.address())
}

pub(crate) fn value(info: &Info) -> Vec<u8> {
    JsonRecord::encode(info)
}

/// Writes all under one new lease, in transactions of which so many are in flight. Returns the lease, and how long it took with the lease.
pub(crate) async fn register(client: &Client, infos: &[Info], in_flight: usize) -> Result<(i64, Duration), Failure> {
    let start = Instant::now();
    let lease = client.lease_client().grant(15, None).await?.id();
    let puts: Vec<TxnOp> = infos
        .iter()
        .map(|info| TxnOp::put(key(info), value(info), Some(PutOptions::new().with_lease(lease))))
        .collect();
    let written = stream::iter(puts.chunks(OPERATIONS).map(|chunk| {
        let (mut kv, txn) = (client.kv_client(), Txn::new().and_then(chunk.to_vec()));
        async move { kv.txn(txn).await }
    }));
    let mut written = written.buffer_unordered(in_flight);
    while let Some(done) = written.next().await {
        done?;
    }
    Ok((lease, start.elapsed()))
}

pub(crate) async fn revoke(client: &Client, lease: i64) -> Result<(), Failure> {
    client.lease_client().revoke(lease).await?;
    Ok(())
}

/// How many entries the service has.
pub(crate) async fn count(client: &Client, folder: &str) -> Result<i64, Failure> {
    let options = GetOptions::new().with_prefix().with_count_only();
    Ok(client.kv_client().get(folder, Some(options)).await?.count())
}
