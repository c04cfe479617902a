//! What may be wrong with the toy.

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
pub(crate) enum Fault {
    #[default]
    Nothing,
    // In its words and bundles.
    SharedOptionsWithBlanks,
    CaveatWithoutEnd,
    SecretInTheBundle,
    BundleWithoutEntropy,
    BundleFromTheSystem,
    BundleWithTrailingBytes,
    OneTimeKeyIgnored,
    ErasedOneTimeKeyIsForged,
    OneTimeKeyTooMany,
    OneTimeKeysWithoutEntropy,
    OneTimeKeysThoughNoneAreUsed,
    UnusedOneTimeKeyIgnored,
    /// The session of who accepts remembers the one-time secret.
    OneTimeKeyKept,
    // In the first message.
    ABitOfTheProofIgnored,
    FirstWithTrailingBytes,
    FirstDecodedLoosely,
    BindingLeftOut,
    SenderLeftOut,
    /// Who sends is mixed in, as all can see, and proves nothing.
    SenderOnlyNamed,
    /// A message that was accepted once needs no second look at who brings it.
    RemembersWhatItAccepted,
    AnybodyAccepts,
    ReflectionAccepted,
    SameEphemeralAgain,
    EphemeralWithoutEntropy,
    PanicsOnOnes,
    // In frames.
    NoEmptyMessages,
    BitNotAuthenticated,
    TrailingZeroIgnored,
    ReplayIsForged,
    SkippedKeysKept,
    OpensItsOwn,
    Preview,
    PanicsOnTheLastNumber,
    // In order.
    LooksAheadFourHundred,
    FarIsForged,
    FewSkippedAtATurn,
    // In what is saved.
    SealsAreNotSaved,
    TurnsOnceOnly,
    CountsRefusals,
    MovesOnBeforeTheTag,
    AlwaysSaves,
    SavesItsHistory,
    StateWithTrailingBytes,
    ForeignRowsIgnored,
    CipherNameLeftOut,
    // In keys.
    SaltIgnored,
    BringsItsOwnCipher,
    CipherErrorIgnored,
    SealsWithoutEntropy,
    SaltFromTheSystem,
    // In its life.
    NeverDue,
    YoungUnderAFalseClock,
    AgeSinceTheRestart,
    EndsWithoutNotice,
    EndMovesOn,
    ClockOverflows,
    BoundToItsThread,
    // In what it claims.
    ChainDoesNotMove,
    /// The state can't be edited: it begins with its own hash. That alone is no fault, but then nobody sees one.
    HashedState,
    /// And in it the chain does not move.
    HashedStaticState,
    /// And what was received is counted in a row beside it.
    HashedStaticStateAndCountInARow,
    /// What was seen is opened again before it is said to be a duplicate.
    ChainDoesNotMoveUnderTheWindow,
    PairIsDerived,
    LogsAKey,
}

impl Fault {
    /// The sending and receiving chains have one key for all their frames.
    pub(super) fn stands_still(self) -> bool {
        matches!(
            self,
            Self::ChainDoesNotMove
                | Self::HashedStaticState
                | Self::HashedStaticStateAndCountInARow
                | Self::ChainDoesNotMoveUnderTheWindow
        )
    }

    /// The saved state begins with its own hash.
    pub(super) fn hashes_its_state(self) -> bool {
        matches!(self, Self::HashedState | Self::HashedStaticState | Self::HashedStaticStateAndCountInARow)
    }
}
