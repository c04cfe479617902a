//! Random schedules of sends, crashes, partitions, relays that come and go, losses, doublings and reorderings.
//! Afterwards the network heals, and every message must be where it belongs: once, in order, and truthfully shown.

use std::cell::Cell;
use std::rc::Rc;

use chat_core::api::MessageState;
use chat_core::ids::MessageId;

use super::world::World;

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const STEPS: u32 = 120;

/// xorshift64*: small, and the same everywhere.
struct Dice(Rc<Cell<u64>>);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn pick(&self) -> &'static str {
        NAMES[usize::try_from(self.roll(3)).unwrap()]
    }
}

struct Sent {
    from: &'static str,
    to: String,
    text: String,
    id: MessageId,
}

fn step(world: &mut World, dice: &Dice, n: u32, sent: &mut Vec<Sent>) {
    let who = dice.pick();
    match dice.roll(100) {
        0..50 => {
            let to = match dice.roll(3) {
                0 => "#lobby".to_owned(),
                _ => dice.pick().to_owned(),
            };
            let text = format!("{n} {}", "x".repeat(usize::try_from(dice.roll(400)).unwrap()));
            if to != who {
                let id = world.send(who, &to, &text);
                sent.push(Sent { from: who, to, text, id });
            }
        }
        50..65 => world.disconnect(who),
        65..85 => {
            if !world.person(who).online {
                world.connect(who);
            }
        }
        85..90 => {
            world.disconnect(who);
            world.crash(who);
        }
        90..93 => {
            // The relay is gone; another one, which knows nobody, takes its place.
            world.relay = Default::default();
            for who in NAMES {
                if world.person(who).online {
                    world.disconnect(who);
                    world.connect(who);
                }
            }
        }
        _ => world.pass(dice.roll(40_000)),
    }
    if dice.roll(3) == 0 {
        world.settle();
    }
}

fn heal(world: &mut World) {
    world.meddle = Box::new(|envelope| vec![envelope]);
    for who in NAMES {
        world.disconnect(who);
    }
    for who in NAMES {
        world.connect(who);
    }
    for _ in 0..6 {
        world.settle();
        world.relay.forget_what_was_had();
        world.pass(61_000);
    }
    world.settle();
}

fn check(seed: u64, world: &mut World, sent: &[Sent]) {
    for message in sent {
        let state = world.state(message.from, message.id);
        assert!(
            state == MessageState::Delivered,
            "seed {seed}: {} to {} is {state:?}",
            message.text,
            message.to
        );
    }
    for reader in NAMES {
        for conversation in NAMES.into_iter().chain(["#lobby"]).filter(|name| *name != reader) {
            let is_here = |it: &&Sent| match conversation {
                "#lobby" => it.to == "#lobby",
                peer => (it.from == peer && it.to == reader) || (it.from == reader && it.to == peer),
            };
            let shown = world.all_messages(reader, conversation);
            for author in NAMES {
                let expected: Vec<&str> = sent
                    .iter()
                    .filter(is_here)
                    .filter(|it| it.from == author)
                    .map(|it| it.text.as_str())
                    .collect();
                let found: Vec<&str> =
                    shown.iter().filter(|(from, _)| from == author).map(|(_, text)| text.as_str()).collect();
                assert_eq!(
                    found, expected,
                    "seed {seed}: what {author} said in {conversation}, as {reader} sees it"
                );
            }
        }
        let tampered = world.alarms(reader).into_iter().find(|alarm| alarm.starts_with("Tampered"));
        assert_eq!(tampered, None, "seed {seed}");
    }
}

/// A16, A17, A20.
#[test]
fn whatever_happens_every_message_arrives_once_and_in_order() {
    let mut delivered = 0;
    for seed in 1..=30 {
        let state = Rc::new(Cell::new(seed));
        let dice = Dice(Rc::clone(&state));
        let mut world = World::of(&NAMES);
        let luck = Dice(state);
        world.meddle = Box::new(move |envelope| match luck.roll(10) {
            0 => vec![],
            1 => vec![envelope.clone(), envelope],
            _ => vec![envelope],
        });
        let mut sent = Vec::new();
        for n in 0..STEPS {
            step(&mut world, &dice, n, &mut sent);
        }
        heal(&mut world);
        check(seed, &mut world, &sent);
        delivered += sent.len();
    }
    assert!(delivered > 500, "{delivered}");
}
