//! Plugins that leak, each in its own way. Stacks of them work, so that only a search tells them from honest ones.
//!
//! | plugin | what it does |
//! |---|---|
//! | cipher `open` | encrypts nothing: the text is in whatever carries it |
//! | cipher `hinting` | writes the first 20 characters of each text to the log |
//! | cipher `telling` | writes each text to the log, and to a file beside the database |
//! | key exchange `hinting` | writes one half of the bundle key to the log, the other to a temporary file |
//! | key exchange `telling` | writes the bundle key to the log, in all spellings, and to a temporary file |
//! | transport `open` | says that it is secure, and is not |

mod cipher;
mod exchange;
mod transport;
