//! What the client says in its log lines and nowhere else.
//!
//! `zookeeper-async` 5.0.0 tells neither the timeout that the server granted nor that a first connection was closed again (it goes on connecting, thousands of
//! times a second). Both stand in its log lines. Its thread runs under this subscriber, which reads them and passes nothing on: so none of them reaches the
//! program's own subscriber, either. A line that is not understood is ignored; then the timeout counts as granted in full, and time limits tell the rest.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event as Line, Level, Metadata, Subscriber};

use super::Event;

/// The subscriber of one connection.
pub(crate) struct Told(pub(crate) UnboundedSender<Event>);

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target() == "zookeeper_async::io"
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, line: &Line<'_>) {
        let mut message = Message(String::new());
        line.record(&mut message);
        if let Some(event) = understood(&message.0) {
            let _ = self.0.send(event);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// What a line means for us.
fn understood(line: &str) -> Option<Event> {
    const DOWN: [(&str, &str); 4] = [
        ("Connection closed", "the server closed the connection"),
        ("Failed to connect", "the server cannot be connected to"),
        ("Reconnect due to", "the server did not answer the client"),
        ("Failed to write", "the connection broke"),
    ];
    if let Some((_, meaning)) = DOWN.iter().find(|(beginning, _)| line.starts_with(beginning)) {
        return Some(Event::Down(meaning));
    }
    let granted = line.strip_prefix("Connected: ")?;
    let timeout: u64 = number(granted, "timeout: ")?;
    Some(Event::Granted { timeout: Duration::from_millis(timeout), session: number(granted, "session_id: ")? })
}

fn number<N: std::str::FromStr>(text: &str, name: &str) -> Option<N> {
    let (_, rest) = text.split_once(name)?;
    rest.split([',', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_client_are_understood() {
        let granted = "Connected: ConnectResponse { protocol_version: 0, timeout: 4000, session_id: -7, passwd: [1, 2], read_only: false }";
        let event = Event::Granted { timeout: Duration::from_secs(4), session: -7 };
        assert_eq!(understood(granted), Some(event));
        assert!(matches!(understood("Connection closed: read"), Some(Event::Down(_))));
        assert!(matches!(understood("Failed to connect 127.0.0.1:1: refused"), Some(Event::Down(_))));
        assert_eq!(understood("Establishing Zk connection"), None);
        assert_eq!(understood("Connected: to something else"), None);
    }
}
