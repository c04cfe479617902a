//! Engines talking through a relay made of a map: exact, without threads, clocks or networks.

mod anew;
mod chaos;
mod clock;
mod closed_many;
mod closed_races;
mod closed_restored;
mod closed_retry;
mod closed_rooms;
mod crowd;
mod first_messages;
mod history;
mod hostile;
mod life;
mod names;
mod one_time;
mod onlooker;
mod peers;
mod refusals;
mod restored;
mod rooms;
mod strangers;
mod theft;
mod trust;
mod typing;
mod unlucky;
mod world;
