//! Engines talking through a relay made of a map: exact, without threads, clocks or networks.

mod chaos;
mod hostile;
mod life;
mod peers;

mod refusals;
mod rooms;
mod strangers;
mod unlucky;
mod world;
