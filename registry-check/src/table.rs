//! The result for a person.

use std::fmt::Write as _;

use registry_conformance::{Case, CaseResult, Clause, Level, Verdict};

/// Whether this result fails nobody's run.
pub(crate) fn is_good(case: &Case, result: &CaseResult) -> bool {
    case.level() == Level::Provisional || !matches!(result.verdict, Verdict::Failed { .. })
}

/// A line for each clause that a case is about, then what failed, then the sum.
pub(crate) fn render(url: &str, results: &[(Case, CaseResult)]) -> String {
    let mut text = format!("{url}\n\n");
    let mut sum = (0, 0, 0);
    for clause in Clause::all() {
        let about = results.iter().filter(|(case, _)| case.clauses().first() == Some(&clause));
        let (mut passed, mut failed, mut reasons) = (0, 0, Vec::new());
        for (case, result) in about {
            match &result.verdict {
                Verdict::Passed => passed += 1,
                Verdict::Failed { .. } if is_good(case, result) => {}
                Verdict::Failed { .. } => failed += 1,
                Verdict::NotApplicable(reason) => reasons.push(reason.as_str()),
            }
        }
        sum = (sum.0 + passed, sum.1 + failed, sum.2 + reasons.len());
        let word = match (passed, failed, reasons.is_empty()) {
            (_, 1.., _) => "BROKEN",
            (1.., _, _) => "kept",
            (_, _, false) => "not offered",
            _ => continue,
        };
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{:<4} {word:<12} {passed:>3} of {:>3}  {}", clause.0, passed + failed, sentence(clause));
        reasons.dedup();
        for reason in reasons {
            let _ = writeln!(text, "     {reason}");
        }
    }
    for (case, result) in results {
        if let Verdict::Failed { text: seen, .. } = &result.verdict {
            let _ = write!(text, "\n---- {}\n{seen}\n", case.name());
        }
    }
    let _ = writeln!(text, "\n{} passed, {} failed, {} not offered", sum.0, sum.1, sum.2);
    text
}

/// The beginning of the clause, as much as fits on a line.
fn sentence(clause: Clause) -> String {
    let text = clause.text().unwrap_or_default().replace("**", "");
    let mut short: String = text.chars().take(90).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
