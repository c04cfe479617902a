//! Noise over a bare link: authenticates both ends and encrypts every frame.
