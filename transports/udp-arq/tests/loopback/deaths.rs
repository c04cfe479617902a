//! A peer that is killed without a word is noticed, whichever side it was.

use std::time::Duration;

use bytes::Bytes;
use chat_core::transport::Link;
use chat_core::{Address, LinkError};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::runtime::{Builder, Runtime};

use crate::support::*;

/// A listener with a runtime of its own, which can be killed without a word.
struct Victim {
    runtime: Runtime,
    address: Address,
    link: tokio::sync::oneshot::Receiver<Link>,
}

fn victim() -> Victim {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (told, address) = std::sync::mpsc::channel();
    let (give, link) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let mut listener = listen().await;
        told.send(listener.address()).unwrap();
        assert!(give.send(accept(listener.as_mut()).await).is_ok());
        std::future::pending::<()>().await;
    });
    Victim { address: address.recv().unwrap(), runtime, link }
}

#[tokio::test]
async fn a_peer_that_is_killed_is_noticed_long_before_the_idle_timeout() {
    let victim = victim();
    let mut here = secure(within(transport().dial(&victim.address, &identity(1)).boxed()).await.unwrap());
    let there = within(victim.link).await.unwrap();
    victim.runtime.shutdown_background();
    // The link's other half lives on, but its task and socket are gone.
    let error = tokio::time::timeout(Duration::from_secs(20), here.source.next()).await.expect("noticed");
    assert!(matches!(error, Some(Err(LinkError::Io(_)))), "{error:?}");
    assert!(here.source.next().await.is_none());
    drop(there);
}

#[tokio::test]
async fn a_peer_that_was_started_anew_at_the_same_port_is_noticed() {
    let victim = victim();
    let mut here = secure(within(transport().dial(&victim.address, &identity(1)).boxed()).await.unwrap());
    let _there = within(victim.link).await.unwrap();
    victim.runtime.shutdown_background();
    let _heir = within(async {
        loop {
            if let Ok(listener) = transport().listen(&victim.address, &identity(3)).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = tokio::time::timeout(Duration::from_secs(20), here.source.next()).await.expect("noticed");
    assert!(matches!(error, Some(Err(LinkError::Io(_)))), "{error:?}");
}

#[tokio::test]
async fn a_dialer_that_is_killed_is_noticed_by_the_listener() {
    let mut listener = listen().await;
    let (address, me) = (listener.address(), identity(1));
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (give, link) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let mut link = secure(transport().dial(&address, &me).await.unwrap());
        link.sink.send(Bytes::from_static(b"last words")).await.unwrap();
        assert!(give.send(link).is_ok());
        std::future::pending::<()>().await;
    });
    let mut there = within(accept(listener.as_mut())).await;
    assert_eq!(next(&mut there).await.unwrap().unwrap(), "last words");
    let here = within(link).await.unwrap();
    runtime.shutdown_background();
    let error = tokio::time::timeout(Duration::from_secs(20), there.source.next()).await.expect("noticed");
    assert!(matches!(error, Some(Err(LinkError::Timeout(_)))), "{error:?}");
    drop(here);
}
