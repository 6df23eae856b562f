//! One connect call for every service registry backend: choose the store by URL at run time, with one Cargo feature a backend.
