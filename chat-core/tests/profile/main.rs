//! Profiles as their authors and the program meet them: what is refused and how it is said, which layer wins,
//! what is shown, and that nothing makes the reader panic.

mod hostile;
mod layers;
mod malformed;
mod plugins;
mod secrecy;
mod shipped;
mod show;
mod stack;
