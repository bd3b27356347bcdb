//! Starts a simulated enclave and host together: the demo, and a local endpoint.

fn main() {}
