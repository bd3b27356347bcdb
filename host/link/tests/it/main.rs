//! Tests of the link over transports that cut, stall and lie.

mod chopped;
mod control;
mod framed;
mod sockets;
