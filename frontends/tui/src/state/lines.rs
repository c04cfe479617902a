//! How an entry becomes rows on the screen, and a cache of them: only what is seen is laid out.
//!
//! Every row begins with a gutter that no text from outside can enter: the mark of a delivery, `~` before what somebody
//! said whose key is not verified, `--` or `!!` before what the program says, `??` before a gap. Then comes the time, then the text; the second
//! and later rows of a text are indented further than a first one, so that no line feed in a text can
//! make it look like another message.

use std::collections::HashMap;
use std::rc::Rc;

use chat_core::api::{Delivery, MessageState, MessageView};
use jiff::civil::Date;

use super::timeline::{Entry, Place, Severity, SystemLine, Topic};
use crate::clock::Clock;
use crate::text::{self, Row};

/// Cells of the gutter with the blank after it.
pub(crate) const GUTTER_CELLS: u16 = 3;
/// Cells of `12:03 `.
const TIME_CELLS: u16 = 6;
/// How much further the second row of a text begins.
const HANG_CELLS: u16 = 2;

/// What a part of an entry is, for its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A message of somebody else; the number picks a colour for its author.
    Theirs(u8),
    /// One's own message on its way.
    Own,
    /// One's own message, read by everybody.
    Read,
    /// One's own message that failed, and why.
    Failed,
    /// The program says something.
    Info,
    /// The program shows a picture of half blocks, below a line of text.
    Picture,
    /// The program warns.
    Alarm,
    /// Something is missing.
    Gap,
    /// A new day.
    Day,
}

/// One text of an entry, broken into rows.
#[derive(Debug)]
pub(crate) struct Part {
    gutter: &'static str,
    /// `12:03`, on the first row.
    pub(crate) time: String,
    /// What it is.
    pub(crate) tone: Tone,
    /// The whole text: for a message the name, two blanks, what was said.
    pub(crate) text: String,
    /// How many bytes of `text` are the name.
    pub(crate) head: usize,
    rows: Vec<Row>,
}

/// One row of a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartRow<'a> {
    /// The name in it.
    pub(crate) head: &'a str,
    /// The rest of it.
    pub(crate) body: &'a str,
    /// Whether it is the first.
    pub(crate) is_first: bool,
}

impl Part {
    /// Two cells at the left edge of a row. What the program says is marked on each row, so that no row of a
    /// text can look like one of them, whatever is out of sight above it.
    pub(crate) fn gutter(&self, is_first: bool) -> &'static str {
        match self.tone {
            Tone::Theirs(_) | Tone::Own | Tone::Read if !is_first => "  ",
            // The mark of a failed message itself; its reason is the program's.
            Tone::Failed if !is_first && self.head > 0 => "  ",
            _ => self.gutter,
        }
    }

    fn row(&self, index: usize) -> Option<PartRow<'_>> {
        let &(start, end) = self.rows.get(index)?;
        let (start, end) = (start as usize, end as usize);
        let middle = self.head.clamp(start, end.max(start));
        Some(PartRow {
            head: self.text.get(start..middle)?,
            body: self.text.get(middle..end)?,
            is_first: index == 0,
        })
    }
}

/// An entry as rows.
#[derive(Debug)]
pub(crate) struct Laid {
    parts: Vec<Part>,
    height: usize,
}

impl Laid {
    /// How many rows; at least one.
    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// A row with the part it belongs to.
    pub(crate) fn row(&self, mut index: usize) -> Option<(&Part, PartRow<'_>)> {
        for part in &self.parts {
            if index < part.rows.len() {
                return part.row(index).map(|row| (part, row));
            }
            index -= part.rows.len();
        }
        None
    }
}

/// What the layout of every entry depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Cells of a row.
    pub(crate) width: u16,
    /// Whether rows begin with the time.
    pub(crate) timestamps: bool,
}

impl Measure {
    /// Where the text of a row begins.
    pub(crate) fn indent(self, is_first: bool) -> u16 {
        GUTTER_CELLS + if self.timestamps { TIME_CELLS } else { 0 } + if is_first { 0 } else { HANG_CELLS }
    }

    fn wrap(self, text: &str) -> Vec<Row> {
        let cells = |is_first| self.width.saturating_sub(self.indent(is_first));
        text::wrap(text, cells(true), cells(false))
    }
}

/// The mark of a delivery in the gutter.
fn mark(state: MessageState) -> &'static str {
    match state {
        MessageState::Queued => "… ",
        MessageState::Sent => "› ",
        MessageState::Stored => "✓ ",
        MessageState::Delivered | MessageState::Read => "✓✓",
        MessageState::Failed => "✗ ",
    }
}

/// In a room: how many have reached the state that not all have reached yet, and which one that is.
fn progress(delivery: &Delivery) -> Option<String> {
    let counts = delivery.counts.filter(|counts| counts.of > 0)?;
    let (state, reached) = match delivery.state {
        MessageState::Queued | MessageState::Sent => ("stored", counts.stored),
        MessageState::Stored => ("delivered", counts.delivered),
        MessageState::Delivered => ("read", counts.read),
        MessageState::Read | MessageState::Failed => return None,
    };
    Some(format!("{state} {reached}/{}", counts.of))
}

/// How much of a message's id is shown where it can be typed.
const SHORT_ID_DIGITS: usize = 8;

struct Layout<'a> {
    measure: Measure,
    clock: &'a Clock,
}

impl Layout<'_> {
    fn part(&self, (gutter, tone): (&'static str, Tone), time: String, head: String, body: &str) -> Part {
        let mut text = head;
        let head = text.len();
        if head > 0 {
            text.push_str("  ");
        }
        text.push_str(body);
        let rows = self.measure.wrap(&text);
        Part { gutter, time, tone, text, head, rows }
    }

    fn entry(&self, entry: &Entry, new_day: Option<Date>) -> Laid {
        let mut parts = Vec::new();
        if let Some(day) = new_day {
            let text = day.strftime("%A, %Y-%m-%d").to_string();
            parts.push(self.part(("--", Tone::Day), String::new(), String::new(), &text));
        }
        match entry {
            Entry::Message(message) => self.message(message, &mut parts),
            Entry::System(line) => parts.push(self.system(line)),
        }
        let height = parts.iter().map(|part| part.rows.len()).sum();
        Laid { parts, height }
    }

    fn system(&self, line: &SystemLine) -> Part {
        let kind = match line.severity {
            Severity::Info if line.topic == Topic::Picture => ("--", Tone::Picture),
            Severity::Info => ("--", Tone::Info),
            Severity::Alarm => ("!!", Tone::Alarm),
        };
        let time = self.clock.time(line.at);
        // Who comes and goes is said as it is now; how often something was refused, or missed, is news.
        let is_counted = matches!(line.topic, Topic::Alarm(..) | Topic::Lag);
        match line.times {
            1 => self.part(kind, time, String::new(), &line.text),
            _ if !is_counted => self.part(kind, time, String::new(), &line.text),
            times => self.part(kind, time, String::new(), &format!("{} (×{times})", line.text)),
        }
    }

    fn message(&self, message: &MessageView, parts: &mut Vec<Part>) {
        let nick = text::name(&message.from.nick);
        let time = self.clock.time(message.sent_at);
        if message.gap_before {
            let text = format!("something {nick} said before this has not arrived");
            parts.push(self.part(("??", Tone::Gap), String::new(), String::new(), &text));
        }
        let body = text::clean(&message.text);
        let Some(delivery) = &message.delivery else {
            let [colour, ..] = message.from.peer_id.0;
            let gutter = if message.from.verified { "  " } else { "~ " };
            parts.push(self.part((gutter, Tone::Theirs(colour)), time, nick, &body));
            return;
        };
        let tone = match delivery.state {
            MessageState::Read => Tone::Read,
            MessageState::Failed => Tone::Failed,
            _ => Tone::Own,
        };
        let head = match progress(delivery) {
            Some(progress) => format!("{nick} ({progress})"),
            None => nick,
        };
        parts.push(self.part((mark(delivery.state), tone), time, head, &body));
        if delivery.state == MessageState::Failed {
            let reason = text::one_line(delivery.reason.as_deref().unwrap_or("no reason given"));
            let id: String = message.id.to_string().chars().take(SHORT_ID_DIGITS).collect();
            let text = format!("not delivered: {reason} (/retry {id} tries again)");
            parts.push(self.part(("!!", Tone::Failed), String::new(), String::new(), &text));
        }
    }
}

#[derive(Debug)]
struct Cached {
    entry: Entry,
    new_day: Option<Date>,
    laid: Rc<Laid>,
    used: bool,
}

/// The layouts of what was on the screen lately.
#[derive(Debug)]
pub(crate) struct Layouts {
    clock: Clock,
    measure: Measure,
    cached: HashMap<Place, Cached>,
}

impl Layouts {
    /// With nothing in it.
    pub(crate) fn new(clock: Clock, measure: Measure) -> Self {
        Self { clock, measure, cached: HashMap::new() }
    }

    /// The measure in use.
    pub(crate) fn measure(&self) -> Measure {
        self.measure
    }

    /// Another measure, or another timeline: nothing of the old is of use.
    pub(crate) fn reset(&mut self, measure: Measure) {
        self.measure = measure;
        self.cached.clear();
    }

    /// The layout of an entry; `before` is what stands before it.
    pub(crate) fn lay(&mut self, place: Place, entry: &Entry, before: Option<&Entry>) -> Rc<Laid> {
        let day = self.clock.day(entry.at());
        let new_day = match before {
            Some(before) => day.filter(|day| self.clock.day(before.at()) != Some(*day)),
            None => day,
        };
        if let Some(cached) = self.cached.get_mut(&place)
            && cached.entry.is_same(entry)
            && cached.new_day == new_day
        {
            cached.used = true;
            return Rc::clone(&cached.laid);
        }
        let layout = Layout { measure: self.measure, clock: &self.clock };
        let laid = Rc::new(layout.entry(entry, new_day));
        let cached = Cached { entry: entry.clone(), new_day, laid: Rc::clone(&laid), used: true };
        self.cached.insert(place, cached);
        laid
    }

    /// Forgets what was not asked for since the last call.
    pub(crate) fn sweep(&mut self) {
        self.cached.retain(|_, cached| std::mem::replace(&mut cached.used, false));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.cached.len()
    }
}
