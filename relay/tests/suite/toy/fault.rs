//! What may be wrong with the toy.

/// One thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Of a group of changes, the last is answered first.
    AnswersOutOfOrder,
    /// Of a bundle, while others wait.
    ForgetsAnAnswer,
    PanicsSpread,
    /// Who looks at a small room sees it as it was before the last change.
    ReadsAreBehind,
    /// A `write` that waits goes on without whoever asked for it.
    WriteGoesOnAlone,
    TurnsLongEnvelopes,
    NumbersAreCountedFromWhatIsThere,
    KnowsIdsWhoeverTheyAreFor,
    RefusesRepeatsForever,
    AckForgetsRoomsForAll,
    AckGoesBack,
    BelievesFutureAcks,
    PagesHaveOneMore,
    PagesLoseTheirEdge,
    DiscardKeepsTheId,
    NothingIsTooOld,
    SendersGetTheirOwn,
    StrangersWriteToRooms,
    NewcomersGetEverything,
    RosterLosesItsEdge,
    LeavingIsAlwaysTrue,
    RoomsAreUnbounded,
    OlderBundlesCount,
    NamesAreForever,
    DirectoryIsUnbounded,
    ContactsGoBothWays,
    OneTimeKeysComeBack,
    OneTimeKeysStay,
    OneTimeKeysAreUnbounded,
    OneTimeKeysForTheAsking,
    OneTimeKeysHaveNoFloor,
    MailboxesAreUnbounded,
    RefusedIsKnown,
    TotalIsForgottenAtRestart,
    PeersAreUnbounded,
    CloseDropsTheQueue,
    ClosedAnswersReads,
    SecondCloseIsQuick,
    CloseForgetsMembers,
    AnswersBeforeTheCommit,
    /// The system has it, the disk has not.
    AnswersBeforeTheSync,
}
