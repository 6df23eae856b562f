#![doc = include_str!("../docs/contract.md")]

/// The contract as Markdown, for tools that quote its clauses: each one is a list item that starts with its number.
pub const TEXT: &str = include_str!("../docs/contract.md");
