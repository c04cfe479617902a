//! The program's own two stores on a simulated disk: the client's history and the relay's mailbox.
//!
//! Both run on threads of their own here, so which turn or transaction a fault meets is not the same twice; what must
//! hold afterwards is.

#[cfg(test)]
mod client_store;
#[cfg(test)]
mod mailbox_suite;
#[cfg(test)]
mod relay_mailbox;
