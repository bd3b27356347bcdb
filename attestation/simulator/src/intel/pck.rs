//! What a PCK certificate says of its platform: the extension "SGX Extensions".
//!
//! Intel SGX PCK Certificate and Certificate Revocation List Profile Specification, section 1.3.5.

use const_oid::ObjectIdentifier;

use crate::der;

/// Intel's object identifiers.
pub mod oid {
    use super::ObjectIdentifier;

    /// SGX Extensions: the certificate extension that holds all the others.
    pub const SGX_EXTENSIONS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");
    /// PPID.
    pub const PPID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.1");
    /// TCB, itself a list.
    pub const TCB: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2");
    /// PCESVN, in TCB.
    pub const PCESVN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2.17");
    /// CPUSVN, in TCB.
    pub const CPUSVN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2.18");
    /// PCE-ID.
    pub const PCE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.3");
    /// FMSPC.
    pub const FMSPC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.4");
    /// SGX Type.
    pub const SGX_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.5");
    /// Platform Instance ID; under the Platform CA only.
    pub const PLATFORM_INSTANCE_ID: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.6");
    /// Configuration, itself a list; under the Platform CA only.
    pub const CONFIGURATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7");
    /// Dynamic Platform, in Configuration.
    pub const DYNAMIC_PLATFORM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7.1");
    /// Cached Keys, in Configuration.
    pub const CACHED_KEYS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7.2");
    /// SMT Enabled, in Configuration.
    pub const SMT_ENABLED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7.3");

    /// SGX TCB Component SVN of this number, 1 to 16, in TCB.
    pub fn component(number: u8) -> ObjectIdentifier {
        let text = format!("1.2.840.113741.1.13.1.2.{number}");
        ObjectIdentifier::new(&text).unwrap_or_else(|_| unreachable!("a number is an arc"))
    }
}

/// One entry of SGX Extensions, or of a list inside it: its name, and its value in DER.
pub type SgxEntry = (ObjectIdentifier, Vec<u8>);

/// What a PCK certificate says of its platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PckFacts {
    /// Platform Provisioning ID.
    pub ppid: [u8; 16],
    /// SGX TCB Component SVNs 1 to 16.
    pub components: [u8; 16],
    /// Security version of the Provisioning Certification Enclave.
    pub pcesvn: u16,
    /// The raw CPUSVN.
    pub cpu_svn: [u8; 16],
    /// Identity of the Provisioning Certification Enclave.
    pub pce_id: [u8; 2],
    /// Family, model, stepping, platform type and custom SKU.
    pub fmspc: [u8; 6],
    /// 0 Standard, 1 Scalable, 2 Scalable with Integrity.
    pub sgx_type: u8,
    /// What only the Platform CA certifies.
    pub platform: Option<PlatformFacts>,
}

/// What the Platform CA certifies of a multi-package platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlatformFacts {
    /// Platform Instance ID.
    pub instance_id: [u8; 16],
    /// Packages may be added later.
    pub dynamic_platform: bool,
    /// Intel's registration service keeps the platform's root keys.
    pub cached_keys: bool,
    /// SMT is on.
    pub smt_enabled: bool,
}

impl PckFacts {
    /// The entries in Intel's order; [`encode_sgx_entries`] makes the extension's value of them.
    pub fn entries(&self) -> Vec<SgxEntry> {
        let octets = |oid, content: &[u8]| (oid, der::octet_string(content));
        let mut entries = vec![
            octets(oid::PPID, &self.ppid),
            (oid::TCB, encode_sgx_entries(&self.tcb_entries())),
            octets(oid::PCE_ID, &self.pce_id),
            octets(oid::FMSPC, &self.fmspc),
            (oid::SGX_TYPE, der::enumerated(self.sgx_type)),
        ];
        if let Some(platform) = &self.platform {
            let flags = [
                (oid::DYNAMIC_PLATFORM, der::boolean(platform.dynamic_platform)),
                (oid::CACHED_KEYS, der::boolean(platform.cached_keys)),
                (oid::SMT_ENABLED, der::boolean(platform.smt_enabled)),
            ];
            entries.push(octets(oid::PLATFORM_INSTANCE_ID, &platform.instance_id));
            entries.push((oid::CONFIGURATION, encode_sgx_entries(&flags)));
        }
        entries
    }

    /// The entries of the list under [`oid::TCB`].
    pub fn tcb_entries(&self) -> Vec<SgxEntry> {
        let mut entries: Vec<SgxEntry> = (1..=16)
            .zip(self.components)
            .map(|(number, svn)| (oid::component(number), der::integer_u64(svn.into())))
            .collect();
        entries.push((oid::PCESVN, der::integer_u64(self.pcesvn.into())));
        entries.push((oid::CPUSVN, der::octet_string(&self.cpu_svn)));
        entries
    }
}

/// SEQUENCE of SEQUENCEs of name and value: SGX Extensions, and the lists inside it.
pub fn encode_sgx_entries(entries: &[SgxEntry]) -> Vec<u8> {
    let encoded: Vec<u8> =
        entries.iter().flat_map(|(oid, value)| der::sequence(&[&der::oid(*oid), value])).collect();
    der::tlv(0x30, &encoded)
}
