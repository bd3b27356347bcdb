//! A cheating host, as a library and a set of named attacks.
