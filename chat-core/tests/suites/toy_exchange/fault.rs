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
    PairIsDerived,
    LogsAKey,
}
