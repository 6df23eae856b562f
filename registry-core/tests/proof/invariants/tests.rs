//! A history that breaks each clause, and the same one mended.
