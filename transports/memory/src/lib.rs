//! Links inside one process, for tests and embedding.
