//! Black-box tests of the relay: clients that speak its records over links in memory.

#[cfg(test)]
mod attackers;
#[cfg(test)]
mod churn;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod joins;
#[cfg(test)]
mod mailbox;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod passing;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod slow_readers;
#[cfg(test)]
mod storage_failure;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweep;
