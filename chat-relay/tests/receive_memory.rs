//! However many links begin long frames, what is kept of them is bounded, and links that carry short frames go on. Alone
//! in its process, whose budget it sets.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use std::sync::Arc;

use bytes::Bytes;
use chat_core::profile::Options;
use chat_core::transport::ReceiveMemory;
use chat_core::{Address, Identity, Link, LinkError, Registry, Transport};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use transport_noise::{accept, dial};
use {transport_tcp as _, transport_udp_arq as _};

const LONG: usize = 1 << 20;
const SHORT: usize = 20_000;
const LIMIT: usize = 8 << 20;

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

/// Answers each frame with its length; a long one once it may, as somebody would who is slow.
async fn serve(
    mut link: Link,
    may_answer: &Semaphore,
    events: &mpsc::Sender<&'static str>,
) -> Result<(), LinkError> {
    while let Some(frame) = link.source.next().await {
        let frame = frame?;
        if frame.len() == LONG {
            events.send("a long frame").await.unwrap();
            drop(may_answer.acquire().await.unwrap());
        }
        link.sink.send(Bytes::from(frame.len().to_string())).await?;
    }
    Ok(())
}

/// The length that comes back.
async fn echo(link: &mut Link, len: usize) -> String {
    link.sink.send(vec![7; len].into()).await.unwrap();
    String::from_utf8(link.source.next().await.unwrap().unwrap().to_vec()).unwrap()
}

async fn long_frames_share_one_budget(transport: &dyn Transport) {
    let me = identity(1);
    let mut listener = transport.listen(&Address::new("127.0.0.1:0"), &me).await.unwrap();
    let address = listener.address();
    let may_answer = Arc::new(Semaphore::new(0));
    let (events, mut heard) = mpsc::channel(64);
    let served = Arc::clone(&may_answer);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut links = JoinSet::new();
        while let Ok(incoming) = listener.next().await {
            let (may_answer, events) = (Arc::clone(&served), events.clone());
            links.spawn(async move {
                let link = accept(incoming, &identity(1)).await.unwrap();
                if let Err(error) = serve(link, &may_answer, &events).await {
                    assert!(error.to_string().contains("no memory"), "{error}");
                    events.send("no memory").await.unwrap();
                }
            });
        }
    });
    let mut honest = dial(transport, &address, &identity(2)).await.unwrap();
    assert_eq!(echo(&mut honest, SHORT).await, SHORT.to_string());
    let (mut taken, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut link = dial(transport, &address, &identity(2)).await.unwrap();
        // It may fail before all of it is sent.
        let sent = link.sink.send(vec![7; LONG].into());
        let heard = futures_util::future::join(sent, heard.recv()).await.1;
        match heard.unwrap() {
            "a long frame" => taken.push(link),
            _ => refused += 1,
        }
    }
    assert!((4..=8).contains(&taken.len()) && refused >= 12, "{} {refused}", taken.len());
    assert_eq!(echo(&mut honest, SHORT).await, SHORT.to_string(), "short frames need no budget");
    may_answer.add_permits(1000);
    for link in &mut taken {
        assert_eq!(link.source.next().await.unwrap().unwrap(), LONG.to_string());
    }
    assert_eq!(echo(&mut honest, LONG).await, LONG.to_string(), "there is memory again");
}

#[tokio::test]
async fn what_has_come_of_long_frames_is_bounded() {
    ReceiveMemory::limit(LIMIT);
    for kind in ["tcp", "udp-arq"] {
        let options =
            Options::parse_table(&format!("[transport]\nkind = \"{kind}\"\n"), "transport").unwrap();
        let transport = Registry::linked().unwrap().build::<dyn Transport>(&options).unwrap();
        long_frames_share_one_budget(&*transport).await;
    }
}
