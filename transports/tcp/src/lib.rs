//! Frames over TCP: a bare link, secured by Noise.
