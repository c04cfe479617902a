//! From a profile to the plugins it names.

use crate::cipher::Cipher;
use crate::frontend::Frontend;
use crate::key_exchange::KeyExchange;
use crate::plugin::{PluginKind, Registry};
use crate::transport::Transport;

use super::diagnostics::{Problems, ProfileError};
use super::options::Options;
use super::policy::{self, Property};
use super::{Listen, Padding, Policy, Profile, at_rest};

/// What of a profile must be there in the program that reads it.
#[derive(Clone)]
pub(super) enum Check<'a> {
    Client { registry: &'a Registry, program_gives: Vec<Property> },
    Relay { registry: &'a Registry },
}

impl Check<'_> {
    /// The plugins of a kind that the program has.
    pub(super) fn names(&self, kind: PluginKind) -> Vec<&'static str> {
        let (Self::Client { registry, .. } | Self::Relay { registry }) = self;
        registry.iter().filter(|entry| entry.kind == kind).map(|entry| entry.name).collect()
    }
}

/// The plugins of a client, built, and what they give together.
pub struct Stack {
    /// In the order of [`Profile::transports`].
    pub transports: Vec<Box<dyn Transport>>,
    /// `[key_exchange]`
    pub key_exchange: Box<dyn KeyExchange>,
    /// `[cipher]`
    pub cipher: Box<dyn Cipher>,
    /// `[frontend]`
    pub frontend: Box<dyn Frontend>,
    /// What the stack gives its user, in the order of [`Property::ALL`].
    pub gives: Vec<Property>,
}

/// As much of a profile as could be read: enough to look for errors in the plugins' options although other tables have some.
#[derive(Default)]
pub(super) struct Chosen<'a> {
    pub(super) transports: Vec<&'a Options>,
    pub(super) key_exchange: Option<&'a Options>,
    pub(super) cipher: Option<&'a Options>,
    pub(super) frontend: Option<&'a Options>,
    pub(super) listen: &'a [Listen],
    pub(super) policy: Option<&'a Policy>,
    /// `[store]` names what seals the data directory, and nothing that lies in the clear is beside it.
    pub(super) is_sealed: bool,
    pub(super) padding: Option<Padding>,
}

impl Chosen<'_> {
    pub(super) fn check(&self, check: &Check<'_>, problems: &mut Problems) {
        match check {
            Check::Client { registry, program_gives } => {
                self.stack(registry, program_gives, problems);
                self.listeners(registry, problems);
            }
            Check::Relay { registry } => {
                self.transports(registry, problems);
                self.listeners(registry, problems);
            }
        }
    }

    /// Whether the profile makes use of what the program can give.
    fn is_on(&self, property: Property) -> bool {
        match property {
            Property::Padding => self.padding != Some(Padding::Off),
            // To require it is to have it: the program then seals for nobody else, and is in no open room.
            Property::VerifiedPeers | Property::ClosedRooms => {
                self.policy.is_some_and(|policy| policy.requires(property))
            }
            _ => true,
        }
    }

    fn transports(&self, registry: &Registry, problems: &mut Problems) -> Vec<Box<dyn Transport>> {
        self.transports.iter().filter_map(|options| problems.take(registry.build(options))).collect()
    }

    /// Those that have not the very options of the profile's own transports.
    fn listeners(&self, registry: &Registry, problems: &mut Problems) {
        let own = |listen: &&Listen| {
            self.transports.iter().any(|own| own.chosen_at() == listen.options.chosen_at())
        };
        for listen in self.listen.iter().filter(|listen| !own(listen)) {
            problems.take(registry.build::<dyn Transport>(&listen.options));
        }
    }

    fn stack(
        &self,
        registry: &Registry,
        program_gives: &[Property],
        problems: &mut Problems,
    ) -> Option<Stack> {
        let transports = self.transports(registry, problems);
        let key_exchange: Option<Box<dyn KeyExchange>> =
            self.key_exchange.and_then(|options| problems.take(registry.build(options)));
        let cipher = self.cipher.and_then(|options| problems.take(registry.build(options)));
        let frontend = self.frontend.and_then(|options| problems.take(registry.build(options)));
        let key_exchange = key_exchange?;
        let sealed = self.is_sealed.then_some(Property::SealedAtRest);
        let program_gives: Vec<Property> = program_gives.iter().copied().chain(sealed).collect();
        let given = policy::given(&key_exchange.properties(), &program_gives);
        let gives: Vec<Property> = given.into_iter().filter(|property| self.is_on(*property)).collect();
        if let (Some(policy), Some(options)) = (self.policy, self.key_exchange) {
            policy.check(&gives, options.kind(), registry, problems);
        }
        Some(Stack { transports, key_exchange, cipher: cipher?, frontend: frontend?, gives })
    }
}

impl Profile {
    /// Builds the plugins of a client and checks the policy. Pure: no plugin does anything yet.
    /// `program_gives` is what the program itself adds to the properties of the key exchange.
    ///
    /// # Errors
    /// All that is wrong with the plugins' options, and all required properties that are lacking.
    pub fn assemble(&self, registry: &Registry, program_gives: &[Property]) -> Result<Stack, ProfileError> {
        let mut problems = Problems::default();
        let stack = self.chosen().stack(registry, program_gives, &mut problems);
        problems.finish(stack).map(|(stack, _)| stack)
    }

    /// Whether the stack gives what the policy requires. `given` is what [`policy::given`](super::given) says.
    ///
    /// # Errors
    /// Each required property that is lacking, where it is required, with the change that would give it.
    pub fn check_policy(&self, given: &[Property], registry: &Registry) -> Result<(), ProfileError> {
        policy::check(&self.policy, given, self.key_exchange.kind(), registry)
    }

    fn chosen(&self) -> Chosen<'_> {
        Chosen {
            transports: self.transports.iter().map(|entry| &entry.options).collect(),
            key_exchange: Some(&self.key_exchange),
            cipher: Some(&self.cipher),
            frontend: Some(&self.frontend),
            listen: &self.relay.listen,
            policy: Some(&self.policy),
            is_sealed: at_rest::is_sealed(&self.store, &self.identity, Some(self.topology.host)),
            padding: Some(self.padding),
        }
    }
}
