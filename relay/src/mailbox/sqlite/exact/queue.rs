//! The queue in front of the writer.

use super::*;

/// Takes work and never does it.
struct Idle;
impl Environment for Idle {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    fn entropy(&self) -> Box<dyn chat_core::Entropy> {
        Box::new(chat_core::entropy::OsEntropy)
    }
    fn spawn(&self, _: &'static str, work: Work) -> std::io::Result<()> {
        // Its ends of the channels stay open, as those of a busy thread.
        std::mem::forget(work);
        Ok(())
    }
}

/// Each change takes a place for every begun KiB, so that the queue is bounded in bytes, and never full in number.
#[tokio::test]
async fn the_queue_is_counted_in_kibibytes() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { queue_bytes: 10 * 1024 + 1023, ..limits() };
    let mailbox = SqliteMailbox::open_in(&dir.path().join("relay.db"), limits, &Idle).unwrap();
    assert_eq!(mailbox.places.available_permits(), 10);
    assert_eq!(mailbox.orders.lock().unwrap().as_ref().unwrap().max_capacity(), 11, "one is for the end");
    let mut left = Vec::new();
    for len in [0, 1024 - 128 - 1, 1024 - 128, 2 * 1024] {
        let envelopes = vec![envelope(1, Recipient::Peer(BOB), len)];
        mailbox
            .write(Write::Store { from: ANNA, payer: 0, envelopes, now: Timestamp(1), done: Box::new(drop) })
            .await;
        left.push(mailbox.places.available_permits());
    }
    assert_eq!(left, [9, 8, 6, 3]);
}

/// What one transaction takes from the queue is bounded: envelopes, and acknowledgements that ride on it.
#[tokio::test]
async fn a_transaction_takes_so_many_and_leaves_the_rest() {
    let (_dir, mut writer) = writer(limits());
    let places = Arc::new(Semaphore::new(10_000));
    let queued =
        |write| Order::Write(Queued { write, _place: Arc::clone(&places).try_acquire_owned().unwrap() });
    let letters = |count: u8| Write::Store {
        from: ANNA,
        payer: 0,
        envelopes: (0..count).map(|n| envelope(n, Recipient::Peer(BOB), 1)).collect(),
        now: Timestamp(1),
        done: Box::new(drop),
    };
    let (orders, mut queue) = mpsc::channel(10_000);
    for _ in 0..300 {
        orders.try_send(queued(letters(2))).unwrap();
    }
    let mut group = Vec::new();
    assert!(writer.gather(&mut queue, &mut group).await);
    assert_eq!(group.len(), 128, "256 envelopes");
    group.clear();
    assert!(writer.gather(&mut queue, &mut group).await && writer.gather(&mut queue, &mut Vec::new()).await);

    for n in 0..5000_u32 {
        let peer = PeerId::from_slice(&[&[7; 28][..], &n.to_be_bytes()].concat()).unwrap();
        orders.try_send(queued(Write::Ack { peer, through: 1 })).unwrap();
    }
    assert!(writer.gather(&mut queue, &mut group).await);
    assert_eq!((group.len(), queue.len()), (128, 5000 - 4096));
    orders.try_send(Order::Close).unwrap();
    assert!(writer.gather(&mut queue, &mut Vec::new()).await, "as many as may wait do");
}

/// Who was answered is back with the next envelope while the group is applied: one sync serves it, too. As many as a
/// transaction may hold, in the order they came.
#[tokio::test]
async fn what_comes_while_a_group_is_applied_goes_with_it() {
    let (_dir, mut writer) = writer(limits());
    let places = Arc::new(Semaphore::new(10_000));
    let (tell, mut told) = mpsc::unbounded_channel();
    let letter = |n: u64| {
        let tell = tell.clone();
        let id = EnvelopeId([&[7; 8][..], &n.to_be_bytes()].concat().try_into().unwrap());
        let envelopes = vec![NewEnvelope { id, to: Recipient::Peer(BOB), bytes: Bytes::from_static(b"x") }];
        let done: super::super::super::Done<_> =
            Box::new(move |result: Result<Vec<Outcome>, MailboxError>| {
                tell.send(result.unwrap()[0]).unwrap()
            });
        let write = Write::Store { from: ANNA, payer: 0, envelopes, now: Timestamp(1), done };
        Queued { write, _place: Arc::clone(&places).try_acquire_owned().unwrap() }
    };
    let (orders, mut queue) = mpsc::channel(10_000);
    for n in 2..=300 {
        orders.try_send(Order::Write(letter(n))).unwrap();
    }
    writer.commit(vec![letter(1)], &mut queue);
    assert_eq!((writer.shared.commits.load(Ordering::Relaxed), queue.len()), (1, 300 - 256));
    for n in 1..=256 {
        assert_eq!(told.try_recv().unwrap(), Outcome::Stored(n));
    }
    assert!(told.try_recv().is_err());
}
