//! What the suite is run on.

use std::time::Duration;

use super::wire::Wire;
use crate::plugin::Plugin;
use crate::testing::declared::Declared;
use crate::testing::rule::Violation;
use crate::transport::{Address, Transport};

type Make = dyn Fn() -> Result<Box<dyn Transport>, Violation> + Send + Sync;
type Place = dyn Fn() -> String + Send + Sync;

/// A transport that is put to the test: how to make one, and where it may listen.
pub struct Subject {
    declared: Option<Declared<dyn Transport>>,
    make: Box<Make>,
    place: Box<Place>,
    virtual_time: bool,
    wire: Option<Box<dyn Wire>>,
    notices_within: Option<Duration>,
}

impl Subject {
    /// A transport of any make, also one made of two. It is made anew for each end of a link, as if each were a program of
    /// its own; what they share is in the closure. `place` gives, at each call, a place where nobody listens: port 0,
    /// or a new name.
    pub fn new(
        make: impl Fn() -> Box<dyn Transport> + Send + Sync + 'static,
        place: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let make = Box::new(move || Ok(make()));
        Self::made(None, make, Box::new(place))
    }

    /// The plugin `P` with the given options, a piece of profile with the table `[transport]`.
    pub fn of<P: Plugin<dyn Transport>>(
        options: &'static str,
        place: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let make = Box::new(move || Declared::<dyn Transport>::of::<P>().build(options));
        Self::made(Some(Declared::of::<P>()), make, Box::new(place))
    }

    fn made(declared: Option<Declared<dyn Transport>>, make: Box<Make>, place: Box<Place>) -> Self {
        Self { declared, make, place, virtual_time: false, wire: None, notices_within: None }
    }

    /// With the bytes below it, so that strangers can speak to it and somebody can stand between.
    #[must_use]
    pub fn with_wire(mut self, wire: impl Wire + 'static) -> Self {
        self.wire = Some(Box::new(wire));
        self
    }

    /// How soon it ends a link, on this machine, whose other end has vanished without a word, though nobody sends: so
    /// long the suite waits for it. Not for transports that leave this to the system, or to the layer above.
    #[must_use]
    pub fn noticing_silence_within(mut self, deadline: Duration) -> Self {
        self.notices_within = Some(deadline);
        self
    }

    /// For a transport that waits for nothing outside of this process, neither socket nor thread: its clock is a virtual
    /// one, which moves to the next deadline as soon as nothing else can happen. So it costs nothing to wait.
    #[must_use]
    pub fn on_virtual_time(mut self) -> Self {
        self.virtual_time = true;
        self
    }

    pub(super) fn is_on_virtual_time(&self) -> bool {
        self.virtual_time
    }

    pub(super) fn wire(&self) -> Option<&dyn Wire> {
        self.wire.as_deref()
    }

    pub(super) fn notices_within(&self) -> Option<Duration> {
        self.notices_within
    }

    /// What it says of itself, if it is a plugin.
    pub(super) fn declared(&self) -> Option<&Declared<dyn Transport>> {
        self.declared.as_ref()
    }

    pub(super) fn transport(&self) -> Result<Box<dyn Transport>, Violation> {
        (self.make)()
    }

    pub(super) fn place(&self) -> Address {
        Address::new((self.place)())
    }
}
