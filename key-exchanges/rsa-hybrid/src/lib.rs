//! RSA-OAEP key transport signed by the identity.
