//! SQLite on a simulated disk: what survives, what a test notices, and that nothing of it depends on chance.

#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod workload;
