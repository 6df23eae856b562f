//! Which cases a run is about.

use crate::case::{Case, Level};
use crate::clause::Clause;

/// The cases chosen by clause and level. Names are chosen by the arguments that every test takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    clauses: Vec<String>,
    levels: Vec<Level>,
    waits: bool,
}

impl Selection {
    /// Takes `--clause R6,W2` and `--level core`, each as often as wanted, and `--waits` out of a command line; the rest is returned.
    ///
    /// # Errors
    /// A clause or level that does not exist, or none after the option.
    pub(crate) fn take_from(arguments: impl IntoIterator<Item = String>) -> Result<(Self, Vec<String>), String> {
        let (mut selection, mut rest) = (Self::default(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                None => (argument.clone(), None),
            };
            if argument == "--waits" {
                selection.waits = true;
                continue;
            }
            if option != "--clause" && option != "--level" {
                rest.push(argument);
                continue;
            }
            let values = value.or_else(|| arguments.next()).ok_or(format!("{option} wants a value"))?;
            for value in values.split(',') {
                selection.add(&option, value.trim())?;
            }
        }
        Ok((selection, rest))
    }

    /// Whether the case is about one of these clauses, and of one of these levels.
    pub(crate) fn has(&self, case: &Case) -> bool {
        let cited = |wanted: &String| case.clauses().iter().any(|clause| clause.0 == wanted);
        (self.clauses.is_empty() || self.clauses.iter().any(cited))
            && (self.levels.is_empty() || self.levels.contains(&case.level()))
    }

    /// Whether every wait is shown, and not the worst alone.
    pub(crate) fn shows_waits(&self) -> bool {
        self.waits
    }

    fn add(&mut self, option: &str, value: &str) -> Result<(), String> {
        if option == "--clause" {
            let known: Vec<&str> = Clause::all().iter().map(|clause| clause.0).collect();
            let number = value.to_uppercase();
            if !known.contains(&number.as_str()) {
                return Err(format!("no case is about the clause {value:?}: give one of {}", known.join(" ")));
            }
            self.clauses.push(number);
            return Ok(());
        }
        let levels = [Level::Core, Level::Extended, Level::Provisional];
        let level = levels.into_iter().find(|level| level.as_str() == value.to_lowercase());
        self.levels.push(level.ok_or(format!("{value:?} is no level: give core, extended or provisional"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    fn parsed(line: &str) -> Result<(Selection, Vec<String>), String> {
        Selection::take_from(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn clauses_and_levels_choose_and_the_rest_is_left() {
        let (selection, rest) = parsed("program --clause r6,W2 takeover --waits --level=core --exact").unwrap();
        assert!(selection.shows_waits());
        assert_eq!(rest, ["program", "takeover", "--exact"]);
        let chosen: Vec<Case> = cases::all().into_iter().filter(|case| selection.has(case)).collect();
        assert!(chosen.iter().any(|case| case.name().starts_with("r6_")));
        assert!(chosen.iter().any(|case| case.name().starts_with("w2_")));
        for case in chosen {
            assert_eq!(case.level(), Level::Core);
            assert!(case.clauses().iter().any(|clause| ["R6", "W2"].contains(&clause.0)), "{}", case.name());
        }
    }

    #[test]
    fn without_options_every_case_is_chosen() {
        let (selection, _) = parsed("program").unwrap();
        assert!(cases::all().iter().all(|case| selection.has(case)));
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        assert!(parsed("program --clause R99").unwrap_err().contains("R1 R2 R3"));
        assert!(parsed("program --level best").unwrap_err().contains("core, extended or provisional"));
        assert_eq!(parsed("program --clause").unwrap_err(), "--clause wants a value");
    }
}
