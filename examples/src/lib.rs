//! Programs that show the registry at work.
