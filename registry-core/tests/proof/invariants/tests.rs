//! A history that keeps every clause, and for each clause one that breaks it: a judgement that cannot fail proves nothing.

use std::sync::Arc;
use std::time::Duration;

use registry_core::{Info, Instance, Snapshot};
use tokio::time::Instant;

use super::{Judged, Past};
use crate::profiles::{Profile, key_of};
use crate::runtime;
use crate::sim::{Call, End, Ended, Item, Op, info, service};
use crate::world::{Ask, Asked, By, ClientId, Entry, Event};

const A: ClientId = ClientId(0);
const B: ClientId = ClientId(1);

/// Writes a past by hand, one line a moment. A moment is a second.
struct Story {
    past: Past,
    items: Vec<Item>,
    began: Instant,
}

impl Story {
    fn new(profile: Profile) -> Self {
        let began = Instant::now();
        let past = Past { profile, calls: Vec::new(), asks: Vec::new(), history: Vec::new(), now: began };
        Self { past, items: Vec::new(), began }
    }

    fn wait(mut self, seconds: u64) -> Self {
        self.past.now += Duration::from_secs(seconds);
        self
    }

    fn call(mut self, client: ClientId, op: Op, result: Ended) -> Self {
        let history = self.past.history.len();
        let end = Some(End { at: self.past.now, history, result });
        self.past.calls.push(Call { client, op, began: self.past.now, history_before: history, end });
        self
    }

    /// The last call began so many seconds earlier, when the world had so many events less.
    fn began_earlier(mut self, seconds: u64, events: usize) -> Self {
        let call = self.past.calls.last_mut().unwrap();
        call.began -= Duration::from_secs(seconds);
        call.history_before -= events;
        self
    }

    fn ask(mut self, client: ClientId, what: Asked) -> Self {
        let (Asked::Claim(info) | Asked::Restore(info)) = &what else { panic!("removals are asked by `ask_remove`") };
        let key = key_of(info);
        self.past.asks.push(Ask { at: self.past.now, client, key, what });
        self
    }

    fn ask_remove(mut self, client: ClientId, info: &Info) -> Self {
        self.past.asks.push(Ask { at: self.past.now, client, key: key_of(info), what: Asked::Remove });
        self
    }

    fn change(mut self, info: &Info, after: Option<Entry>, by: By) -> Self {
        let key = key_of(info);
        let before = self.past.standing(&key, self.past.history.len()).cloned();
        self.past.history.push(Event { at: self.past.now, key, by, before, after });
        self
    }

    fn write(self, client: ClientId, info: &Info) -> Self {
        let by = By::Client(client, self.past.now);
        self.change(info, Some(entry(client, info)), by)
    }

    fn remove(self, client: ClientId, info: &Info) -> Self {
        let by = By::Client(client, self.past.now);
        self.change(info, None, by)
    }

    /// A register that went well.
    fn register(self, client: ClientId, info: &Info) -> Self {
        let story = self.ask(client, Asked::Claim(info.clone())).write(client, info);
        story.call(client, Op::Register(info.clone()), Ended::Ok).began_earlier(0, 1)
    }

    /// A deregister that went well.
    fn deregister(self, client: ClientId, info: &Info) -> Self {
        let story = self.ask_remove(client, info).remove(client, info);
        story.call(client, Op::Deregister(info.clone()), Ended::Ok).began_earlier(0, 1)
    }

    fn deliver(mut self, instances: &[&Info]) -> Self {
        let instances = instances.iter().map(|info| Arc::new(Instance::from(*info)));
        let snapshot = Arc::new(Snapshot::new(service(), instances));
        self.items.push(Item { at: self.past.now, history: self.past.history.len(), snapshot });
        self
    }

    fn items(&self) -> Judged {
        self.past.judge_items(self.began, &self.items)
    }
}

fn entry(client: ClientId, info: &Info) -> Entry {
    let value = format!("{info:?}").into_bytes();
    let record = registry_core::store::Record::new(key_of(info), value, info);
    Entry { owner: Some(client), ..Entry::unowned(&record) }
}

/// The clause that a story breaks, by any of the judgements.
fn broken(story: impl FnOnce(Story) -> Story) -> Option<&'static str> {
    runtime::run("a self-test", async {
        let story = story(Story::new(Profile::Atomic));
        let past = &story.past;
        let judged = past.judge().and_then(|()| past.judge_end()).and_then(|()| story.items());
        judged.err().map(|violation| violation.clause)
    })
}

fn ten() -> Info {
    info(1, 10)
}

fn twenty() -> Info {
    info(1, 20)
}

#[test]
fn a_good_history_breaks_nothing() {
    let story = |story: Story| {
        let story = story.deliver(&[]).wait(1).register(A, &ten()).deliver(&[&ten()]).wait(1).register(B, &twenty());
        let story = story.deliver(&[&twenty()]).wait(1).call(A, Op::Deregister(ten()), Ended::Ok);
        story.wait(1).deregister(B, &twenty()).deliver(&[])
    };
    assert_eq!(broken(story), None);
}

#[test]
fn a_register_that_does_not_stand_breaks_r1() {
    assert_eq!(broken(|story| story.call(A, Op::Register(ten()), Ended::Ok)), Some("R1"));
    let undone = |story: Story| {
        let story = story.ask(A, Asked::Claim(ten())).write(A, &ten()).write(A, &info(1, 11));
        story.call(A, Op::Register(ten()), Ended::Ok).began_earlier(0, 2)
    };
    assert_eq!(broken(undone), Some("R1"), "undone by a late effect of its own handle");
}

#[test]
fn a_removal_of_what_is_wanted_breaks_r2() {
    assert_eq!(broken(|story| story.register(A, &ten()).wait(1).ask_remove(A, &ten())), Some("R2"));
}

#[test]
fn restoring_a_failed_register_breaks_r4() {
    let story = |story: Story| {
        let story = story.register(A, &ten()).wait(1).call(A, Op::Register(info(1, 11)), Ended::Unsure);
        story.wait(1).ask(A, Asked::Restore(info(1, 11)))
    };
    assert_eq!(broken(story), Some("R4"));
}

#[test]
fn a_deregister_that_leaves_the_entry_breaks_r5() {
    let story = |story: Story| story.register(A, &ten()).wait(1).call(A, Op::Deregister(ten()), Ended::Ok);
    assert_eq!(broken(story), Some("R5"));
}

#[test]
fn touching_a_successor_breaks_r6() {
    let succeeded = |story: Story| story.register(A, &ten()).wait(1).register(B, &twenty()).wait(3);
    assert_eq!(broken(|story| succeeded(story).remove(A, &ten())), Some("R6"), "removed");
    assert_eq!(broken(|story| succeeded(story).write(A, &ten())), Some("R6"), "overwritten");
    assert_eq!(
        broken(|story| succeeded(story).change(&ten(), None, By::End(A))),
        Some("R6"),
        "by the end of a session"
    );
    assert_eq!(broken(|story| succeeded(story).ask(A, Asked::Claim(ten()))), Some("R6"), "claimed outside a call");
}

#[test]
fn holding_against_a_later_register_breaks_r7() {
    let refused = |story: Story| {
        let story = story.register(A, &ten()).wait(1).register(B, &twenty()).wait(1);
        let story = story.ask(A, Asked::Claim(ten())).write(A, &ten());
        story.call(A, Op::Register(ten()), Ended::Refused).began_earlier(0, 1)
    };
    assert_eq!(broken(refused), Some("R7"));
}

#[test]
fn publishing_after_deregister_breaks_r8() {
    let gone = |story: Story| story.register(A, &ten()).wait(1).deregister(A, &ten()).wait(1);
    assert_eq!(broken(|story| gone(story).ask(A, Asked::Restore(ten()))), Some("R8"), "asked for");
    assert_eq!(broken(|story| gone(story).write(A, &ten())), Some("R8"), "seen");
}

#[test]
fn a_zombie_that_is_seen_for_longer_than_a_ttl_breaks_r8_without_fences() {
    let zombie = |seconds| {
        runtime::run("a self-test", async move {
            let story = Story::new(Profile::Lagging).register(A, &ten()).wait(1).deregister(A, &ten()).wait(1);
            story.write(A, &ten()).wait(seconds).remove(A, &ten()).past.judge().err().map(|violation| violation.clause)
        })
    };
    assert_eq!((zombie(5), zombie(7)), (None, Some("R8")));
}

#[test]
fn an_entry_after_close_and_a_write_after_death_break_r9() {
    let closed = |story: Story| story.register(A, &ten()).wait(1).call(A, Op::Close, Ended::Ok);
    assert_eq!(broken(closed), Some("R9"));
    let haunted = |story: Story| story.call(A, Op::Crash, Ended::Ok).wait(1).ask(A, Asked::Restore(ten()));
    assert_eq!(broken(haunted), Some("R9"));
}

#[test]
fn a_call_that_takes_too_long_breaks_v3() {
    let story = |story: Story| story.wait(9).call(A, Op::Deregister(ten()), Ended::Unsure).began_earlier(6, 0);
    assert_eq!(broken(story), Some("V3"));
}

#[test]
fn what_is_wanted_and_not_back_breaks_l3() {
    let lost = |story: Story| story.register(A, &ten()).wait(1).change(&ten(), None, By::Wipe);
    assert_eq!(broken(lost), Some("L3"));
    let changed = |story: Story| {
        let altered = entry(A, &info(1, 99));
        story.register(A, &ten()).wait(1).change(&ten(), Some(altered), By::BackDoor)
    };
    assert_eq!(broken(changed), Some("L3"), "another weight");
}

#[test]
fn an_older_state_after_a_newer_breaks_w2() {
    let story = |story: Story| {
        let story = story.register(A, &ten()).wait(1).deliver(&[&ten()]).register(A, &info(1, 11));
        story.deliver(&[&info(1, 11)]).wait(1).deliver(&[&ten()])
    };
    assert_eq!(broken(story), Some("W2"));
}

#[test]
fn a_last_item_that_is_not_the_world_breaks_w2() {
    let judged = runtime::run("a self-test", async {
        let story = Story::new(Profile::Atomic).register(A, &ten()).deliver(&[&ten()]).wait(1).register(A, &twenty());
        let newest = Snapshot::new(service(), [Arc::new(Instance::from(&twenty()))]);
        let stale = story.past.judge_newest(&story.items[0].snapshot, story.items.last());
        let undelivered = story.past.judge_newest(&newest, story.items.last());
        let nothing = story.past.judge_newest(&Snapshot::unknown(service()), None);
        [stale, undelivered, nothing].map(|judged| judged.unwrap_err().clause)
    });
    assert_eq!(judged, ["W2"; 3]);
}

#[test]
fn missing_what_stood_throughout_breaks_w4() {
    let judged = runtime::run("a self-test", async {
        let story = Story::new(Profile::Atomic).register(A, &ten());
        let began = story.past.now + Duration::from_secs(1);
        let story = story.wait(2).deliver(&[]);
        story.past.judge_items(began, &story.items).unwrap_err().clause
    });
    assert_eq!(judged, "W4");
}

#[test]
fn a_gap_that_nobody_made_breaks_w4() {
    let gap = |withdrawn| {
        runtime::run("a self-test", async move {
            let story = Story::new(Profile::Atomic).register(A, &ten()).deliver(&[&ten()]).wait(1);
            let story = if withdrawn { story.deregister(A, &ten()) } else { story };
            let story = story.deliver(&[]);
            story.past.judge_seamless(&story.items).err().map(|violation| violation.clause)
        })
    };
    assert_eq!((gap(true), gap(false)), (None, Some("W4")));
}

#[test]
fn a_slow_takeover_breaks_r7_and_an_expiry_of_the_living_l1() {
    let judged = runtime::run("a self-test", async {
        let slow = Story::new(Profile::Atomic).wait(3).register(A, &ten()).began_earlier(2, 0);
        let expired = Story::new(Profile::Atomic).register(A, &ten()).wait(1).change(&ten(), None, By::Expiry);
        [slow, expired].map(|story| story.past.judge_calm().unwrap_err().clause)
    });
    assert_eq!(judged, ["R7", "L1"]);
}
