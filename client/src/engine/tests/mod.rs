//! Engines talking through a relay made of a map: exact, without threads, clocks or networks.

mod chaos;
mod clock;
mod history;
mod hostile;
mod life;
mod onlooker;
mod peers;

mod refusals;
mod restored;
mod rooms;
mod strangers;
mod unlucky;
mod world;
