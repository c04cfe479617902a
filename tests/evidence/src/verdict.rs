//! What came of an attack, to be read and to be checked.

use std::fmt;

/// How often an attack was tried on a stack, and how often it succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Attempts.
    pub tried: usize,
    /// Those that got what the attacker wants.
    pub succeeded: usize,
}

impl Verdict {
    /// Counts an attempt.
    pub fn count(&mut self, succeeded: bool) {
        self.tried += 1;
        self.succeeded += usize::from(succeeded);
    }

    /// Something was tried, and all of it failed.
    pub fn held(self) -> bool {
        self.tried > 0 && self.succeeded == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.held() { "held" } else { "FELL" };
        write!(f, "{word}: {} of {} attempts succeeded", self.succeeded, self.tried)
    }
}

/// Prints the verdicts of one attack, and demands that every stack held and every control fell.
///
/// # Panics
/// If one did not.
pub fn judge(attack: &str, stacks: &[(String, Verdict)], controls: &[(String, Verdict)]) {
    let mut page = format!("\n## {attack}\n\n");
    for (name, verdict) in stacks {
        page += &format!("{name:<50} {verdict}\n");
    }
    for (name, verdict) in controls {
        page += &format!("{:<50} {verdict}\n", format!("control: {name}"));
    }
    println!("{page}");
    assert!(!stacks.is_empty() && !controls.is_empty(), "{attack}: nothing was tried");
    assert!(stacks.iter().all(|(_, verdict)| verdict.held()), "{attack}: a stack fell: {page}");
    assert!(controls.iter().all(|(_, verdict)| !verdict.held()), "{attack}: a control held: {page}");
}
