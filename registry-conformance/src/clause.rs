//! The clauses of the contract, as the suite quotes them.

use std::fmt;

use registry_core::contract;

/// A clause of the [contract](registry_core::contract), by its number (`R6`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Clause(pub &'static str);

impl Clause {
    /// The letters that this suite has cases for.
    const OF_THE_SUITE: [&'static str; 7] = ["R", "L", "D", "W", "V", "S", "X"];

    /// Every clause, in the contract's order.
    pub fn all() -> Vec<Self> {
        contract::TEXT
            .lines()
            .filter_map(|line| line.strip_prefix("- ")?.split_whitespace().next())
            .filter(|number| Self::OF_THE_SUITE.iter().any(|wanted| number.starts_with(wanted)))
            .filter(|number| number[1..].bytes().all(|byte| byte.is_ascii_digit()) && number.len() > 1)
            .map(Self)
            .collect()
    }

    /// The clause's text in one line, without number and mark; `None` when the contract has no such clause.
    pub fn text(self) -> Option<String> {
        let words = self.body()?.split_whitespace();
        let words: Vec<&str> = words.skip_while(|word| *word == "**C**").collect();
        Some(words.join(" "))
    }

    /// Whether the contract marks the clause as Core.
    pub fn is_core(self) -> bool {
        self.body().is_some_and(|body| body.trim_start().starts_with("**C**"))
    }

    fn body(self) -> Option<&'static str> {
        let head = format!("\n- {} ", self.0);
        let (_, rest) = contract::TEXT.split_once(head.as_str())?;
        let end = [rest.find("\n- "), rest.find("\n\n")].into_iter().flatten().min();
        Some(&rest[..end.unwrap_or(rest.len())])
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_the_clauses_that_the_suite_is_about() {
        let all: Vec<&str> = Clause::all().iter().map(|clause| clause.0).collect();
        let expected = "R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 L1 L2 L3 L4 L5 L6 D1 D2 D3 D4 W1 W2 W3 W4 W5 W6 V1 V2 V3 S1 S2 S3 S4 X1 X2 X3";
        assert_eq!(all.join(" "), expected);
    }

    #[test]
    fn a_clause_is_quoted_in_one_line_without_its_mark() {
        let text = Clause("R2").text().unwrap();
        assert!(text.starts_with("Registering the same identity again replaces"), "{text}");
        assert!(text.ends_with("missing in between.") && !text.contains('\n'), "{text}");
        assert!(Clause("R2").is_core() && !Clause("R10").is_core());
        assert_eq!(Clause("R99").text(), None);
    }
}
