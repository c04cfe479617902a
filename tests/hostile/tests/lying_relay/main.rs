//! A relay that lies to honest clients: what it does is detected, or does no harm. Each test names the promise that is
//! attacked (README), shows that the lie was told, and lets the honest go on afterwards.

mod alterations;
mod answers;
mod closed_rooms;
mod deliveries;
mod directory;
mod inventions;
mod links;
mod one_time_keys;
mod rooms;
mod support;
