use async_trait::async_trait;
use chat_core::transport::Dialed;
use chat_core::{Identity, Link, LinkError};
use relay::Secure;

/// Puts Noise over bare links, with this identity.
pub struct Noise(pub Identity);

#[async_trait]
impl Secure for Noise {
    async fn secure(&self, dialed: Dialed) -> Result<Link, LinkError> {
        match dialed {
            Dialed::Secure(link) => Ok(link),
            Dialed::Bare(bare) => transport_noise::secure(bare, &self.0).await,
        }
    }
}
