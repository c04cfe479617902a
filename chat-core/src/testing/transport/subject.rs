//! What the suite is run on.

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
        Self { declared: None, make, place: Box::new(place), virtual_time: false }
    }

    /// The plugin `P` with the given options, a piece of profile with the table `[transport]`.
    pub fn of<P: Plugin<dyn Transport>>(
        options: &'static str,
        place: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let make = Box::new(move || Declared::<dyn Transport>::of::<P>().build(options));
        Self { declared: Some(Declared::of::<P>()), make, place: Box::new(place), virtual_time: false }
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
