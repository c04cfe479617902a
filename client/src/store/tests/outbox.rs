use chat_core::ids::{EnvelopeId, SessionId};

use super::*;

fn envelope(n: u8) -> EnvelopeId {
    EnvelopeId([n; 16])
}

#[test]
fn an_outgoing_copy_goes_its_way() {
    let store = store();
    let session = SessionId([1; 16]);
    for n in 1..=3 {
        store.insert_delivery(message(n), BOB, [n; 16], Timestamp(u64::from(n))).unwrap();
    }
    store.insert_delivery(message(1), EVE, [9; 16], Timestamp(1)).unwrap();
    let ids = |rows: Vec<DeliveryRow>| rows.iter().map(|row| row.message.0[0]).collect::<Vec<_>>();
    let unsealed = |behind, most| {
        let rows = store.unsealed_deliveries(BOB, behind, most).unwrap();
        ids(rows.into_iter().map(|(_, row)| row).collect())
    };
    assert_eq!(unsealed(0, 9), [1, 2, 3]);
    assert_eq!((unsealed(0, 2), unsealed(1, 9)), (vec![1, 2], vec![2, 3]));
    assert_eq!(ids(store.deliveries_of(message(1)).unwrap()), [1, 1]);
    assert_eq!(store.peers_with_unsealed().unwrap().len(), 2);
    store.set_delivery_envelope(message(1), BOB, envelope(1), session, b"one").unwrap();
    store.set_delivery_envelope(message(2), BOB, envelope(2), SessionId([2; 16]), b"two").unwrap();
    assert_eq!(unsealed(0, 9), [3]);
    assert_eq!(ids(store.open_deliveries_of_others(BOB, session).unwrap()), [2, 3]);
    let row = store.delivery_by_envelope(envelope(2)).unwrap().unwrap();
    assert_eq!((row.message, row.peer, row.previous), (message(2), BOB, [2; 16]));
    assert!(store.delivery_by_envelope(envelope(9)).unwrap().is_none());

    store.insert_control(envelope(7), BOB, b"receipt", Timestamp(5)).unwrap();
    store.insert_control(envelope(8), EVE, b"receipt", Timestamp(6)).unwrap();
    assert_eq!(store.open_envelopes_of(BOB).unwrap(), [envelope(7), envelope(1), envelope(2)]);
    assert_eq!(store.open_envelopes().unwrap(), [7, 8, 1, 2].map(envelope));
    let item =
        |n| store.outbox_item(envelope(n)).unwrap().map(|item| (item.envelope, item.message, item.peer));
    assert_eq!(item(1), Some((b"one".to_vec(), Some(message(1)), BOB)));
    assert_eq!(item(8), Some((b"receipt".to_vec(), None, EVE)));
    assert_eq!(item(9), None);

    store.set_delivery_state(message(1), BOB, DeliveryState::Stored, Some("slow")).unwrap();
    assert_eq!(store.open_envelopes_of(BOB).unwrap(), [envelope(7), envelope(2)], "the relay has it");
    let unconfirmed = |then, now| store.unconfirmed_envelopes(BOB, Timestamp(then), Timestamp(now)).unwrap();
    assert_eq!((unconfirmed(2, 9), unconfirmed(0, 0)), (vec![envelope(1)], vec![envelope(1)]));
    assert_eq!(unconfirmed(1, 9), []);
    assert_eq!(store.count_open_deliveries().unwrap(), 4);
    assert_eq!(ids(store.expired_deliveries(Timestamp(3)).unwrap()), [1, 2, 1]);
    store.set_delivery_state(message(1), BOB, DeliveryState::Failed, Some("why")).unwrap();
    assert_eq!(item(1), None, "it is not sent any more");
    let row = store.delivery(message(1), BOB).unwrap().unwrap();
    assert_eq!((row.state, row.reason), (DeliveryState::Failed, Some("why".to_owned())));
    store.revive_delivery(message(1), BOB, Timestamp(9)).unwrap();
    let row = store.delivery(message(1), BOB).unwrap().unwrap();
    assert_eq!((row.state, row.reason), (DeliveryState::Queued, None));
    assert_eq!(ids(store.expired_deliveries(Timestamp(3)).unwrap()), [2, 1]);
    store.drop_delivery_envelope(message(2), BOB).unwrap();
    assert_eq!(item(2), None);
    store.remove_delivery(message(1), EVE).unwrap();
    assert!(store.delivery(message(1), EVE).unwrap().is_none());
    assert_eq!(store.peers_with_unsealed().unwrap(), [BOB]);

    assert!(store.remove_control(envelope(7)).unwrap());
    assert!(!store.remove_control(envelope(7)).unwrap());
    store.remove_controls_before(Timestamp(6)).unwrap();
    assert_eq!(store.open_envelopes().unwrap(), [envelope(8)]);
    store.remove_controls_before(Timestamp(7)).unwrap();
    assert_eq!(store.open_envelopes().unwrap(), []);
}

#[test]
fn a_state_is_the_same_after_the_database() {
    use DeliveryState::{Delivered, Failed, Queued, Read, Sent, Stored};
    for state in [Queued, Sent, Stored, Delivered, Read, Failed] {
        assert_eq!(DeliveryState::from_number(state as u8), state);
    }
}

#[test]
fn progress_counts_the_copies_at_each_stage() {
    let store = store();
    assert_eq!(store.progress_of(message(1)).unwrap().least, None);
    let states = [DeliveryState::Sent, DeliveryState::Stored, DeliveryState::Delivered, DeliveryState::Read];
    for (n, state) in (0..).zip(states) {
        store.insert_delivery(message(1), PeerId([n; 32]), [0; 16], Timestamp(1)).unwrap();
        store.set_delivery_state(message(1), PeerId([n; 32]), state, None).unwrap();
    }
    let progress = store.progress_of(message(1)).unwrap();
    assert_eq!((progress.of, progress.stored, progress.delivered, progress.read), (4, 3, 2, 1));
    assert_eq!((progress.least, progress.failed), (Some(DeliveryState::Sent), false));
}

#[test]
fn messages_to_a_room_wait_until_somebody_is_there_to_address() {
    let store = store();
    store.insert_message(&NewMessage { in_room: true, ..mine(1, Some(1)) }).unwrap();
    store.insert_message(&NewMessage { in_room: true, ..mine(2, Some(2)) }).unwrap();
    store.insert_message(&mine(3, Some(3))).unwrap();
    store.insert_delivery(message(2), BOB, [0; 16], Timestamp(1)).unwrap();
    let waiting: Vec<_> = store.unaddressed(HERE).unwrap().iter().map(|row| row.id).collect();
    assert_eq!(waiting, [message(1)]);
    assert_eq!(store.unaddressed(THERE).unwrap().len(), 0);
    assert_eq!(store.unaddressed_since(Timestamp(1)).unwrap(), []);
    assert_eq!(store.unaddressed_since(Timestamp(2)).unwrap(), [message(1)]);
}
