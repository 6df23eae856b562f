//! X1: credentials that the store refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use registry_core::ErrorKind;
use registry_core::store::{OpenRequest, Session, Store as _, StoreError};
use registry_memory::{Access, Client};

use crate::mutant::Mutant;
use crate::twist::{StoreTwist, store};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "what is refused with credentials is tried without",
        "Kitex etcd: a bad certificate falls back to plaintext",
        "x1_bad_credentials_are_refused_and_change_nothing",
        store!(FallsBack),
    ),
    Mutant::new(
        "refused credentials are told as an unreachable store",
        "kratos etcd: `context deadline exceeded` for whatever keeps the client from connecting",
        "x1_a_lazy_handle_with_bad_credentials_says_denied_and_writes_nothing",
        store!(OneKind),
    ),
    Mutant::new(
        "credentials are read once, when the program starts",
        "Kitex etcd, ZooKeeper and Consul: options that are values",
        "x1_credentials_that_become_good_are_taken_up",
        store!(ReadsOnce::default()),
    )
    .under("a refusal before the file is mended"),
];

struct FallsBack;

#[async_trait]
impl StoreTwist for FallsBack {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        match inner.open(request.clone()).await {
            Err(error) if error.kind() == ErrorKind::Denied => {
                for access in [Access::Read, Access::Write, Access::Session] {
                    inner.link().permit(access);
                }
                inner.open(request).await
            }
            opened => opened,
        }
    }
}

struct OneKind;

#[async_trait]
impl StoreTwist for OneKind {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        inner.open(request).await.map_err(|error| StoreError::unreachable(error.message()))
    }
}

#[derive(Default)]
struct ReadsOnce(AtomicBool);

#[async_trait]
impl StoreTwist for ReadsOnce {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(StoreError::denied("these credentials were refused before"));
        }
        let opened = inner.open(request).await;
        let denied = opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Denied);
        self.0.store(denied, Ordering::Relaxed);
        opened
    }
}
