//! Each rule of the checker, broken by hand and caught; and the same story told right.

use schemas::{CommandHash, CommandId, ErrorCode, Position, Principal, Timestamp, Version};
use uuid::Uuid;

use super::logged::Decision;
use super::{Attempt, Evidence, History, Logged, LoggedRecord, Report, Rule, Scope, Told, Wish, check};

const STOCK: &str = "shop.stock.events/0";
const OUTCOMES: &str = "shop.outcomes/0";

/// A history and a log, written by hand.
#[derive(Default)]
struct Story(Evidence);

impl Story {
    /// A request under command `id` between two times.
    fn asked(mut self, id: u128, from: u64, to: u64, told: Told) -> Self {
        let wish = Wish {
            stream: "stock/A".parse().unwrap(),
            kind: "receive".into(),
            hash: CommandHash::of(&id),
            principal: Principal::anonymous(),
            expected_version: None,
        };
        self.0.history.attempts.push(Attempt {
            client: 1,
            command_id: command(id),
            wish,
            asked_ns: from,
            answered_ns: Some(to),
            told,
        });
        self
    }

    /// Changes the wish of the request that was told last.
    fn wishing(mut self, change: impl FnOnce(&mut Wish)) -> Self {
        change(&mut self.0.history.attempts.last_mut().unwrap().wish);
        self
    }

    /// A version of `stock/A` at an offset of its topic.
    fn event(self, id: u128, version: u64, offset: u64) -> Self {
        self.event_of(id, version, offset, "anonymous", 1)
    }

    fn event_of(mut self, id: u128, version: u64, offset: u64, principal: &str, term: u64) -> Self {
        let (by, version) = (decision(id, offset, term), Version::new(version));
        let logged = Logged::Event { by, version, principal: Principal::new(principal).unwrap() };
        self.0.log.push(LoggedRecord { position: at(STOCK, offset), logged });
        self
    }

    fn no_op(mut self, id: u128, version: u64, offset: u64) -> Self {
        let logged = Logged::Unchanged { by: decision(id, offset, 1), version: Version::new(version) };
        self.0.log.push(LoggedRecord { position: at(OUTCOMES, offset), logged });
        self
    }

    fn refusal(mut self, id: u128, code: ErrorCode, current: Option<u64>, offset: u64) -> Self {
        let current_version = current.map(Version::new);
        let logged = Logged::Rejected { by: decision(id, offset, 1), code, current_version };
        self.0.log.push(LoggedRecord { position: at(OUTCOMES, offset), logged });
        self
    }

    /// Puts the last record into the batch of the one before.
    fn in_one_batch(mut self) -> Self {
        for record in self.0.log.iter_mut().rev().take(2) {
            if let Logged::Event { by, .. } = &mut record.logged {
                by.recorded_at = Timestamp::default();
            }
        }
        self
    }

    fn report(&self) -> Report {
        check(&self.0.history, &self.0.log, &Scope::default())
    }

    fn breaks(&self, rules: &[Rule]) {
        let report = self.report();
        assert_eq!(report.rules(), rules, "{report}");
    }

    fn is_clean(&self) {
        self.breaks(&[]);
    }
}

fn command(id: u128) -> CommandId {
    CommandId::new(Uuid::from_u128(id))
}

fn at(partition: &str, offset: u64) -> Position {
    format!("{partition}@{offset}").parse().unwrap()
}

/// Every offset is a batch of its own.
fn decision(id: u128, offset: u64, writer_term: u64) -> Decision {
    let recorded_at = Timestamp::from_millis(1_000 + i64::try_from(offset).unwrap());
    Decision { command_id: command(id), stream: "stock/A".parse().unwrap(), writer_term, recorded_at }
}

fn accepted(version: u64, offset: u64) -> Told {
    let (version, position) = (Version::new(version), at(STOCK, offset));
    Told::Accepted { version, events: Some(1), position, replayed: false }
}

fn again(told: Told) -> Told {
    match told {
        Told::Accepted { version, events, position, .. } => {
            Told::Accepted { version, events, position, replayed: true }
        }
        Told::Unchanged { version, .. } => Told::Unchanged { version, replayed: true },
        Told::Rejected { code, .. } => Told::Rejected { code, replayed: true },
        other => other,
    }
}

fn unchanged(version: u64) -> Told {
    Told::Unchanged { version: Version::new(version), replayed: false }
}

fn rejected(code: ErrorCode) -> Told {
    Told::Rejected { code, replayed: false }
}

fn not_done() -> Told {
    Told::not_done("not_written")
}

fn unknown() -> Told {
    Told::unknown("time-out")
}

fn story() -> Story {
    Story::default()
}

#[test]
fn a_run_as_it_should_be_is_clean_and_says_how_much_it_was() {
    let story = story()
        .asked(1, 10, 20, accepted(1, 0))
        .asked(2, 12, 22, not_done())
        .asked(2, 30, 40, accepted(2, 1))
        .asked(2, 50, 60, again(accepted(2, 1)))
        .asked(3, 31, 41, unchanged(2))
        .asked(4, 32, 42, rejected(ErrorCode::InsufficientStock))
        .asked(5, 33, 43, unknown())
        .asked(6, 34, 44, unknown())
        .event(1, 1, 0)
        .event(2, 2, 1)
        .event(5, 3, 2)
        .event_of(7, 4, 3, "process:checkout", 1)
        .no_op(3, 2, 0)
        .refusal(4, ErrorCode::InsufficientStock, None, 1);
    story.is_clean();
    let counts = story.report().counts;
    assert_eq!((counts.attempts, counts.operations, counts.repeated), (8, 6, 1));
    assert_eq!((counts.accepted, counts.unchanged, counts.rejected, counts.replayed), (3, 1, 1, 1));
    assert_eq!((counts.not_done, counts.unknown), (1, 2));
    assert_eq!((counts.unknown_done, counts.unknown_not_done), (1, 1));
    assert_eq!((counts.records, counts.events, counts.streams), (6, 4, 1));
    assert_eq!((counts.matched, counts.of_others), (5, 1));
    assert!(counts.ordered >= 2, "{counts:?}");
}

#[test]
fn a_check_of_nothing_shows_that_it_was_nothing() {
    let report = story().report();
    assert!(report.is_clean());
    assert_eq!(report.counts, super::Counts::default());
    assert!(report.to_string().starts_with("0 requests of 0 commands"), "{report}");
}

#[test]
fn a_success_that_the_log_does_not_have_is_lost() {
    story().asked(1, 10, 20, accepted(1, 0)).breaks(&[Rule::Lost]);
    story().asked(1, 10, 20, accepted(1, 0)).event(1, 1, 0).is_clean();
}

#[test]
fn a_refusal_or_a_no_op_that_the_outcomes_do_not_have_is_lost() {
    let code = ErrorCode::InsufficientStock;
    story().asked(1, 10, 20, rejected(code)).breaks(&[Rule::Lost]);
    story().asked(1, 10, 20, rejected(code)).refusal(1, code, None, 0).is_clean();
    story().asked(1, 10, 20, unchanged(0)).breaks(&[Rule::Lost]);
    story().asked(1, 10, 20, unchanged(0)).no_op(1, 0, 0).is_clean();
}

#[test]
fn a_success_stands_at_the_version_and_position_that_were_told() {
    let first = || story().asked(9, 1, 2, accepted(1, 0)).event(9, 1, 0);
    first().asked(1, 10, 20, accepted(3, 1)).event(1, 2, 1).breaks(&[Rule::Misplaced]);
    first().asked(1, 10, 20, accepted(2, 7)).event(1, 2, 1).breaks(&[Rule::Misplaced]);
    first().asked(1, 10, 20, accepted(2, 1)).event(1, 2, 1).is_clean();
    let other = |wish: &mut Wish| wish.stream = "stock/B".parse().unwrap();
    first().asked(1, 10, 20, accepted(2, 1)).wishing(other).event(1, 2, 1).breaks(&[Rule::Misplaced]);
}

#[test]
fn a_success_has_as_many_events_as_were_told() {
    let told =
        |events| Told::Accepted { version: Version::new(2), events, position: at(STOCK, 1), replayed: false };
    let story = |events| story().asked(1, 10, 20, told(events)).event(1, 1, 0).event(1, 2, 1).in_one_batch();
    story(Some(1)).breaks(&[Rule::Misplaced]);
    story(Some(2)).is_clean();
    story(None).is_clean();
}

#[test]
fn a_no_op_stands_at_the_version_that_was_told() {
    story().asked(1, 10, 20, unchanged(4)).no_op(1, 5, 0).breaks(&[Rule::Misplaced]);
}

#[test]
fn a_refused_command_has_no_event_and_an_accepted_one_no_refusal() {
    let code = ErrorCode::InsufficientStock;
    story().asked(1, 10, 20, rejected(code)).event(1, 1, 0).breaks(&[Rule::ToldOtherwise]);
    story().asked(1, 10, 20, unchanged(1)).event(1, 1, 0).breaks(&[Rule::ToldOtherwise]);
    story().asked(1, 10, 20, accepted(1, 0)).refusal(1, code, None, 0).breaks(&[Rule::ToldOtherwise]);
    story()
        .asked(1, 10, 20, rejected(code))
        .refusal(1, ErrorCode::StockLimit, None, 0)
        .breaks(&[Rule::ToldOtherwise]);
    // Refused, and then done all the same.
    let both = story().asked(1, 10, 20, rejected(code)).refusal(1, code, None, 0).event(1, 1, 0);
    both.breaks(&[Rule::DecidedTwice]);
}

#[test]
fn two_requests_of_one_command_are_told_the_same() {
    let twice = |second| story().asked(1, 10, 20, accepted(1, 0)).asked(1, 30, 40, second).event(1, 1, 0);
    twice(again(accepted(1, 0))).is_clean();
    twice(unknown()).is_clean();
    twice(not_done()).is_clean();
    twice(again(accepted(2, 1))).breaks(&[Rule::Misplaced, Rule::ToldDifferently]);
    twice(again(rejected(ErrorCode::StockLimit))).breaks(&[Rule::ToldOtherwise, Rule::ToldDifferently]);
}

#[test]
fn what_was_told_once_is_never_new_again() {
    let first = || story().asked(1, 10, 20, accepted(1, 0)).event(1, 1, 0);
    // Lost and decided once more, with the same result in the same place.
    first().asked(1, 30, 40, accepted(1, 0)).breaks(&[Rule::ToldAnew]);
    first().asked(1, 30, 40, again(accepted(1, 0))).is_clean();
    // Asked before the first answer, both may be told so.
    first().asked(1, 15, 40, accepted(1, 0)).is_clean();
}

#[test]
fn a_command_whose_every_request_did_nothing_has_no_event() {
    let told = || story().asked(1, 10, 20, not_done()).asked(1, 30, 40, Told::not_done("overloaded"));
    told().is_clean();
    told().event(1, 1, 0).breaks(&[Rule::DoneAfterAll]);
    told().refusal(1, ErrorCode::StockLimit, None, 0).breaks(&[Rule::DoneAfterAll]);
}

#[test]
fn a_request_that_did_nothing_may_be_followed_by_one_that_did_it() {
    let retried = |second| story().asked(1, 10, 20, not_done()).asked(1, 30, 40, second).event(1, 1, 0);
    retried(accepted(1, 0)).is_clean();
    retried(unknown()).is_clean();
    // "An earlier request had it": the only earlier one was told that it had not.
    retried(again(accepted(1, 0))).breaks(&[Rule::DoneAfterAll]);
    // Unless there was another one that may have had it.
    retried(again(accepted(1, 0))).asked(1, 32, 35, unknown()).is_clean();
}

#[test]
fn what_was_seen_before_the_retry_was_done_by_the_request_that_did_nothing() {
    // Command 2 stands behind command 1 and was answered before command 1 was asked for again.
    let story = |asked_again| {
        story()
            .asked(1, 10, 20, not_done())
            .asked(2, 12, 25, accepted(2, 1))
            .asked(1, asked_again, 40, accepted(1, 0))
            .event(1, 1, 0)
            .event(2, 2, 1)
    };
    story(24).is_clean();
    story(30).breaks(&[Rule::DoneAfterAll]);
}

#[test]
fn a_replay_needs_an_earlier_request() {
    story().asked(1, 10, 20, again(accepted(1, 0))).event(1, 1, 0).breaks(&[Rule::ReplayOfNothing]);
    // One that took long may have been submitted again by the node.
    story().asked(1, 10, 400_000_000, again(accepted(1, 0))).event(1, 1, 0).is_clean();
    let later = story().asked(1, 10, 20, again(accepted(1, 0))).asked(1, 30, 40, again(accepted(1, 0)));
    later.event(1, 1, 0).breaks(&[Rule::ReplayOfNothing]);
    let at_once = story().asked(1, 10, 20, again(accepted(1, 0))).asked(1, 15, 25, accepted(1, 0));
    at_once.event(1, 1, 0).is_clean();
}

#[test]
fn an_unknown_outcome_is_done_once_or_not_at_all() {
    story().asked(1, 10, 20, unknown()).is_clean();
    story().asked(1, 10, 20, unknown()).event(1, 1, 0).is_clean();
    story().asked(1, 10, 20, unknown()).event(1, 1, 0).event(1, 2, 1).breaks(&[Rule::DecidedTwice]);
}

#[test]
fn the_events_of_a_command_are_one_batch() {
    let told = || story().asked(1, 10, 20, unknown());
    told().event(1, 1, 0).event(1, 2, 1).in_one_batch().is_clean();
    // The same command decided again, right behind its first decision.
    told().event(1, 1, 0).event(1, 2, 1).breaks(&[Rule::DecidedTwice]);
    // Under another term.
    let terms = told().event_of(1, 1, 0, "anonymous", 1).event_of(1, 2, 1, "anonymous", 2).in_one_batch();
    terms.breaks(&[Rule::DecidedTwice]);
    // With a gap between the offsets.
    told().event(1, 1, 0).event(1, 2, 2).in_one_batch().breaks(&[Rule::DecidedTwice]);
    // A refusal that is decided again.
    let code = ErrorCode::StockLimit;
    told().refusal(1, code, None, 0).refusal(1, code, None, 1).breaks(&[Rule::DecidedTwice]);
}

#[test]
fn versions_have_no_gap_and_no_double() {
    let two = |first, second| {
        let told = story().asked(1, 10, 20, unknown()).asked(2, 10, 20, unknown());
        told.event(1, first, 0).event(2, second, 1)
    };
    two(1, 2).is_clean();
    two(1, 3).breaks(&[Rule::VersionGap]);
    two(1, 1).breaks(&[Rule::VersionGap]);
    two(2, 3).breaks(&[Rule::VersionGap]);
}

#[test]
fn terms_never_go_back_within_a_partition() {
    let two = |first, second| {
        let told = story().asked(1, 10, 20, unknown()).asked(2, 10, 20, unknown());
        told.event_of(1, 1, 0, "anonymous", first).event_of(2, 2, 1, "anonymous", second)
    };
    two(1, 2).is_clean();
    two(3, 3).is_clean();
    two(2, 1).breaks(&[Rule::TermBack]);
}

#[test]
fn nothing_happens_that_nobody_asked_for() {
    let by = |principal| story().event_of(1, 1, 0, principal, 1);
    by("anonymous").breaks(&[Rule::NobodyAsked]);
    by("process:checkout").is_clean();
    let importer = by("importer");
    importer.breaks(&[Rule::NobodyAsked]);
    let scope = Scope::default().with(Principal::new("importer").unwrap());
    assert!(check(&importer.0.history, &importer.0.log, &scope).is_clean());
    // A client of the history that calls itself a process manager has all its commands in it.
    let posing = |wish: &mut Wish| wish.principal = Principal::new("process:load").unwrap();
    let posing = || story().asked(2, 10, 20, not_done()).wishing(posing);
    posing().event_of(1, 1, 0, "process:load", 1).breaks(&[Rule::NobodyAsked]);
    posing().event_of(1, 1, 0, "process:checkout", 1).is_clean();
}

#[test]
fn nothing_is_refused_that_nobody_asked_for() {
    story().refusal(1, ErrorCode::StockLimit, None, 0).breaks(&[Rule::NobodyAsked]);
    let mut derived = story().refusal(1, ErrorCode::StockLimit, None, 0);
    let event = schemas::EventId::from_text("order/1/1");
    if let Logged::Rejected { by, .. } = &mut derived.0.log[0].logged {
        by.command_id = CommandId::from_event(&event, "reserve/1");
    }
    derived.is_clean();
}

#[test]
fn what_was_answered_before_another_was_asked_for_stands_before_it() {
    let two = |second_asked| {
        let told = story().asked(1, 10, 20, accepted(2, 1)).asked(2, second_asked, 40, accepted(1, 0));
        told.event(2, 1, 0).event(1, 2, 1)
    };
    two(15).is_clean();
    two(30).breaks(&[Rule::OutOfOrder]);
    // The one that was never answered too.
    let told = story().asked(1, 10, 20, accepted(2, 1)).asked(2, 30, 40, unknown());
    told.event(2, 1, 0).event(1, 2, 1).breaks(&[Rule::OutOfOrder]);
}

#[test]
fn a_no_op_has_seen_what_was_answered_before_it_and_nothing_asked_for_later() {
    let write = || story().asked(1, 10, 20, accepted(1, 0)).event(1, 1, 0);
    write().asked(2, 30, 40, unchanged(0)).no_op(2, 0, 0).breaks(&[Rule::OutOfOrder]);
    write().asked(2, 15, 40, unchanged(0)).no_op(2, 0, 0).is_clean();
    write().asked(2, 30, 40, unchanged(1)).no_op(2, 1, 0).is_clean();
    write().asked(2, 2, 5, unchanged(1)).no_op(2, 1, 0).breaks(&[Rule::OutOfOrder]);
    write().asked(2, 2, 5, unchanged(0)).no_op(2, 0, 0).is_clean();
    // Two that have seen the same version have no order.
    let two = write().asked(2, 30, 40, unchanged(1)).asked(3, 50, 60, unchanged(1));
    two.no_op(3, 1, 0).no_op(2, 1, 2).breaks(&[Rule::OutOfOrder]);
    let two = write().asked(2, 30, 40, unchanged(1)).asked(3, 50, 60, unchanged(1));
    two.no_op(2, 1, 0).no_op(3, 1, 2).is_clean();
}

#[test]
fn a_conflict_has_seen_what_was_answered_before_it() {
    let code = ErrorCode::VersionConflict;
    let write = || story().asked(1, 10, 20, accepted(1, 0)).event(1, 1, 0);
    write().asked(2, 30, 40, rejected(code)).refusal(2, code, Some(0), 0).breaks(&[Rule::OutOfOrder]);
    write().asked(2, 30, 40, rejected(code)).refusal(2, code, Some(1), 0).is_clean();
}

#[test]
fn a_stated_version_is_the_one_that_was_decided_at() {
    let code = ErrorCode::VersionConflict;
    let stating = |version: u64| move |wish: &mut Wish| wish.expected_version = Some(Version::new(version));
    let write = |version| story().asked(1, 10, 20, accepted(1, 0)).wishing(stating(version)).event(1, 1, 0);
    write(0).is_clean();
    write(1).breaks(&[Rule::WrongExpectation]);
    let no_op = |version| story().asked(1, 10, 20, unchanged(0)).wishing(stating(version)).no_op(1, 0, 0);
    no_op(0).is_clean();
    no_op(3).breaks(&[Rule::WrongExpectation]);
    let conflict = |version| {
        let told = story().asked(1, 10, 20, rejected(code)).wishing(stating(version));
        told.refusal(1, code, Some(4), 0)
    };
    conflict(3).is_clean();
    conflict(4).breaks(&[Rule::WrongExpectation]);
}

#[test]
fn one_command_id_grants_one_wish() {
    let other = |wish: &mut Wish| wish.hash = CommandHash::of(&"another");
    let first = || story().asked(1, 10, 20, accepted(1, 0)).event(1, 1, 0);
    first().asked(1, 30, 40, again(accepted(1, 0))).wishing(other).breaks(&[Rule::TwoWishes]);
    first().asked(1, 30, 40, Told::IdReused).wishing(other).is_clean();
    first().asked(1, 30, 40, Told::IdReused).breaks(&[Rule::NoOtherWish]);
}

#[test]
fn a_record_that_cannot_be_read_and_records_out_of_their_order_are_told() {
    let mut unreadable = story().event_of(1, 1, 0, "process:checkout", 1);
    unreadable.0.log[0].logged = Logged::Unreadable { why: "no header ce_id".to_owned() };
    unreadable.breaks(&[Rule::Unreadable]);
    let told = || story().asked(1, 10, 20, unknown()).asked(2, 10, 20, unknown());
    told().event(1, 1, 5).event(2, 2, 5).breaks(&[Rule::Unreadable]);
}

#[test]
fn a_failure_that_was_kept_gives_the_same_report_again() {
    let story =
        story().asked(1, 10, 20, accepted(1, 0)).asked(2, 30, 40, unchanged(0)).event(1, 1, 1).no_op(2, 0, 0);
    let report = story.report();
    assert!(!report.is_clean());
    let folder = story.0.keep("kept", &report).unwrap();
    let back = Evidence::read(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(back, story.0);
    assert_eq!(check(&back.history, &back.log, &Scope::default()).violations, report.violations);
}

#[test]
fn a_dirty_history_fails_the_test_that_wanted_it_clean() {
    let story = story().asked(1, 10, 20, accepted(1, 0));
    let failure = std::panic::catch_unwind(|| story.0.must_be_clean("dirty", &Scope::default())).unwrap_err();
    let said = failure.downcast_ref::<String>().unwrap();
    assert!(said.contains("lost: command 00000000-0000-0000-0000-000000000001"), "{said}");
    let folder = said.split("(evidence: ").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    assert_eq!(Evidence::read(folder.as_ref()).unwrap(), story.0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_history_alone_is_checked_against_an_empty_log() {
    let history = History { attempts: story().asked(1, 10, 20, not_done()).0.history.attempts };
    assert!(check(&history, &[], &Scope::default()).is_clean());
}
