//! What a seed stands for: who takes part, on which stack, and what goes wrong, within which ranges and how often.

mod file;

use std::time::Duration;

use impair::{Impairment, Probability};
use serde::{Deserialize, Serialize};

use crate::rng::Rng;
use crate::stack::{CIPHERS, KEY_EXCHANGES, Stack};

/// The names of those who take part, at most.
pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// What is drawn from a seed. Shares are in thousandths.
///
/// As text ([`Plan::to_toml`]) it is the whole of what a run begins with, so it stays the same run when more is drawn
/// from a seed some day, as far as the program itself and the order in which it uses its randomness stay the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The seed of all randomness of the run.
    pub seed: u64,
    /// How long things go wrong.
    #[serde(rename = "duration_ms", with = "file::milliseconds")]
    pub duration: Duration,
    /// How many people.
    pub people: usize,
    /// On which stack.
    #[serde(with = "file::text")]
    pub stack: Stack,
    /// Who is the relay.
    pub hosting: Hosting,
    /// Mean time between two messages, in milliseconds.
    pub send_every_ms: u64,
    /// Longest text in bytes.
    pub text_bytes: u64,
    /// Mean time between two things that people do about closed rooms, in milliseconds; 0 = there are none, as in plans of
    /// before.
    #[serde(default)]
    pub rooms_every_ms: u64,
    /// Mean time between two faults of machines, in milliseconds; 0 = none.
    pub fault_every_ms: u64,
    /// Which faults there are, each as often as it stands here.
    pub faults: Vec<Fault>,
    /// How far wall clocks may be off, in milliseconds.
    pub skew_ms: u64,
    /// How bad the network may be.
    pub weather: Weather,
}

/// Who is the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hosting {
    /// A machine of its own.
    Apart,
    /// `host = "auto"`: everybody sits at one machine, and whoever comes first is the relay too, until they leave.
    Auto,
}

/// What can happen to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// `kill -9` of somebody's client.
    KillClient,
    /// The power of somebody's machine goes.
    PowerClient,
    /// The power goes in the middle of a change on somebody's disk.
    CommitClient,
    /// Somebody's disk fails once.
    DiskClient,
    /// Somebody leaves in good order.
    Leave,
    /// The same for the relay.
    KillRelay,
    /// …
    PowerRelay,
    /// …
    CommitRelay,
    /// …
    DiskRelay,
    /// Another relay takes its place, which knows nobody; or whoever hosts it leaves.
    ReplaceRelay,
    /// Somebody's wall clock is set.
    Clock,
    /// A path is cut both ways for a while.
    Cut,
    /// A path is cut one way for a while.
    CutOneWay,
}

const FAULTS: [Fault; 13] = [
    Fault::KillClient,
    Fault::PowerClient,
    Fault::CommitClient,
    Fault::DiskClient,
    Fault::Leave,
    Fault::KillRelay,
    Fault::PowerRelay,
    Fault::CommitRelay,
    Fault::DiskRelay,
    Fault::ReplaceRelay,
    Fault::Clock,
    Fault::Cut,
    Fault::CutOneWay,
];

/// The worst that a path may be at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// Mean time until a path changes, in milliseconds.
    pub change_every_ms: u64,
    /// Loss.
    pub loss: u64,
    /// Mean length of a burst of losses.
    pub burst: u64,
    /// Delay in milliseconds.
    pub delay_ms: u64,
    /// Jitter in milliseconds.
    pub jitter_ms: u64,
    /// Reordering.
    pub reorder: u64,
    /// Duplication.
    pub duplicate: u64,
    /// Corruption.
    pub corrupt: u64,
    /// Least rate in bytes a second; 0 = no limit.
    pub rate: u64,
    /// Least MTU; 0 = no limit.
    pub mtu: u64,
}

impl Plan {
    /// What the seed stands for, with another stack if one is named.
    pub fn draw(seed: u64, duration: Duration, stack: Option<Stack>) -> Self {
        let mut rng = Rng::new(seed);
        let mut pick = |from: &[u64]| from.get(usize_of(rng.below(from.len() as u64))).copied().unwrap_or(0);
        let people = usize_of(pick(&[2, 2, 3, 3, 4, 5]));
        let transport = if pick(&[0, 1]) == 0 { "udp-arq" } else { "tcp" };
        let weather = Weather {
            change_every_ms: pick(&[2_000, 10_000, 40_000]),
            loss: pick(&[0, 10, 50, 200, 500]),
            burst: pick(&[1, 1, 3, 8]),
            delay_ms: pick(&[0, 5, 50, 400]),
            jitter_ms: pick(&[0, 0, 20, 200]),
            reorder: pick(&[0, 0, 100, 500]),
            duplicate: pick(&[0, 0, 100, 300]),
            corrupt: pick(&[0, 0, 5, 30]),
            rate: pick(&[0, 0, 8_000, 64_000, 1_000_000]),
            mtu: pick(&[0, 0, 1_280, 1_400]),
        };
        let text_bytes = pick(&[40, 400, 4_000, 40_000]);
        // Long texts in rapid succession would only fill the memory of the machine that simulates.
        let send_every_ms = pick(&[200, 1_000, 4_000]).max(if text_bytes > 4_000 { 1_000 } else { 0 });
        let fault_every_ms = pick(&[0, 2_000, 8_000, 20_000]);
        let skew_ms = pick(&[0, 1_000, 3_600_000]);
        let mut kinds = FAULTS.to_vec();
        for _ in 0..pick(&[0, 4, 8, 11]) {
            kinds.remove(usize_of(rng.below(kinds.len() as u64)));
        }
        // Keys of RSA take their time, in a simulation too.
        let [key_exchange, cipher] = [usize::from(rng.chance(1, 40)), usize_of(rng.below(3))];
        // What came later is chosen by the seed itself, so that seeds that have found something are what they were.
        let drawn = Stack {
            transport,
            key_exchange: KEY_EXCHANGES[if seed.is_multiple_of(3) { 2 } else { key_exchange }],
            cipher: CIPHERS[if seed % 5 == 3 { 3 } else { cipher }],
        };
        let stack = stack.unwrap_or(drawn);
        Self {
            seed,
            duration,
            people,
            stack,
            hosting: if seed % 7 == 4 { Hosting::Auto } else { Hosting::Apart },
            send_every_ms,
            text_bytes,
            rooms_every_ms: if seed % 2 == 1 { [400, 1_500, 6_000][usize_of(seed / 2 % 3)] } else { 0 },
            fault_every_ms,
            faults: kinds,
            skew_ms,
            weather,
        }
    }

    /// The same people and stack with nothing going wrong.
    pub fn calm(mut self) -> Self {
        self.fault_every_ms = 0;
        self.skew_ms = 0;
        self.weather = Weather {
            loss: 0,
            burst: 1,
            delay_ms: 5,
            jitter_ms: 0,
            reorder: 0,
            duplicate: 0,
            corrupt: 0,
            rate: 0,
            mtu: 0,
            ..self.weather
        };
        self
    }
}

impl Weather {
    /// A path within the range.
    pub fn draw(&self, rng: &mut Rng) -> Impairment {
        let mut up_to = |most: u64| rng.below(most + 1);
        let thousandths = |n: u64| Probability::millionths(u32::try_from(n * 1_000).unwrap_or(u32::MAX));
        let (loss, burst) = (thousandths(up_to(self.loss)), up_to(self.burst - 1) + 1);
        let delay = Duration::from_millis(up_to(self.delay_ms));
        let jitter = Duration::from_millis(up_to(self.jitter_ms));
        let (reorder, duplicate) = (thousandths(up_to(self.reorder)), thousandths(up_to(self.duplicate)));
        let corrupt = thousandths(up_to(self.corrupt));
        let limited = |limit: u64, now: u64| (limit > 0 && now == 0).then_some(limit);
        Impairment {
            loss,
            burst: (burst > 1).then_some(u32::try_from(burst).unwrap_or(1)),
            delay,
            jitter,
            reorder,
            duplicate,
            corrupt,
            rate: limited(self.rate, up_to(1)),
            mtu: limited(self.mtu, up_to(1)),
            ..Impairment::NONE
        }
    }
}

/// A number that was drawn below a length.
pub(crate) fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
