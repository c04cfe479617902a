//! What a suite is made of: rules with a name, and violations that say what went wrong.

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a plugin broke a rule, in words for its author.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation(String);

impl Violation {
    /// A violation in these words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The same with what it happened under in front.
    #[must_use]
    pub fn under(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As `Display`: it is what a failed test prints.
impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// One rule of a suite, for subjects of type `S`.
pub struct Rule<S> {
    name: &'static str,
    check: fn(&S) -> Result<(), Violation>,
}

impl<S> Rule<S> {
    /// A rule; the name is that of the test it becomes.
    pub const fn new(name: &'static str, check: fn(&S) -> Result<(), Violation>) -> Self {
        Self { name, check }
    }

    /// The rule's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tries the rule. A plugin that panics breaks it.
    ///
    /// # Errors
    /// How the rule is broken.
    pub fn check(&self, subject: &S) -> Result<(), Violation> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.check)(subject)));
        result.unwrap_or_else(|panic| Err(Violation::new(format!("panicked: {}", words_of(&*panic)))))
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Tries the rule of this name on a subject, or on a reference to one.
///
/// # Errors
/// How the rule is broken, or that there is none of this name.
pub fn check<S>(rules: &[Rule<S>], name: &str, subject: impl Borrow<S>) -> Result<(), Violation> {
    let rule = rules.iter().find(|rule| rule.name == name);
    rule.ok_or_else(|| Violation::new(format!("there is no rule `{name}`")))?.check(subject.borrow())
}

/// Returns a [`Violation`] from the function if the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::testing::Violation::new(format!($($words)+)));
        }
    };
}
pub(crate) use ensure;

/// What must succeed, or fail, for a rule to go on.
pub trait Must<T, E> {
    /// The value.
    ///
    /// # Errors
    /// That `what` failed, and how.
    fn must(self, what: impl fmt::Display) -> Result<T, Violation>;

    /// The error.
    ///
    /// # Errors
    /// That `what` was not refused.
    fn must_fail(self, what: impl fmt::Display) -> Result<E, Violation>;
}

impl<T, E: fmt::Display> Must<T, E> for Result<T, E> {
    fn must(self, what: impl fmt::Display) -> Result<T, Violation> {
        self.map_err(|error| Violation::new(format!("{what} failed: {error}")))
    }

    fn must_fail(self, what: impl fmt::Display) -> Result<E, Violation> {
        match self {
            Ok(_) => Err(Violation::new(format!("{what} was not refused"))),
            Err(error) => Ok(error),
        }
    }
}

/// The table of a suite, out of its list of rules; used by the modules of the suites. Rules of a module that is
/// marked `[itself]` take the subject, those of one marked `[method]` are handed to that method of it.
#[doc(hidden)]
#[macro_export]
macro_rules! __rule_table {
    (($subject:ty) $([$by:ident] $module:ident::{$($name:ident),* $(,)?})*) => {
        &[$($($crate::__rule_table!(@ $by, $subject, $module, $name)),*),*]
    };
    (@ itself, $subject:ty, $module:ident, $name:ident) => {
        $crate::testing::Rule::<$subject>::new(stringify!($name), $module::$name)
    };
    (@ $by:ident, $subject:ty, $module:ident, $name:ident) => {
        $crate::testing::Rule::<$subject>::new(stringify!($name), |subject| subject.$by($module::$name))
    };
}

/// One test a rule, out of a suite's list of rules; `$subject` is a function, `$rules` the table.
#[doc(hidden)]
#[macro_export]
macro_rules! __rule_tests {
    (($subject:path, $rules:path) $($([$by:ident])? $module:ident::{$($name:ident),* $(,)?})*) => {
        $($(
            #[test]
            fn $name() -> ::std::result::Result<(), $crate::testing::Violation> {
                $crate::testing::check($rules, stringify!($name), $subject()?)
            }
        )*)*
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Rule<u8>] = &[
        Rule::new(
            "is_even",
            |n| if n % 2 == 0 { Ok(()) } else { Err(Violation::new(format!("{n} is odd"))) },
        ),
        Rule::new("is_small", |n| {
            assert!(*n < 10, "{n} is large");
            Ok(())
        }),
    ];

    #[test]
    fn a_rule_is_kept_broken_or_panicked_over_and_an_unknown_one_is_told() {
        assert_eq!(check(RULES, "is_even", 2), Ok(()));
        assert_eq!(check(RULES, "is_even", 3), Err(Violation::new("3 is odd")));
        assert_eq!(check(RULES, "is_small", 11), Err(Violation::new("panicked: 11 is large")));
        assert_eq!(check(RULES, "is_blue", 1), Err(Violation::new("there is no rule `is_blue`")));
    }
}
