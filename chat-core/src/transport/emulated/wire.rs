//! What the layer says beside the link's own frames. `WIRE.md` §10 shows the bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CHUNK_BYTES, MAX_DATAGRAM_BYTES, Malformed, VERSION};

/// The first byte of every frame of the layer: no record of CBOR begins with it (a tag, RFC 8949 §3.4).
pub(super) const MARK: u8 = 0xc5;

const HELLO: u8 = 0x01;
const OPEN: u8 = 0x02;
const DATA: u8 = 0x03;
const FINISH: u8 = 0x04;
const RESET: u8 = 0x05;
const STOP: u8 = 0x06;
const CREDIT: u8 = 0x07;
const DATAGRAM: u8 = 0x08;
/// The next frame of the link's own has one byte more in front, a mark.
const LONGEST: u8 = 0x09;

/// Set in a stream's number if the receiver of the frame opened it.
const YOURS: u32 = 1 << 31;
/// Numbers of streams are below this.
pub(super) const MAX_STREAM_NUMBER: u32 = YOURS;

/// A stream, as this end knows it: the two ends number those that they open apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    /// Who opened it.
    pub(super) is_ours: bool,
    pub(super) number: u32,
}

impl StreamId {
    fn to_wire(self) -> u32 {
        if self.is_ours { self.number } else { self.number | YOURS }
    }

    fn from_wire(id: u32) -> Self {
        Self { is_ours: id & YOURS != 0, number: id & !YOURS }
    }
}

/// Why a direction of a stream was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResetCode {
    /// Whoever wrote has gone, or was told to stop.
    Gone,
    /// Nobody takes streams at this end.
    Refused,
}

/// A frame of the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The first one in each direction: the highest version that its sender speaks.
    Hello {
        version: u8,
    },
    /// A new stream of the sender's.
    Open(u32),
    /// A piece of a frame, the last one or not.
    Data {
        id: StreamId,
        is_last: bool,
        bytes: Bytes,
    },
    /// No frame follows on this stream, in this direction.
    Finish(StreamId),
    /// This direction is cut.
    Reset(StreamId, ResetCode),
    /// What is sent on this stream interests nobody any more.
    Stop(StreamId),
    /// The receiver may send so much more on this stream.
    Credit(StreamId, u32),
    Datagram(Bytes),
}

/// What a frame of the layer below is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// One of the link's own.
    Own(Bytes),
    /// The next of the link's own begins with a mark that is not in it.
    MarkBefore,
    Layer(Said),
}

impl Said {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(12);
        out.put_u8(MARK);
        match self {
            Self::Hello { version } => out.put_slice(&[HELLO, *version]),
            Self::Open(number) => head(&mut out, OPEN, *number),
            Self::Data { id, is_last, bytes } => {
                out.reserve(6 + bytes.len());
                head(&mut out, DATA, id.to_wire());
                out.put_u8(u8::from(*is_last));
                out.put_slice(bytes);
            }
            Self::Finish(id) => head(&mut out, FINISH, id.to_wire()),
            Self::Reset(id, code) => {
                head(&mut out, RESET, id.to_wire());
                out.put_u8(u8::from(*code == ResetCode::Refused));
            }
            Self::Stop(id) => head(&mut out, STOP, id.to_wire()),
            Self::Credit(id, more) => {
                head(&mut out, CREDIT, id.to_wire());
                out.put_u32(*more);
            }
            Self::Datagram(bytes) => {
                out.put_u8(DATAGRAM);
                out.put_slice(bytes);
            }
        }
        out.freeze()
    }
}

fn head(out: &mut BytesMut, kind: u8, id: u32) {
    out.put_u8(kind);
    out.put_u32(id);
}

/// A frame of the link's own as it goes to the layer below: as it is, unless it begins with the mark.
pub(super) fn escaped(frame: &Bytes) -> Option<Bytes> {
    (frame.first() == Some(&MARK)).then(|| {
        let mut out = BytesMut::with_capacity(1 + frame.len());
        out.put_u8(MARK);
        out.put_slice(frame);
        out.freeze()
    })
}

/// What goes before a frame of the link's own that begins with a mark, is as long as a frame may be, and so
/// is sent without that mark.
pub(super) fn mark_before() -> Bytes {
    Bytes::from_static(&[MARK, LONGEST])
}

/// Reads a frame of the layer below.
pub(super) fn decode(frame: Bytes) -> Result<Heard, Malformed> {
    let kind = match frame.get(..2) {
        _ if frame.first() != Some(&MARK) => return Ok(Heard::Own(frame)),
        None => return Err(Malformed("a mark and nothing else")),
        Some(first) => first.last().copied().unwrap_or(MARK),
    };
    let rest = frame.slice(2..);
    let said = match kind {
        MARK => return Ok(Heard::Own(frame.slice(1..))),
        LONGEST if rest.is_empty() => return Ok(Heard::MarkBefore),
        // A later version may say more.
        HELLO => match rest.first() {
            Some(&version) if version >= VERSION => Said::Hello { version },
            _ => return Err(Malformed("a greeting without a version")),
        },
        DATAGRAM if rest.len() > MAX_DATAGRAM_BYTES => return Err(Malformed("a datagram over the limit")),
        DATAGRAM => Said::Datagram(rest),
        OPEN | DATA | FINISH | RESET | STOP | CREDIT => of_stream(kind, rest)?,
        _ => return Err(Malformed("a frame of an unknown kind")),
    };
    Ok(Heard::Layer(said))
}

fn of_stream(kind: u8, mut rest: Bytes) -> Result<Said, Malformed> {
    const LENGTH: Malformed = Malformed("a frame of a wrong length");
    let Some(&id) = rest.first_chunk() else { return Err(LENGTH) };
    let id = u32::from_be_bytes(id);
    let body = rest.split_off(4);
    let stream = StreamId::from_wire(id);
    match (kind, &body[..]) {
        (OPEN, []) if id < MAX_STREAM_NUMBER => Ok(Said::Open(id)),
        (OPEN, []) => Err(Malformed("a stream that is the other end's to open")),
        (DATA, [flag @ (0 | 1), bytes @ ..]) => {
            let is_last = *flag == 1;
            if bytes.len() > CHUNK_BYTES || (bytes.is_empty() && !is_last) {
                return Err(Malformed("a piece of a length that no piece has"));
            }
            Ok(Said::Data { id: stream, is_last, bytes: body.slice(1..) })
        }
        (FINISH, []) => Ok(Said::Finish(stream)),
        (RESET, [code @ (0 | 1)]) => {
            let code = if *code == 1 { ResetCode::Refused } else { ResetCode::Gone };
            Ok(Said::Reset(stream, code))
        }
        (STOP, []) => Ok(Said::Stop(stream)),
        (CREDIT, &[a, b, c, d]) => Ok(Said::Credit(stream, u32::from_be_bytes([a, b, c, d]))),
        _ => Err(LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: StreamId = StreamId { is_ours: true, number: 7 };
    const THEIRS: StreamId = StreamId { is_ours: false, number: 9 };

    /// As the other end knows it.
    fn turned(id: StreamId) -> StreamId {
        StreamId { is_ours: !id.is_ours, ..id }
    }

    fn heard_as(said: &Said) -> Said {
        match said.clone() {
            Said::Data { id, is_last, bytes } => Said::Data { id: turned(id), is_last, bytes },
            Said::Finish(id) => Said::Finish(turned(id)),
            Said::Reset(id, code) => Said::Reset(turned(id), code),
            Said::Stop(id) => Said::Stop(turned(id)),
            Said::Credit(id, more) => Said::Credit(turned(id), more),
            other => other,
        }
    }

    #[test]
    fn what_is_said_is_heard() {
        let bytes = |len| Bytes::from(vec![3; len]);
        let mut said = vec![Said::Hello { version: 1 }, Said::Open(0), Said::Open(MAX_STREAM_NUMBER - 1)];
        for id in [OURS, THEIRS] {
            said.extend([
                Said::Data { id, is_last: true, bytes: bytes(0) },
                Said::Data { id, is_last: false, bytes: bytes(CHUNK_BYTES) },
                Said::Finish(id),
                Said::Reset(id, ResetCode::Gone),
                Said::Reset(id, ResetCode::Refused),
                Said::Stop(id),
                Said::Credit(id, u32::MAX),
            ]);
        }
        said.extend([Said::Datagram(bytes(0)), Said::Datagram(bytes(MAX_DATAGRAM_BYTES))]);
        for said in said {
            assert_eq!(decode(said.encode()), Ok(Heard::Layer(heard_as(&said))));
        }
    }

    #[test]
    fn frames_of_the_links_own_cost_nothing_but_those_that_begin_with_a_mark() {
        for own in [&b""[..], b"\x82\x00\x81\x01", b"\x00", b"hello"] {
            let own = Bytes::from_static(own);
            assert_eq!(escaped(&own), None);
            assert_eq!(decode(own.clone()), Ok(Heard::Own(own)));
        }
        for own in [&b"\xc5"[..], b"\xc5\x01\x01", b"\xc5\xc5"] {
            let own = Bytes::from_static(own);
            let sent = escaped(&own).unwrap();
            assert_eq!(sent.len(), own.len() + 1);
            assert_eq!(decode(sent), Ok(Heard::Own(own)));
        }
        assert_eq!(decode(mark_before()), Ok(Heard::MarkBefore));
    }

    /// Of the blocks that begin with "```layer NAME" each is what the code writes.
    #[test]
    fn wire_md_shows_what_is_said() {
        let stream = |is_ours| StreamId { is_ours, number: 3 };
        let hi = |is_ours, is_last| Said::Data { id: stream(is_ours), is_last, bytes: "hi".into() };
        let said = [
            ("Hello", Said::Hello { version: VERSION }),
            ("Open", Said::Open(3)),
            ("Data", hi(true, true)),
            ("Data of the receiver's stream", hi(false, false)),
            ("Finish", Said::Finish(stream(true))),
            ("Reset", Said::Reset(stream(false), ResetCode::Refused)),
            ("Stop", Said::Stop(stream(true))),
            ("Credit", Said::Credit(stream(false), 65_536)),
            ("Datagram", Said::Datagram("hi".into())),
        ];
        let mut blocks = include_str!("../../../WIRE.md").split("```layer ").skip(1);
        for (name, said) in said {
            let (title, rest) = blocks.next().unwrap().split_once('\n').unwrap();
            let line = rest.lines().next().unwrap().split('#').next().unwrap().replace(' ', "");
            let hex: String = said.encode().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((title, line), (name, hex));
        }
        assert!(blocks.next().is_none());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let long = |head: &[u8], len: usize| [head, &vec![0; len]].concat();
        let cases: &[(&str, Vec<u8>)] = &[
            ("nothing behind the mark", vec![MARK]),
            ("kind 0", vec![MARK, 0]),
            ("an unknown kind", vec![MARK, 0x0a, 0, 0, 0, 0]),
            ("the kind of a reply to nothing", vec![MARK, 0xff]),
            ("a greeting without a version", vec![MARK, HELLO]),
            ("version 0", vec![MARK, HELLO, 0]),
            ("an opening cut short", vec![MARK, OPEN, 0, 0, 0]),
            ("an opening with more", vec![MARK, OPEN, 0, 0, 0, 1, 0]),
            ("an opening of ours", vec![MARK, OPEN, 0x80, 0, 0, 0]),
            ("data without a flag", vec![MARK, DATA, 0, 0, 0, 0]),
            ("data with an unknown flag", vec![MARK, DATA, 0, 0, 0, 0, 2, 1]),
            ("a piece of nothing that goes on", vec![MARK, DATA, 0, 0, 0, 0, 0]),
            ("too long a piece", long(&[MARK, DATA, 0, 0, 0, 0, 1], CHUNK_BYTES + 1)),
            ("a finish with more", vec![MARK, FINISH, 0, 0, 0, 0, 0]),
            ("a reset without a code", vec![MARK, RESET, 0, 0, 0, 0]),
            ("a reset with an unknown code", vec![MARK, RESET, 0, 0, 0, 0, 2]),
            ("a stop cut short", vec![MARK, STOP, 0, 0, 0]),
            ("credit of three bytes", vec![MARK, CREDIT, 0, 0, 0, 0, 1, 1, 1]),
            ("credit of five bytes", vec![MARK, CREDIT, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
            ("too long a datagram", long(&[MARK, DATAGRAM], MAX_DATAGRAM_BYTES + 1)),
            ("a mark before with more", vec![MARK, LONGEST, 0]),
        ];
        for (what, bytes) in cases {
            assert!(decode(Bytes::from(bytes.clone())).is_err(), "{what}");
        }
    }
}
