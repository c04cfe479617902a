//! Tries what some tests need of a machine. Says on standard output what can't be done here, as `CHAT_CI_WITHOUT` takes
//! it, and on standard error what is not tested for that, and why.

use chat_tests::means::Means;

fn main() {
    let mut without = Vec::new();
    for means in Means::ALL {
        if let Some(why) = means.missing() {
            eprintln!("!! NOT TESTED ON THIS MACHINE: {}: {}", means.tests(), why.trim());
            without.push(means.name());
        }
    }
    println!("{}", without.join(","));
}
