//! Panics of a simulation: everything of it happens in one thread, so whatever panics there is known, also if somebody
//! catches it, or nobody waits for the task.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// From now on the panics of this thread are noted.
pub(crate) fn begin() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.push(info.to_string())));
            before(info);
        }));
    });
    SEEN.with_borrow_mut(|seen| *seen = Some(Vec::new()));
}

/// What was noted since the beginning.
pub(crate) fn end() -> Vec<String> {
    SEEN.with_borrow_mut(Option::take).unwrap_or_default()
}
