//! A service registry in this process: many handles on one store, with TTLs, takeover, watches and fault controls, for tests and single-process programs.
