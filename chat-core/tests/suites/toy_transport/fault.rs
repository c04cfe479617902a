//! What may be wrong with the toy.

/// One thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Nothing at all.
    Nothing,
    // Delivery.
    /// Frames that fill their last chunk to the last byte have no end.
    ForgetsTheEndOfFullChunks,
    /// Large frames that cross on their way spoil each other.
    SharesABuffer,
    TakesAnyLength,
    RefusesWithoutReason,
    /// The beginning of what is refused was sent already.
    RefusesTooLate,
    /// After thousands.
    OrderSlipsOnce,
    /// Of many frames that wait to be flushed, the last stays.
    FlushLeavesTheLast,
    FiguresShrink,
    FiguresStandStill,
    // Pressure.
    /// Only frames that are worth it count.
    SmallFramesAreFree,
    /// After it has waited a few times.
    ForgetsTheWriter,
    /// Both directions of a link have one queue's room.
    SharesItsRoom,
    ForgetsTheWriterWhenTheReaderGoes,
    // Cancelling.
    /// What has come of a frame belongs to whoever asked for it.
    NextBeginsAnew,
    /// A frame half sent is given up when the next one comes.
    SendGivesUpTheRest,
    /// Of many places that were asked for and not used, one is used twice.
    FeedDoubles,
    /// The second attempt takes the first for done.
    CloseIsDoneWhenAskedAgain,
    /// Between taking and giving it waits.
    ListenerTakesThenWaits,
    /// A task goes on with what nobody wants any more.
    DialGoesOnAlone,
    // Closing.
    /// After the end, whoever asks again waits for ever.
    EndIsToldOnce,
    CloseForgetsTheReader,
    DropTakesBackWhatWasClosed,
    /// If the other direction was closed before.
    CloseThrowsAway,
    SecondCloseFails,
    SendsAfterClose,
    /// Who has closed does not wait for what comes.
    CloseStopsTheReader,
    DropForgetsTheReader,
    DeliversTornFrames,
    CutLooksLikeAClose,
    // Listening.
    /// If somebody else listens already.
    AddressIsWhatWasAskedFor,
    PlacesAreShared,
    PlacesAreKept,
    ListenerTakesItsLinksAlong,
    DialingNobodyWaits,
    DialingNobodyIsAClose,
    /// The listener waits for what the dialer says first.
    NextHandshakes,
    /// If there are many.
    MixesLinks,
    SwapsRoles,
    OneEndIsBare,
    // Identity.
    /// Whoever comes is taken for the first who came.
    RemembersTheFirstPeer,
    /// To whoever dials.
    DialerNamesItself,
    IgnoresPins,
    /// Nobody has to prove anything.
    BelievesEverybody,
    BelievesWhoDials,
    BelievesWhoListens,
    // Datagrams.
    AltersLongDatagrams,
    TakesAnyDatagram,
    KeepsEveryDatagram,
    DatagramsHoldUpFrames,
    DatagramsOutliveTheLink,
    // Streams.
    MixesStreams,
    StreamsShareTheirRoom,
    StreamCloseEndsTheLink,
    AcceptTakesThenWaits,
    StreamsOutliveTheLink,
    StreamsTakeShortFramesOnly,
    /// What has come of a stream's frame belongs to whoever asked for it.
    StreamNextBeginsAnew,
    /// Once a stream has sent megabytes, others wait.
    BusyStreamGoesFirst,
    /// Those that have ended count, too.
    StreamsAreCountedForEver,
    StreamCloseEndsBothDirections,
    StreamCutLooksLikeAClose,
    StreamWriterIsNotTold,
    /// Who opens a stream that nobody takes waits for an answer for ever.
    UntakenStreamsHang,
}

impl Fault {
    /// Whether it is one of the pipes of streams.
    pub(crate) fn is_of_streams(self) -> bool {
        matches!(
            self,
            Self::StreamsShareTheirRoom
                | Self::StreamCloseEndsTheLink
                | Self::StreamsTakeShortFramesOnly
                | Self::StreamNextBeginsAnew
                | Self::BusyStreamGoesFirst
                | Self::StreamCloseEndsBothDirections
                | Self::StreamCutLooksLikeAClose
                | Self::StreamWriterIsNotTold
        )
    }
}
