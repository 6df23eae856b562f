//! A fresh runtime with paused time for each run, and an eye on runs that never end.

use std::future::Future;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// In real time, where a run takes some ten milliseconds.
const STUCK: Duration = Duration::from_secs(60);

/// The runs under way: how each is started again, and since when.
static UNDER_WAY: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());
static WATCHED: Once = Once::new();

/// Runs `future`. `again` is the command that does so again.
pub(crate) fn run<T>(again: &str, future: impl Future<Output = T>) -> T {
    WATCHED.call_once(|| drop(std::thread::spawn(watch)));
    UNDER_WAY.lock().unwrap().push((again.into(), Instant::now()));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime without I/O");
    let result = runtime.block_on(future);
    UNDER_WAY.lock().unwrap().retain(|(other, _)| *other != again);
    result
}

/// A run that spins while time stands still cannot be stopped: the whole process ends, and says which it was.
fn watch() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let stuck = UNDER_WAY.lock().unwrap().iter().find(|(_, began)| began.elapsed() > STUCK).cloned();
        if let Some((again, _)) = stuck {
            eprintln!("a schedule spins while time stands still\n    PROOF_LIVE=1 {again} -- --nocapture");
            std::process::exit(101);
        }
    }
}
