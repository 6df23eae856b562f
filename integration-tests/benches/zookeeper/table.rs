//! Rows of figures with their ratio.

/// How many rounds a row has.
pub(crate) const ROUNDS: usize = 7;

/// What was measured in one round: ours, and the bare client's.
pub(crate) type Pair = (f64, f64);

pub(crate) fn head() {
    println!(
        "| what | ours (median) | bare client (median) | ratio: median (lowest to highest of {ROUNDS} rounds) | goal |"
    );
    println!("|---|---|---|---|---|");
}

/// One row; `unit` follows each figure.
pub(crate) fn row(what: &str, unit: &str, pairs: &[Pair], goal: &str) {
    let ratios = sorted(pairs.iter().map(|(ours, bare)| ours / bare));
    let (ours, bare) = (sorted(pairs.iter().map(|pair| pair.0)), sorted(pairs.iter().map(|pair| pair.1)));
    println!(
        "| {what} | {} {unit} | {} {unit} | {} ({} to {}) | {goal} |",
        shown(median(&ours)),
        shown(median(&bare)),
        shown(median(&ratios)),
        shown(ratios[0]),
        shown(ratios[ratios.len() - 1])
    );
}

/// The value below which this share of the values lies.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let values = sorted(values);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The highest of ours.
pub(crate) fn highest(pairs: &[Pair]) -> f64 {
    pairs.iter().map(|pair| pair.0).fold(0.0, f64::max)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Three figures.
fn shown(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 0.1 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
