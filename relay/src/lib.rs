//! The blind relay: routes and stores sealed envelopes and can open none.
