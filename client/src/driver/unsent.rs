/// How many messages of one's own still need this client when it has ended. They are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsent {
    /// Have reached no relay.
    pub no_relay: u64,
    /// Have reached the relay that this program hosted, and not all of their recipients: nobody else has them.
    pub own_relay: u64,
}
