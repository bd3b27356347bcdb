//! Where the other side is.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::path::PathBuf;

use crate::Error;

/// A port of the link: what vsock calls a port, whatever the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address of an enclave, written `unix:PATH`, `tcp:ADDR:PORT` or `vsock:CID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix socket at this path; ports are multiplexed by a first line.
    Unix(PathBuf),
    /// A TCP address; ports are multiplexed by a first line. For tests and development.
    Tcp(SocketAddr),
    /// A virtual machine by its vsock context id; ports are vsock ports. Linux only. A listener binds
    /// any context id of its own and ignores this one.
    Vsock(u32),
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = || Error::Endpoint { text: text.to_owned() };
        let (scheme, rest) = text.split_once(':').ok_or_else(malformed)?;
        match scheme {
            "unix" if !rest.is_empty() => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" => rest.parse().map(Self::Tcp).map_err(|_| malformed()),
            "vsock" => rest.parse().map(Self::Vsock).map_err(|_| malformed()),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vsock(cid) => write!(f, "vsock:{cid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for text in ["unix:/run/x.sock", "unix:a:b", "tcp:127.0.0.1:80", "tcp:[::1]:80", "vsock:3"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix",
            "unix:",
            "tcp:localhost:80",
            "tcp:127.0.0.1",
            "vsock:-1",
            "vsock:4294967296",
            "udp:1",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(Error::Endpoint { text: text.to_owned() }), "{text}");
        }
    }
}
