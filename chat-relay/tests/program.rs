//! The built program, from outside.

use std::collections::{BTreeMap, BTreeSet};

/// D05: the crates that `chat-relay` is made of, by the lock file, hold no engine, no session and no frontend.
#[test]
fn no_session_code_is_linked() {
    let lock = include_str!("../../Cargo.lock");
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |line: &'static str| line.trim().trim_matches(['"', ',']).split(' ').next().unwrap();
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).map(field).unwrap();
        let dependencies = package
            .lines()
            .skip_while(|line| *line != "dependencies = [")
            .skip(1)
            .take_while(|line| *line != "]");
        packages.entry(name).or_default().extend(dependencies.map(field));
    }
    let (mut linked, mut open) = (BTreeSet::new(), vec!["chat-relay"]);
    while let Some(name) = open.pop() {
        if linked.insert(name) {
            open.extend(&packages[name]);
        }
    }
    assert!(linked.contains("relay") && linked.contains("transport-udp-arq"), "{linked:?}");
    let ours: Vec<_> = linked
        .iter()
        .filter(|name| {
            ["client", "chat", "static-session", "ratatui", "rsa"].contains(name)
                || ["key-exchange-", "cipher-", "frontend-"].iter().any(|prefix| name.starts_with(prefix))
        })
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[cfg(unix)]
#[cfg(test)]
mod unix {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Child, ChildStdout, Command, Output, Stdio};
    use std::time::Duration;

    use chat_core::plugin::Plugin;
    use chat_core::profile::Options;
    use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
    use chat_core::{Address, Identity, Link, LinkError, Transport};
    use futures_util::{SinkExt, StreamExt};

    const PATIENCE: Duration = Duration::from_secs(60);
    const PROFILE: &str = "schema_version = 1\n[topology]\nrelay = \"127.0.0.1:0\"\n[transport]\nkind = \"tcp\"\n\
        [key_exchange]\nkind = \"somebody-elses\"\n[cipher]\nkind = \"aes-256-gcm\"\n[frontend]\nkind = \"tui\"\n";

    fn command(dir: &Path, extra: &[&str]) -> Command {
        let profile = dir.join("profile.toml");
        if !profile.exists() {
            std::fs::write(&profile, PROFILE).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-relay"));
        command.args(["--config", profile.to_str().unwrap(), "--data-dir"]).arg(dir.join("data")).args(extra);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A program that was started; killed if the test fails.
    struct Running {
        child: Child,
        out: BufReader<ChildStdout>,
        listen: Vec<String>,
        fingerprint: String,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }

    fn start(dir: &Path, extra: &[&str]) -> Running {
        launch(command(dir, extra))
    }

    fn launch(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut why = String::new();
            child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("{line:?} {why}");
        });
        let ready = &ready["ready"];
        let listen = ready["listen"].as_array().unwrap();
        let listen = listen.iter().map(|listen| listen.as_str().unwrap().to_owned()).collect();
        let fingerprint = ready["fingerprint"].as_str().unwrap().to_owned();
        Running { child, out, listen, fingerprint }
    }

    impl Running {
        /// Sends a signal; the exit code, and what else it printed on standard output.
        fn stop(&mut self, signal: &str) -> (Option<i32>, String) {
            let pid = self.child.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            let mut rest = String::new();
            self.out.read_to_string(&mut rest).unwrap();
            (self.child.wait().unwrap().code(), rest)
        }

        /// The place that a transport has bound.
        fn place(&self, kind: &str) -> &str {
            self.listen.iter().find_map(|listen| listen.strip_prefix(kind)).unwrap()
        }
    }

    fn fails(dir: &Path, extra: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = command(dir, extra).output().unwrap();
        assert!(stdout.is_empty());
        (status.code(), String::from_utf8(stderr).unwrap())
    }

    fn transport<P: Plugin<dyn Transport>>() -> Box<dyn Transport> {
        let options = Options::parse_table(P::EXAMPLE, "transport").unwrap();
        P::build(options.parse().unwrap()).unwrap()
    }

    async fn connect(transport: &dyn Transport, address: &str) -> Result<Link, LinkError> {
        let me = Identity::from_seed(&[3; 32]);
        let address: Address = address.parse().unwrap();
        tokio::time::timeout(PATIENCE, transport_noise::dial(transport, &address, &me)).await.unwrap()
    }

    async fn next(link: &mut Link) -> Option<FromRelay> {
        let frame = tokio::time::timeout(PATIENCE, link.source.next()).await.unwrap()?;
        Some(FromRelay::decode(&frame.unwrap()).unwrap())
    }

    async fn greet(link: &mut Link) {
        link.sink.send(ToRelay::Hello { version: WIRE_VERSION }.encode().into()).await.unwrap();
        assert!(matches!(next(link).await, Some(FromRelay::Welcome { .. })));
    }

    /// A09, D12.
    #[tokio::test]
    async fn serves_on_every_transport_and_drains_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let extra = ["--listen", "tcp://127.0.0.1:0", "--listen", "udp-arq://127.0.0.1:0"];
        let mut running = start(dir.path(), &extra);
        assert_eq!(running.listen.len(), 2);
        let pinned = |kind: &str| format!("{}@{}", running.fingerprint, running.place(kind));
        let tcp = transport::<transport_tcp::Tcp>();
        let mut over_tcp = connect(&*tcp, &pinned("tcp://")).await.unwrap();
        greet(&mut over_tcp).await;
        let udp = transport::<transport_udp_arq::UdpArq>();
        let mut over_udp = connect(&*udp, &pinned("udp-arq://")).await.unwrap();
        // The same peer: the newer link replaces the older.
        greet(&mut over_udp).await;
        assert!(matches!(next(&mut over_tcp).await, Some(FromRelay::Error { .. })));
        let stopping = tokio::task::spawn_blocking(move || running.stop("-TERM"));
        assert_eq!(next(&mut over_udp).await, Some(FromRelay::Moving));
        assert_eq!(stopping.await.unwrap(), (Some(0), String::new()));
    }

    #[tokio::test]
    async fn the_identity_outlives_a_kill_and_listens_where_the_profile_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut running = start(dir.path(), &[]);
        let first = running.fingerprint.clone();
        let mut link = connect(&*transport::<transport_tcp::Tcp>(), running.place("tcp://")).await.unwrap();
        greet(&mut link).await;
        assert_eq!(running.stop("-KILL").0, None);
        let mut running = start(dir.path(), &[]);
        assert_eq!(running.fingerprint, first);
        assert_eq!(running.stop("-INT"), (Some(0), String::new()));
    }

    #[test]
    fn one_process_a_data_directory_and_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let running = start(dir.path(), &[]);
        let (code, message) = fails(dir.path(), &[]);
        assert_eq!(code, Some(1));
        assert!(message.contains("in use"), "{message}");
        let other = tempfile::tempdir().unwrap();
        let (code, message) = fails(other.path(), &["--listen", &running.listen[0]]);
        assert_eq!(code, Some(1));
        assert!(message.contains("is in use") && message.contains("--listen"), "{message}");
    }

    #[test]
    fn a_key_that_others_may_read_and_a_damaged_mailbox_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        start(dir.path(), &[]).stop("-TERM");
        let key = dir.path().join("data/identity.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (code, message) = fails(dir.path(), &[]);
        assert_eq!(code, Some(1));
        assert!(message.contains("chmod 600"), "{message}");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(dir.path().join("data/relay.db"), "no database ".repeat(1000)).unwrap();
        let (code, message) = fails(dir.path(), &[]);
        assert_eq!(code, Some(1));
        assert!(message.contains("relay.db") && message.contains("damaged"), "{message}");
    }

    /// The program after a shell has limited it, and what the system then lets it open.
    #[cfg(target_os = "linux")]
    fn limited(dir: &Path, ulimit: &str) -> (Running, u64) {
        let plain = command(dir, &[]);
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg(format!("{ulimit}; exec \"$0\" \"$@\""))
            .arg(plain.get_program())
            .args(plain.get_args());
        shell.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = launch(shell);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.child.id())).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft = files.split_whitespace().nth(3).unwrap().parse().unwrap();
        (running, soft)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_asks_for_open_files_and_takes_no_more_clients_than_there_are_files_for() {
        let dir = tempfile::tempdir().unwrap();
        let (mut running, files) = limited(dir.path(), "ulimit -S -n 100; ulimit -H -n 700");
        assert_eq!(files, 700, "as many as it may have");
        running.stop("-TERM");
        let mut said = String::new();
        running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("few open files") && said.contains("files=700"), "{said}");
        let (mut running, files) = limited(dir.path(), "ulimit -S -n 100");
        assert!(files > 700, "{files}");
        running.stop("-TERM");
    }

    #[test]
    fn wrong_profiles_and_arguments_are_exit_2() {
        let dir = tempfile::tempdir().unwrap();
        for (extra, expected) in [
            (&["--set", "relay.max_clients=0"][..], "max_clients"),
            (&["--set", "relay.colour=1"], "colour"),
            (&["--listen", "pigeon://127.0.0.1:0"], "pigeon"),
            (&["--listen", "127.0.0.1:0"], "tcp://0.0.0.0"),
            (&["--wings"], "--wings"),
        ] {
            let (code, message) = fails(dir.path(), extra);
            assert_eq!(code, Some(2), "{message}");
            assert!(message.contains(expected), "{message}");
        }
        assert!(!dir.path().join("data").exists(), "nothing was begun");
    }
}
