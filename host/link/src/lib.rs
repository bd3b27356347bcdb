//! Byte streams between host and enclave over vsock, Unix sockets or TCP.
