//! Throwaway AMD- and Intel-shaped authorities that mint bit-exact evidence for tests.
