//! What happens, step by step: something of everything that a frontend is told.

use super::world::{ALICE, BOB, CAROL, DAVE, DEV, LOBBY, WITH_BOB, World};
use crate::api::event::AlarmKind;
use crate::api::{Counts, Event, MessageState};
use crate::ids::PeerId;
use crate::testing::rule::Violation;

/// One thing that happens: its events, and a snapshot after them.
pub(super) struct Step {
    /// In words.
    pub(super) what: &'static str,
    /// What it changes, and what is told of it.
    pub(super) play: fn(&mut World) -> Result<Vec<Event>, Violation>,
}

/// Another key of one who calls itself bob.
const FALSE_BOB: PeerId = PeerId([0xb1; 32]);

fn counts(stored: u32, delivered: u32, read: u32) -> Option<Counts> {
    Some(Counts { stored, delivered, read, of: 2 })
}

macro_rules! steps {
    ($($what:literal: |$world:ident| $play:expr;)*) => {
        /// In this order.
        pub(super) const SCRIPT: &[Step] = &[$(Step { what: $what, play: |$world| Ok($play) }),*];
    };
}

steps! {
    "the relay is reached": |world| vec![world.link_up()];
    "two come": |world| vec![world.seen(BOB, true)?, world.seen(CAROL, true)?];
    "bob says something": |world| vec![world.hear(LOBBY, BOB, "hello everybody")?];
    "and carol": |world| vec![world.hear(LOBBY, CAROL, "hello bob")?, world.hear(LOBBY, CAROL, "hello alice")?];
    "all is read": |world| vec![world.read(LOBBY, 0)?];
    "one's own message is queued": |world| vec![world.say(LOBBY, "good morning")?];
    "it is sent": |world| { let id = world.last(); vec![world.come(id, MessageState::Sent, None)?] };
    "it is stored": |world| { let id = world.last(); vec![world.come(id, MessageState::Stored, counts(2, 0, 0))?] };
    "one has it": |world| { let id = world.last(); vec![world.come(id, MessageState::Stored, counts(2, 1, 0))?] };
    "all have it": |world| { let id = world.last(); vec![world.come(id, MessageState::Delivered, counts(2, 2, 1))?] };
    "all have read it": |world| { let id = world.last(); vec![world.come(id, MessageState::Read, counts(2, 2, 2))?] };
    "bob begins a conversation of two": |world| {
        world.open_direct(WITH_BOB, BOB)?;
        vec![world.hear(WITH_BOB, BOB, "psst")?]
    };
    "the answer is queued": |world| vec![world.say(WITH_BOB, "what is it?")?];
    "it fails": |world| { let id = world.last(); vec![world.come(id, MessageState::Failed, None)?] };
    "it is tried again": |world| { let id = world.last(); vec![world.come(id, MessageState::Queued, None)?] };
    "it arrives after all": |world| { let id = world.last(); vec![world.come(id, MessageState::Delivered, None)?] };
    "several lines, and other alphabets": |world| vec![
        world.hear(LOBBY, CAROL, "one\ntwo\n\tthree")?,
        world.hear(LOBBY, BOB, "žluťoučký kůň 你好 שלום 👩\u{200d}👩\u{200d}👧 🇩🇪")?,
    ];
    "something is missing": |world| {
        let event = world.hear(LOBBY, CAROL, "as I said")?;
        let id = world.last();
        vec![event, world.set_gap(id, true)?]
    };
    "it comes late": |world| { let id = world.last(); world.hear_late(id, "I say something")? };
    "another room": |world| vec![world.room(DEV, "#dev", &[ALICE, BOB])?];
    "where somebody new comes in": |world| {
        world.meet(DAVE, "dave");
        vec![world.seen(DAVE, true)?, world.room(DEV, "#dev", &[ALICE, BOB, DAVE])?]
    };
    "and talks": |world| vec![world.hear(DEV, DAVE, "I am new here")?, world.say(DEV, "welcome")?];
    "it is left": |world| vec![world.room(DEV, "#dev", &[BOB, DAVE])?];
    "carol leaves, and goes": |world| vec![world.room(LOBBY, "#lobby", &[ALICE, BOB])?, world.seen(CAROL, false)?];
    "another key claims to be bob": |world| vec![world.claim(FALSE_BOB, BOB)?, world.seen(FALSE_BOB, true)?];
    "alarms": |world| vec![
        world.alarm(AlarmKind::Tampered, Some(BOB), "a frame that was changed"),
        world.alarm(AlarmKind::Replayed, Some(BOB), "a frame that came before"),
        world.alarm(AlarmKind::Downgrade, None, "a stack that is weaker"),
    ];
    "the relay is lost": |world| vec![world.link_down("it hung up")];
    "a long text is waiting to be sent": |world| vec![world.say(LOBBY, &"long ".repeat(4000))?];
    "the relay is back": |world| vec![world.link_up()];
    "much is said at once": |world| {
        let mut events = Vec::new();
        for number in 0..250 {
            events.push(world.hear(LOBBY, BOB, &format!("number {number}"))?);
        }
        events
    };
    "something is missing far up": |world| {
        let id = world.first(LOBBY)?;
        vec![world.set_gap(id, true)?]
    };
    "it comes very late": |world| { let id = world.first(LOBBY)?; world.hear_late(id, "where are you all?")? };
    "the last of it": |world| {
        let events = vec![world.hear(LOBBY, BOB, "the end")?, world.read(LOBBY, 0)?, world.read(WITH_BOB, 0)?];
        events
    };
}
