//! Each wrong mailbox, and the rule that tells.

use std::collections::BTreeSet;

use relay::testing::{RULES, Shelf, Subject};

use crate::toy::{Fault, ToyShelf};

mod without_fault {
    use crate::toy::{Fault, ToyShelf};
    relay::mailbox_suite!(|| Box::new(ToyShelf::new(Fault::Nothing)));
}

macro_rules! faults {
    ($($fault:ident: $rule:literal,)*) => {
        const FAULTS: &[(Fault, Subject, &str)] =
            &[$((Fault::$fault, || -> Box<dyn Shelf> { Box::new(ToyShelf::new(Fault::$fault)) }, $rule)),*];
    };
}

faults! {
    AnswersOutOfOrder: "answers_come_in_the_order_of_the_changes",
    ForgetsAnAnswer: "every_change_is_answered",
    PanicsSpread: "an_answer_that_panics_is_lost_alone",
    ReadsAreBehind: "reads_see_what_was_answered",
    WriteGoesOnAlone: "dropping_write_queues_nothing",
    TurnsLongEnvelopes: "every_byte_comes_back_in_order",
    NumbersAreCountedFromWhatIsThere: "numbers_grow_and_are_never_used_twice",
    KnowsIdsWhoeverTheyAreFor: "a_repeat_is_known",
    RefusesRepeatsForever: "a_repeat_of_what_was_acknowledged_comes_again_but_seldom",
    AckForgetsRoomsForAll: "what_was_acknowledged_is_gone",
    AckGoesBack: "what_was_acknowledged_is_gone",
    BelievesFutureAcks: "an_acknowledgement_of_the_future_skips_nothing",
    PagesHaveOneMore: "pages_are_bounded_and_fit_together",
    PagesLoseTheirEdge: "pages_are_bounded_and_fit_together",
    DiscardKeepsTheId: "what_was_discarded_is_stored_again",
    NothingIsTooOld: "what_is_too_old_is_forgotten",
    SendersGetTheirOwn: "a_rooms_envelope_reaches_every_other_member",
    StrangersWriteToRooms: "only_members_write_to_a_room",
    NewcomersGetEverything: "who_joins_gets_what_comes_from_then_on",
    RosterLosesItsEdge: "memberships_are_told",
    LeavingIsAlwaysTrue: "memberships_are_told",
    RoomsAreUnbounded: "rooms_and_members_are_bounded",
    OlderBundlesCount: "the_newest_bundle_counts",
    NamesAreForever: "who_is_known_is_found",
    DirectoryIsUnbounded: "the_directory_is_bounded",
    ContactsGoBothWays: "who_has_written_is_known",
    OneTimeKeysComeBack: "a_one_time_key_is_given_out_once",
    OneTimeKeysStay: "one_time_keys_end",
    OneTimeKeysAreUnbounded: "one_time_keys_are_bounded",
    OneTimeKeysForTheAsking: "one_asker_does_not_get_all_one_time_keys",
    OneTimeKeysHaveNoFloor: "the_last_one_time_keys_go_slowly",
    MailboxesAreUnbounded: "a_full_mailbox_refuses_until_there_is_room",
    RefusedIsKnown: "a_full_mailbox_refuses_until_there_is_room",
    TotalIsForgottenAtRestart: "all_mailboxes_together_are_bounded",
    PeersAreUnbounded: "so_many_peers_are_remembered",
    CloseDropsTheQueue: "closing_commits_what_was_queued",
    ClosedAnswersReads: "a_closed_mailbox_says_so",
    SecondCloseIsQuick: "whoever_closes_waits_for_the_end",
    CloseForgetsMembers: "everything_is_there_after_a_restart",
    AnswersBeforeTheCommit: "a_kill_loses_nothing_that_was_answered",
    AnswersBeforeTheSync: "a_power_cut_loses_nothing_that_was_answered",
}

#[test]
fn each_fault_is_told_by_its_rule_and_by_no_other() {
    let mut wrong = Vec::new();
    for (fault, subject, expected) in FAULTS {
        let broken = RULES.iter().filter(|rule| rule.check(subject).is_err()).map(|rule| rule.name());
        let broken: Vec<_> = broken.collect();
        if broken != [*expected] {
            wrong.push(format!("{fault:?} breaks {broken:?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_has_its_fault() {
    let told: BTreeSet<_> = FAULTS.iter().map(|(_, _, rule)| *rule).collect();
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.name()).collect();
    assert_eq!(told, rules);
    assert_eq!(rules.len(), RULES.len());
}
