//! What failed can be tried again without typing 32 digits.

use super::*;

fn retried(effects: Vec<Effect>) -> Vec<MessageId> {
    let ids = effects.into_iter().filter_map(|effect| match effect {
        Effect::Submit(_, Command::Retry(retry)) => Some(retry.id),
        _ => None,
    });
    ids.collect()
}

#[test]
fn the_last_one_or_the_one_whose_id_begins_so() {
    let mut world = World::new();
    let ids: Vec<MessageId> = ["a", "b", "c"].map(|text| world.say(LOBBY, ME, text).id).to_vec();
    let elsewhere = world.say(WITH_BOB, ME, "d").id;
    for id in [ids[0], ids[1], elsewhere] {
        world.deliver(id, MessageState::Failed, None);
    }
    let mut state = world.state(80, 24);
    assert_eq!(retried(enter(&mut state, "/retry")), [ids[1]]);
    assert_eq!(retried(enter(&mut state, "/retry ")), [ids[1]]);
    // What all ids of this test begin with, and what one of them does.
    let short = |id: MessageId| id.to_string()[..16].to_owned();
    assert_eq!(retried(enter(&mut state, &format!("/retry {}", short(ids[0])))), [ids[0]]);
    assert_eq!(
        retried(enter(&mut state, &format!("/retry {}", short(elsewhere).to_uppercase()))),
        [elsewhere]
    );
    assert_eq!(
        retried(enter(&mut state, &format!("/retry {}", ids[2]))),
        [ids[2]],
        "a whole id is taken as it is"
    );
    for (line, says) in
        [("/retry 000", "3 messages that failed begin with 000"), ("/retry ff", "begins with ff")]
    {
        assert_eq!(retried(enter(&mut state, line)), []);
        state.arrange(100, 24);
        assert!(seen(&state).join("\n").contains(says), "{line}");
        assert_eq!(typed(&state), line, "it stays, to be put right");
        state.act(Action::Edit(Edit::KillToStart));
    }
    let mut state = World::new().state(80, 24);
    assert_eq!(retried(enter(&mut state, "/retry")), []);
    state.arrange(80, 24);
    assert!(seen(&state).join("\n").contains("no message here has failed"));
}

#[test]
fn a_failed_message_says_what_to_type() {
    let mut world = World::new();
    let id = world.say(LOBBY, ME, "lost").id;
    world.deliver(id, MessageState::Failed, None);
    let state = world.state(100, 24);
    let hint = format!("(/retry {} tries again)", &id.to_string()[..8]);
    assert!(seen(&state).join("\n").contains(&hint), "{:?}", seen(&state));
}

#[test]
fn the_relay_that_one_hosts_is_told_once_and_one_is_one() {
    let mut world = World::new();
    let mut state = world.state(100, 24);
    let listen = vec!["tcp://127.0.0.1:1".to_owned()];
    let ready =
        Ready { listen: listen.clone(), peer_id: ME, fingerprint: ME, nick: Nick::new("alice").unwrap() };
    let relay = "tcp://127.0.0.1:1".to_owned();
    let up = LinkUp { relay, fingerprint: Some(ME), hosting: true, listen };
    state.news(world.news(vec![Event::Ready(ready), Event::LinkUp(up)]));
    let mut lagged = world.news(vec![]);
    lagged.dropped = 1;
    state.news(lagged);
    state.act(Action::Switch(Switch::Number(0)));
    state.arrange(100, 24);
    let rows = seen(&state).join("\n");
    assert_eq!(rows.matches("hosting the relay").count(), 1, "{rows}");
    assert!(!rows.contains('×') && rows.contains("1 notice is not shown"), "{rows}");
}

#[test]
fn help_explains_every_mark_that_is_shown() {
    let mut state = World::new().state(100, 60);
    enter(&mut state, "/help");
    state.arrange(100, 60);
    let rows = seen(&state).join("\n");
    for mark in ["…", "›", "✓ ", "✓✓", "✗", "delivered 2/7", "read 2/7", "/retry alone"] {
        assert!(rows.contains(mark), "{mark}\n{rows}");
    }
}
