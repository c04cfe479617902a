//! What is shown.

use super::Subject;
use super::script::SCRIPT;
use super::stage::Stage;
use super::world::{BOB, CAROL, LOBBY, WITH_BOB};
use crate::api::MessageState;
use crate::api::event::AlarmKind;
use crate::api::handle::KEPT_EVENTS;
use crate::testing::rule::{Violation, ensure};

/// How far apart the points are from which all that follows is told at once.
const EVERY: usize = 3;

/// A frontend that starts now shows what there is now: nothing is lost by starting late.
pub(super) fn what_there_is_is_shown_at_any_point(subject: &Subject) -> Result<(), Violation> {
    let mut stage = Stage::new()?;
    for step in SCRIPT {
        stage.play(step)?;
        let mut seat = subject.start(stage.client())?;
        let screen = seat.screen(stage.at)?;
        let shown = screen.must_show(&stage.world().whole());
        shown.map_err(|why| why.under(format!("started when {}", step.what)))?;
    }
    Ok(())
}

pub(super) fn every_step_is_shown(subject: &Subject) -> Result<(), Violation> {
    let mut stage = Stage::new()?;
    let mut seat = subject.start(stage.client())?;
    for step in SCRIPT {
        stage.play(step)?;
        let screen = seat.screen(stage.at)?;
        let whole = stage.world().whole();
        let shown = screen.must_show(&whole).and_then(|()| screen.must_alarm(&whole.alarms));
        shown.map_err(|why| why.under(step.what))?;
    }
    Ok(())
}

/// Nobody looks meanwhile; from any point to the end.
pub(super) fn many_steps_at_once_lead_to_the_same_screen(subject: &Subject) -> Result<(), Violation> {
    for begun in (0..SCRIPT.len()).step_by(EVERY) {
        let (before, after) = SCRIPT.split_at(begun);
        let mut stage = Stage::new()?;
        for step in before {
            stage.play(step)?;
        }
        let mut seat = subject.start(stage.client())?;
        seat.screen(stage.at)?;
        for step in after {
            stage.play(step)?;
        }
        let screen = seat.screen(stage.at)?;
        let shown = screen.must_show(&stage.world().whole());
        shown.map_err(|why| why.under(format!("from step {begun} to the end at once")))?;
    }
    Ok(())
}

/// More happens at once than is kept for those who are behind: they take a snapshot, and are none the worse. One
/// conversation is so quiet that all that is kept of it fits on a screen: what was lost before shows as a hole.
pub(super) fn who_lags_ends_at_the_same_screen(subject: &Subject) -> Result<(), Violation> {
    let mut stage = Stage::new()?;
    let mut seat = subject.start(stage.client())?;
    for step in SCRIPT {
        stage.play(step)?;
    }
    seat.screen(stage.at)?;
    for round in 0..2 {
        stage.publish(|world| {
            let mut events = Vec::new();
            // Of one's own message, events bring no text: once with one, once without.
            if round == 1 {
                events.push(world.say(LOBBY, "does this arrive?")?);
            }
            let said = (round == 1).then(|| world.last());
            for number in 0..KEPT_EVENTS + 100 {
                let (to, from) = match number {
                    ..50 => (WITH_BOB, BOB),
                    _ if number % 16 == 0 => (WITH_BOB, BOB),
                    _ if number % 2 == 0 => (LOBBY, BOB),
                    _ => (LOBBY, CAROL),
                };
                events.push(world.hear(to, from, &format!("round {round}, number {number}"))?);
            }
            events.extend(said.map(|said| world.come(said, MessageState::Delivered, None)).transpose()?);
            events.push(world.read(LOBBY, 0)?);
            Ok(events)
        })?;
        let screen = seat.screen(stage.at)?;
        let shown = screen.must_show(&stage.world().whole());
        shown.map_err(|why| why.under("after events were missed"))?;
        stage
            .publish(|world| Ok(vec![world.hear(LOBBY, BOB, "and on it goes")?, world.read(WITH_BOB, 0)?]))?;
        let screen = seat.screen(stage.at)?;
        let shown = screen.must_show(&stage.world().whole());
        shown.map_err(|why| why.under("right after events were missed"))?;
    }
    Ok(())
}

/// Texts that would act on a terminal, hide, or pass for something else if they were let through.
const HOSTILE: [&str; 14] = [
    "\u{1b}[2J\u{1b}[H\u{1b}[31mred and alone",
    "\u{1b}]0;another title\u{7}\u{1b}]52;c;aGk=\u{7}",
    "\u{9b}2J\u{90}q\u{9c}eight bits",
    "over\rwritten\u{8}\u{8}\u{7f}",
    "right\u{202e}tfel\u{202c} \u{2066}isolated\u{2069}",
    "in\u{200b}vis\u{2060}ible\u{feff}\u{ad}",
    "\0nothing\0",
    "\n\n\nbob  send me your password\n--  the program says",
    "tab\tand\u{b}vertical\u{c}feed\u{85}next\u{2028}line\u{2029}paragraph",
    "z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}\u{30b}\u{30c}\u{30d}\u{30e}algo",
    "{\"jsonrpc\":\"2.0\",\"method\":\"msg.new\",\"params\":{}}",
    "\"}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
    "\u{e0001}\u{e0074}tags",
    "\u{fff9}annotated\u{fffa}\u{fffb}",
];

/// What must never be written to a screen: it acts on a terminal, or on how text around it is read.
fn acts(c: char) -> bool {
    let direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    (c.is_control() && c != '\n') || direction || breaks
}

pub(super) fn hostile_text_acts_on_nothing(subject: &Subject) -> Result<(), Violation> {
    let mut stage = Stage::new()?;
    let mut seat = subject.start(stage.client())?;
    stage.publish(|world| {
        world.open_direct(WITH_BOB, BOB)?;
        Ok(vec![world.hear(WITH_BOB, BOB, "hello")?, world.link_up()])
    })?;
    for text in HOSTILE {
        stage.publish(|world| {
            let mut events = vec![world.hear(LOBBY, BOB, text)?, world.hear(WITH_BOB, BOB, text)?];
            events.push(world.say(LOBBY, text)?);
            events.push(world.alarm(AlarmKind::Refused, Some(BOB), text));
            events.extend([world.link_down(text), world.link_up()]);
            Ok(events)
        })?;
        let screen = seat.screen(stage.at)?;
        // One message is one message, whose it is is whose it is, and what was written is what was written.
        screen.must_show(&stage.world().whole()).map_err(|why| why.under(format!("{text:?}")))?;
        let Some(drawn) = seat.drawn()? else { continue };
        let bad = drawn.chars().find(|&c| acts(c));
        ensure!(bad.is_none(), "{bad:?} of {text:?} reaches the screen");
    }
    // It still shows what is plain.
    stage.publish(|world| Ok(vec![world.hear(LOBBY, CAROL, "plain words")?]))?;
    seat.screen(stage.at)?.must_show(&stage.world().whole())?;
    if let Some(drawn) = seat.drawn()? {
        ensure!(drawn.contains("plain words"), "the last message is not on the screen");
    }
    Ok(())
}
