//! How it ends, and what it leaves behind.

use super::script::SCRIPT;
use super::stage::Stage;
use super::world::{BOB, CAROL, LOBBY};
use super::{Seat, Subject};
use crate::api::command::{Command, Reply};
use crate::api::handle::Request;
use crate::testing::rule::{Violation, ensure};

/// A frontend at work: it has shown something, and a command of its waits for an answer if `asks`.
fn at_work(stage: &mut Stage, subject: &Subject, asks: bool) -> Result<Box<dyn Seat>, Violation> {
    stage.publish(|world| Ok(vec![world.link_up(), world.hear(LOBBY, BOB, "hello")?]))?;
    let mut seat = subject.start(stage.client())?;
    seat.screen(stage.at)?.must_show(&stage.world().whole())?;
    if asks {
        seat.type_line("/members #lobby")?;
    }
    Ok(seat)
}

pub(super) fn it_ends_when_it_is_told(subject: &Subject) -> Result<(), Violation> {
    for asks in [false, true] {
        let mut stage = Stage::new()?;
        let seat = at_work(&mut stage, subject, asks)?;
        let pending = asks.then(|| stage.request()).transpose()?;
        stage.publish(|world| Ok(vec![world.hear(LOBBY, CAROL, "one more thing")?]))?;
        stage.stop();
        seat.end().map_err(|why| why.under(format!("with {} commands unanswered", u8::from(asks))))?;
        drop(pending);
    }
    Ok(())
}

/// Whatever became of it.
pub(super) fn it_ends_when_the_engine_is_gone(subject: &Subject) -> Result<(), Violation> {
    for asks in [false, true] {
        let mut stage = Stage::new()?;
        let seat = at_work(&mut stage, subject, asks)?;
        let pending = asks.then(|| stage.request()).transpose()?;
        drop((stage, pending));
        seat.end().map_err(|why| why.under(format!("with {} commands unanswered", u8::from(asks))))?;
    }
    Ok(())
}

/// One is killed in the middle of what it does; the engine goes on, and the next one has what it needs.
pub(super) fn the_next_one_takes_over(subject: &Subject) -> Result<(), Violation> {
    let mut stage = Stage::new()?;
    let (first, rest) = SCRIPT.split_at(SCRIPT.len() / 2);
    for step in first {
        stage.play(step)?;
    }
    let mut seat = subject.start(stage.client())?;
    seat.screen(stage.at)?;
    let mut pending = Vec::new();
    for _ in 0..3 {
        seat.type_line("/members #lobby")?;
        pending.push(stage.request()?);
    }
    drop(seat);
    for step in rest {
        stage.play(step)?;
    }
    let mut seat = subject.start(stage.client())?;
    let screen = seat.screen(stage.at)?;
    screen.must_show(&stage.world().whole()).map_err(|why| why.under("the next frontend"))?;
    // What the first one asked for is answered to nobody.
    for request in pending {
        drop(request.reply.send(Ok(Reply::Done {})));
    }
    let asked = seat.type_line("/join #next")?;
    let request = next_change(&mut stage)?;
    let joins = matches!(&request.command, Command::Join(join) if join.room.to_string() == "#next");
    ensure!(joins, "the next frontend asked to join, and this came: {:?}", request.command);
    drop(request.reply.send(Ok(Reply::Done {})));
    let answered = seat.answer()?;
    ensure!(
        answered.to == asked,
        "the next frontend asked {asked}, and {} is shown as answered",
        answered.to
    );
    stage.publish(|world| Ok(vec![world.hear(LOBBY, BOB, "after all that")?]))?;
    seat.screen(stage.at)?.must_show(&stage.world().whole())?;
    while let Some(command) = stage.other_request() {
        ensure!(!changes(&command), "this came to the engine though nobody asked for it: {command:?}");
    }
    Ok(())
}

/// Whether it is more than a question, which who leaves may still have.
fn changes(command: &Command) -> bool {
    !matches!(
        command,
        Command::Rooms | Command::Peers | Command::Members(_) | Command::Stack | Command::Config
    )
}

fn next_change(stage: &mut Stage) -> Result<Request, Violation> {
    loop {
        let request = stage.request()?;
        if changes(&request.command) {
            return Ok(request);
        }
        drop(request.reply.send(Ok(Reply::Done {})));
    }
}
