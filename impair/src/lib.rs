//! An impaired network.
//!
//! The model (all but the proxies) is sans-IO: time is handed in, chance comes from a seed, nothing is a clock or a socket, so a whole node
//! can be simulated on it and every run repeats exactly.
//!
//! | room | what is in it |
//! |---|---|
//! | [`Impairment`] | what is wrong with one direction of a path: plain data |
//! | [`Line`] | one direction of a path for packets |
//! | [`StreamLine`] | one direction of a TCP connection |
//! | [`Figures`] | what became of the packets |
//! | [`units`] | how values are written |
//! | [`Proxy`] | the model on real UDP or TCP sockets, between two processes |
//!
//! ```
//! use std::time::Duration;
//! use impair::{Impairment, Line};
//!
//! let slow = Impairment { delay: Duration::from_millis(50), ..Impairment::NONE };
//! let mut line = Line::new(slow, 7);
//! line.push(Duration::ZERO, b"hello".to_vec());
//! let at = line.next_at().unwrap();
//! assert_eq!(at, Duration::from_millis(50));
//! assert_eq!(line.pop(at - Duration::from_nanos(1)), None);
//! assert_eq!(line.pop(at).as_deref(), Some(&b"hello"[..]));
//! ```

mod dice;
mod figures;
mod impairment;
mod line;
mod loss;
mod options;
mod probability;
mod proxy;
mod rate;
mod stream_line;
pub mod units;

pub use figures::Figures;
pub use impairment::{Blackhole, Impairment};
pub use line::Line;
pub use options::OptionError;
pub use probability::Probability;
pub use proxy::{Proxy, ProxyConfig, ProxyFigures};
pub use stream_line::{Piece, StreamLine};
