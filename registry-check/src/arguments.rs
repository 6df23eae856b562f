//! The command line.

use registry_conformance::{Case, Clause};
use registry_connect::Url;

const USAGE: &str = "usage: registry-check [--ttl SECONDS] [--clause R6,W2] [--json] URL";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) url: String,
    /// Of the check's entries, in seconds.
    pub(crate) ttl: u64,
    /// None for all.
    clauses: Vec<String>,
    pub(crate) json: bool,
}

impl Arguments {
    pub(crate) fn parse(line: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut arguments, mut urls) =
            (Self { url: String::new(), ttl: 5, clauses: Vec::new(), json: false }, Vec::new());
        let mut line = line;
        while let Some(argument) = line.next() {
            let mut value = || line.next().ok_or(format!("{argument} wants a value; {USAGE}"));
            match argument.as_str() {
                "--json" => arguments.json = true,
                "--ttl" => {
                    let text = value()?;
                    let seconds = text.parse().ok().filter(|seconds| (1..=60).contains(seconds));
                    arguments.ttl = seconds.ok_or(format!("--ttl {text:?}: give 1 to 60 seconds"))?;
                }
                "--clause" => {
                    arguments.clauses.extend(value()?.split(',').map(|clause| clause.trim().to_uppercase()));
                }
                option if option.starts_with('-') => return Err(format!("{option} is unknown; {USAGE}")),
                _ => urls.push(argument),
            }
        }
        let unknown = arguments.clauses.iter().find(|wanted| Clause::all().iter().all(|clause| clause.0 != **wanted));
        if let Some(unknown) = unknown {
            return Err(format!("no case is about a clause {unknown:?}"));
        }
        arguments.url = urls.pop().filter(|_| urls.is_empty()).ok_or(format!("give one URL; {USAGE}"))?;
        Ok(arguments)
    }

    pub(crate) fn wants(&self, case: &Case) -> bool {
        let cited = |clause: &Clause| self.clauses.iter().any(|wanted| wanted == clause.0);
        self.clauses.is_empty() || case.clauses().iter().any(cited)
    }

    /// The URL without its secrets.
    pub(crate) fn shown(&self) -> String {
        Url::parse(&self.url).map_or_else(|_| "the URL".to_owned(), |url| url.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_stand_before_or_after_the_url() {
        let arguments = parse("--json memory://demo --ttl 2 --clause r6,W2").unwrap();
        assert_eq!((arguments.url.as_str(), arguments.ttl, arguments.json), ("memory://demo", 2, true));
        let chosen: Vec<Case> =
            registry_conformance::cases().into_iter().filter(|case| arguments.wants(case)).collect();
        assert!(!chosen.is_empty());
        for case in chosen {
            assert!(case.clauses().iter().any(|clause| ["R6", "W2"].contains(&clause.0)), "{}", case.name());
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line() {
        for line in
            ["", "a://b c://d", "--ttl", "--ttl 0 a://b", "--ttl 1h a://b", "--clause R99 a://b", "--fast a://b"]
        {
            let reason = parse(line).unwrap_err();
            assert!(!reason.contains('\n') && !reason.is_empty(), "{line}: {reason}");
        }
    }
}
