//! A monitor for transparency logs.
