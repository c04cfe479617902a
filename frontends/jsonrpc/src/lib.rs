//! The `jsonrpc` frontend: JSON-RPC 2.0, one object a line, on standard input and output, and the same over
//! a Unix socket beside any frontend. For bots, scripts and tests; `README.md` describes the protocol.

mod connection;
mod desk;
mod dialogue;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod lines;
mod methods;
mod pipes;
mod protocol;
pub mod schema;
#[cfg(unix)]
mod socket;

use chat_core::error::{FrontendError, ProfileError};
use chat_core::frontend::{ClientHandle, Frontend};
use chat_core::plugin::Plugin;
use schemars::JsonSchema;
use serde::Deserialize;

pub use connection::Connection;
pub use lines::MAX_LINE_BYTES;
pub use protocol::PROTOCOL;
#[cfg(unix)]
pub use socket::{MAX_GUESTS, SocketServer, serve_socket};

/// JSON-RPC 2.0 on standard input and output.
#[derive(Debug)]
pub struct JsonRpc;

/// There is nothing to choose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

impl Plugin<dyn Frontend> for JsonRpc {
    const NAME: &'static str = "jsonrpc";
    const SUMMARY: &'static str =
        "JSON-RPC 2.0, one object a line, on standard input and output: for bots and scripts";
    const EXAMPLE: &'static str = "[frontend]\nkind = \"jsonrpc\"\n";
    type Options = Options;

    fn build(Options {}: Options) -> Result<Box<dyn Frontend>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl Frontend for JsonRpc {
    fn run(self: Box<Self>, client: ClientHandle) -> Result<(), FrontendError> {
        Connection::owner(client).run(std::io::stdin(), std::io::stdout())
    }

    fn interactive(&self) -> bool {
        false
    }
}

chat_core::register!(dyn Frontend, JsonRpc);

#[cfg(test)]
mod tests {
    use chat_core::plugin::{PluginKind, Registry};
    use chat_core::profile;

    use super::*;

    #[test]
    fn the_example_builds_and_an_unknown_option_is_refused() {
        let registry = Registry::linked().unwrap();
        assert_eq!(registry.find(PluginKind::Frontend, "jsonrpc").unwrap().example, JsonRpc::EXAMPLE);
        let options = profile::Options::parse_table(JsonRpc::EXAMPLE, "frontend").unwrap();
        assert!(!registry.build::<dyn Frontend>(&options).unwrap().interactive());
        let options = profile::Options::parse_table("[frontend]\nkind = \"jsonrpc\"\nport = 1\n", "frontend");
        let error = registry.build::<dyn Frontend>(&options.unwrap()).err().unwrap();
        assert!(error.to_string().contains("port"), "{error}");
    }
}
