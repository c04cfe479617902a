//! Both plugins hold what the core demands of every plugin.

mod transport {
    use std::sync::atomic::{AtomicU32, Ordering};

    use chat_core::testing::transport::UnixWire;
    use my_plugin::Unix;

    /// A path where nobody listens, in a folder that is gone with the process's end at the latest.
    fn fresh_path() -> String {
        static FOLDER: std::sync::LazyLock<tempfile::TempDir> =
            std::sync::LazyLock::new(|| tempfile::tempdir().unwrap());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}.sock", NEXT.fetch_add(1, Ordering::Relaxed));
        FOLDER.path().join(name).to_str().unwrap().to_owned()
    }

    chat_core::transport_suite!(Unix, at: fresh_path(), wire: UnixWire);
}

mod cipher {
    chat_core::cipher_suite!(my_plugin::Aes256GcmSiv);
}
