//! What the adapter logs while a case looks.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::dispatcher::{self, Dispatch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{self, DefaultGuard};
use tracing::{Event, Level, Metadata, Subscriber};

/// Collects the `tracing` events of this thread until it is dropped, for a case that judges them. A case's runtime has no other thread; what an
/// adapter logs on threads of its own is not seen.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    /// From now on, events of this level and above.
    pub(crate) fn of(level: Level) -> Self {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = lines.clone();
        let keep = move |line| kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Self { lines, _guard: listen(level, keep) }
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The last `tracing` events of a case with their times, for its failure. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Tail>>);

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    left_out: usize,
}

impl Told {
    /// How many events a failure shows.
    const SHOWN: usize = 100;

    /// Listens on this thread until the guard is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        let (tail, began) = (self.0.clone(), Instant::now());
        listen(Level::DEBUG, move |line| {
            let at = Instant::now().saturating_duration_since(began).as_secs_f64();
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.lines.len() == Self::SHOWN {
                tail.lines.pop_front();
                tail.left_out += 1;
            }
            tail.lines.push_back(format!("  {at:>9.3} s  {line}\n"));
        })
    }

    /// The lines under their heading; nothing when nothing was logged.
    pub(crate) fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = match tail.left_out {
            0 => String::new(),
            count => format!(" (the last {}, {count} earlier ones left out)", Self::SHOWN),
        };
        if tail.lines.is_empty() {
            return String::new();
        }
        format!("what was logged{left_out}:\n{}", tail.lines.iter().map(String::as_str).collect::<String>())
    }
}

/// Gives each event of this thread to `keep` and to whoever listened before.
fn listen(level: Level, keep: impl Fn(String) + Send + Sync + 'static) -> DefaultGuard {
    let outer = dispatcher::get_default(Dispatch::clone);
    subscriber::set_default(Collector { level, keep: Box::new(keep), outer })
}

struct Collector {
    level: Level,
    keep: Box<dyn Fn(String) + Send + Sync>,
    outer: Dispatch,
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level || self.outer.enabled(metadata)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() <= self.level {
            let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
            event.record(&mut line);
            (self.keep)(line.0);
        }
        if self.outer.enabled(event.metadata()) {
            self.outer.event(event);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
