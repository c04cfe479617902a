//! What is asked for, and answered.

use super::stage::Stage;
use super::world::{BOB, CAROL, LOBBY};
use super::{Answered, Seat, Subject};
use crate::api::command::{CommandError, ErrorKind, Reply};
use crate::api::handle::Request;
use crate::api::table::{self, Line};
use crate::testing::rule::{Must as _, Violation, ensure};

fn begin(subject: &Subject) -> Result<(Stage, Box<dyn Seat>), Violation> {
    let mut stage = Stage::new()?;
    stage.publish(|world| {
        let came = vec![world.link_up(), world.seen(BOB, true)?, world.hear(LOBBY, CAROL, "hello")?];
        Ok(came)
    })?;
    let mut seat = subject.start(stage.client())?;
    seat.screen(stage.at)?;
    Ok((stage, seat))
}

/// Types a line, and gives its number and what came of it at the engine.
fn ask(stage: &mut Stage, seat: &mut dyn Seat, line: &str) -> Result<(u64, Request), Violation> {
    let number = seat.type_line(line)?;
    let request = stage.request()?;
    let expected = match table::parse_line(line).must("reading a line")? {
        Line::Command(command) => command,
        _ => return Err(Violation::new(format!("{line} is no command"))),
    };
    ensure!(request.command == expected, "`{line}` came to the engine as {:?}", request.command);
    Ok((number, request))
}

fn reply(request: Request, answer: Result<Reply, CommandError>) -> Result<(), Violation> {
    request.reply.send(answer).map_err(|_| Violation::new("nobody waits for the answer any more"))
}

pub(super) fn commands_reach_the_engine_as_they_were_given(subject: &Subject) -> Result<(), Violation> {
    let (mut stage, mut seat) = begin(subject)?;
    let lines = [
        "/msg carol hello  there, with blanks  in it",
        "/msg #lobby žluťoučký kůň 👩\u{200d}👩\u{200d}👧",
        "/msg bob \"quoted\" \\n {json} /slash",
        "/join #dev",
        "/leave #dev",
        "/members #lobby",
        "/peers",
        "/rooms",
        "/stack",
        "/config",
        "/retry 000102030405060708090a0b0c0d0e0f",
    ];
    for line in lines {
        let (number, request) = ask(&mut stage, &mut *seat, line)?;
        reply(request, Ok(Reply::Done {}))?;
        let answered = seat.answer()?;
        ensure!(answered == Answered { to: number, refused: None }, "`{line}` was done, and is {answered:?}");
    }
    let more = stage.other_request();
    ensure!(more.is_none(), "this came to the engine though nobody asked for it: {more:?}");
    Ok(())
}

/// Whatever order they come in.
pub(super) fn each_answer_finds_its_question(subject: &Subject) -> Result<(), Violation> {
    let (mut stage, mut seat) = begin(subject)?;
    let mut open = Vec::new();
    for line in ["/members #lobby", "/join #one", "/join #two", "/msg bob hello", "/leave #three"] {
        open.push(ask(&mut stage, &mut *seat, line)?);
    }
    for place in [3, 0, 2, 0, 0] {
        let (number, request) = open.remove(place);
        reply(request, Ok(Reply::Done {}))?;
        let answered = seat.answer()?;
        ensure!(
            answered.to == number,
            "question {number} was answered, and {} is shown as answered",
            answered.to
        );
    }
    Ok(())
}

pub(super) fn a_refusal_is_shown(subject: &Subject) -> Result<(), Violation> {
    let (mut stage, mut seat) = begin(subject)?;
    let (refused, pending) = ask(&mut stage, &mut *seat, "/msg nobody hello")?;
    let (_, other) = ask(&mut stage, &mut *seat, "/members #lobby")?;
    let words = "nobody of that name is known";
    reply(pending, Err(CommandError::new(ErrorKind::NotFound, words)))?;
    let answered = seat.answer()?;
    ensure!(
        answered.to == refused,
        "question {refused} was refused, and {} is shown as answered",
        answered.to
    );
    let shown = answered.refused.as_ref().is_some_and(|shown| shown.contains(words));
    ensure!(shown, "it was refused with {words:?}, and this is shown: {:?}", answered.refused);
    reply(other, Ok(Reply::Done {}))?;
    let answered = seat.answer()?;
    ensure!(answered.refused.is_none(), "what was done is shown as refused: {answered:?}");
    Ok(())
}
