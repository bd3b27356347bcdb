//! TCB info: which security versions of a platform Intel stands behind, and how far.
//!
//! Format: Intel PCS API v4, "Get TDX TCB Info V4", version 3 with id `TDX`. Matching: the same document's
//! "TCB level determination" and the Quote Verification Library, which orders levels from the highest
//! component vector down before taking the first that the platform reaches.

use alloc::string::String;
use alloc::vec::Vec;

use super::body::TdReport;
use super::error::{Document, DocumentFault, Error};
use super::signed_json::{RawIsvsvn, RawLevel, Window, file};
use super::tcb_status::{TcbPart, TcbStatus};
use crate::encoding::Hex;
use crate::json_record;

const DOC: Document = Document::TcbInfo;
const ID: &str = "TDX";
const VERSION: u32 = 3;
/// The only `tcbType` there is: components are compared one by one.
const TCB_TYPE_COMPONENTS: u32 = 0;
/// More levels or modules than this in one document means it is not Intel's.
const LEVELS_MAX: usize = 512;

/// Statuses a platform's level can have.
const PLATFORM_STATUSES: &[TcbStatus] = &[
    TcbStatus::UpToDate,
    TcbStatus::SwHardeningNeeded,
    TcbStatus::ConfigurationNeeded,
    TcbStatus::ConfigurationAndSwHardeningNeeded,
    TcbStatus::OutOfDate,
    TcbStatus::OutOfDateConfigurationNeeded,
    TcbStatus::Revoked,
];
/// Statuses a TDX module's level can have.
const MODULE_STATUSES: &[TcbStatus] = &[TcbStatus::UpToDate, TcbStatus::OutOfDate, TcbStatus::Revoked];

/// A TCB info document with its fields decoded.
#[derive(Debug, Clone)]
pub(super) struct TcbInfo {
    pub(super) window: Window,
    pub(super) fmspc: [u8; 6],
    pub(super) pce_id: [u8; 2],
    pub(super) evaluation_number: u32,
    module: ModuleSigner,
    module_identities: Vec<ModuleIdentity>,
    /// From the highest component vector down.
    levels: Vec<PlatformLevel>,
}

/// Who may have signed the TDX module, and with which attributes.
#[derive(Debug, Clone)]
struct ModuleSigner {
    mrsigner: [u8; 48],
    attributes: [u8; 8],
    attributes_mask: [u8; 8],
}

#[derive(Debug, Clone)]
struct ModuleIdentity {
    id: String,
    signer: ModuleSigner,
    /// From the highest ISVSVN down.
    levels: Vec<(u8, TcbPart)>,
}

#[derive(Debug, Clone)]
struct PlatformLevel {
    sgx: [u8; 16],
    pcesvn: u16,
    tdx: [u8; 16],
    part: TcbPart,
}

/// The security versions in the PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlatformSvns {
    pub(super) components: [u8; 16],
    pub(super) pcesvn: u16,
}

/// What the TCB info says of the TDX module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleTcb {
    pub(super) id: String,
    pub(super) part: Option<TcbPart>,
}

impl ModuleTcb {
    /// The identity that was applied, `TDX_01` and so on; `TDX_00` for the base `tdxModule` entry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The module's own status; `None` for the base module, whose versions the platform level holds.
    pub fn part(&self) -> Option<&TcbPart> {
        self.part.as_ref()
    }
}

impl TcbInfo {
    /// Reads a TCB info document. Its signature is the caller's business.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let raw: RawTcbInfo = DOC.parse(text)?;
        if raw.id != ID {
            return Err(DOC.fault(DocumentFault::Id { id: bounded(&raw.id), expected: ID }));
        }
        if raw.version != VERSION {
            return Err(DOC.fault(DocumentFault::Version { version: raw.version, expected: VERSION }));
        }
        if raw.tcb_type != TCB_TYPE_COMPONENTS {
            return Err(DOC.fault(DocumentFault::Field { field: "tcbType" }));
        }
        let window = DOC.window(&raw.issue_date, &raw.next_update)?;
        let mut levels = Vec::new();
        for level in decode_all("tcbLevels", raw.tcb_levels, PlatformLevel::decode)? {
            file(&mut levels, level, |known, new| known.order() >= new.order());
        }
        let module = &raw.tdx_module;
        Ok(Self {
            window,
            fmspc: DOC.hex("fmspc", &raw.fmspc)?,
            pce_id: DOC.hex("pceId", &raw.pce_id)?,
            evaluation_number: raw.tcb_evaluation_data_number,
            module: ModuleSigner::decode(&module.mrsigner, &module.attributes, &module.attributes_mask)?,
            module_identities: decode_all(
                "tdxModuleIdentities",
                raw.tdx_module_identities.unwrap_or_default(),
                ModuleIdentity::decode,
            )?,
            levels,
        })
    }

    /// The first level that the platform reaches with these TDX component versions.
    pub(super) fn platform(&self, svns: PlatformSvns, tee_tcb_svn: &[u8; 16]) -> TcbPart {
        let reached = |level: &&PlatformLevel| level.is_reached(svns, tee_tcb_svn);
        self.levels.iter().find(reached).map_or_else(TcbPart::no_matching_level, |level| level.part.clone())
    }

    /// The TDX module's own level: which identity applies is its version, TEE_TCB_SVN\[1\]; which
    /// level, its ISVSVN, TEE_TCB_SVN\[0\]. Version 0 has no identity of its own.
    pub(super) fn module(&self, tee_tcb_svn: &[u8; 16]) -> Result<ModuleTcb, Error> {
        let [isvsvn, ..] = *tee_tcb_svn;
        let id = module_id(tee_tcb_svn);
        let Some(identity) = self.identity(tee_tcb_svn)? else {
            return Ok(ModuleTcb { id, part: None });
        };
        let level = identity.levels.iter().find(|(floor, _)| *floor <= isvsvn);
        let part = level.map_or_else(TcbPart::no_matching_level, |(_, part)| part.clone());
        Ok(ModuleTcb { id, part: Some(part) })
    }

    /// Holds the module's signer and attributes in the report against the identity that applies.
    pub(super) fn check_module_signer(&self, report: &TdReport) -> Result<(), Error> {
        let signer = self.identity(&report.tee_tcb_svn)?.map_or(&self.module, |identity| &identity.signer);
        signer.check(report)
    }

    fn identity(&self, tee_tcb_svn: &[u8; 16]) -> Result<Option<&ModuleIdentity>, Error> {
        let [_, module_version, ..] = *tee_tcb_svn;
        if module_version == 0 {
            return Ok(None);
        }
        let id = module_id(tee_tcb_svn);
        match self.module_identities.iter().find(|identity| identity.id.eq_ignore_ascii_case(&id)) {
            Some(identity) => Ok(Some(identity)),
            None => Err(Error::ModuleUnknown { id }),
        }
    }
}

/// The name of the module identity for these versions.
fn module_id(tee_tcb_svn: &[u8; 16]) -> String {
    let [_, module_version, ..] = *tee_tcb_svn;
    alloc::format!("TDX_{module_version:02X}")
}

impl PlatformLevel {
    fn decode(raw: RawLevel<RawTcb>) -> Result<Self, Error> {
        Ok(Self {
            sgx: components("sgxtcbcomponents", &raw.tcb.sgx)?,
            pcesvn: raw.tcb.pcesvn,
            tdx: components("tdxtcbcomponents", &raw.tcb.tdx)?,
            part: DOC.part(raw, PLATFORM_STATUSES)?,
        })
    }

    fn order(&self) -> (&[u8; 16], u16, &[u8; 16]) {
        (&self.sgx, self.pcesvn, &self.tdx)
    }

    /// Whether every component is at or above this level's.
    fn is_reached(&self, svns: PlatformSvns, tee_tcb_svn: &[u8; 16]) -> bool {
        // A module with an identity of its own is judged there, so its two bytes are left out here.
        let [_, module_version, ..] = *tee_tcb_svn;
        let skipped = if module_version > 0 { 2 } else { 0 };
        reaches(&svns.components, &self.sgx, 0)
            && svns.pcesvn >= self.pcesvn
            && reaches(tee_tcb_svn, &self.tdx, skipped)
    }
}

fn reaches(have: &[u8; 16], need: &[u8; 16], skipped: usize) -> bool {
    have.iter().zip(need).skip(skipped).all(|(have, need)| have >= need)
}

impl ModuleSigner {
    fn decode(mrsigner: &str, attributes: &str, attributes_mask: &str) -> Result<Self, Error> {
        Ok(Self {
            mrsigner: DOC.hex("mrsigner", mrsigner)?,
            attributes: DOC.hex("attributes", attributes)?,
            attributes_mask: DOC.hex("attributesMask", attributes_mask)?,
        })
    }

    fn check(&self, report: &TdReport) -> Result<(), Error> {
        if report.mrsignerseam != self.mrsigner {
            return Err(Error::ModuleSigner {
                reported: Hex(report.mrsignerseam),
                expected: Hex(self.mrsigner),
            });
        }
        let mask = u64::from_le_bytes(self.attributes_mask);
        let expected = u64::from_le_bytes(self.attributes) & mask;
        // A bit outside the mask is one that Intel says nothing about: it must not be set.
        if u64::from_le_bytes(report.seamattributes) != expected {
            return Err(Error::ModuleAttributes {
                reported: Hex(report.seamattributes),
                expected: Hex(expected.to_le_bytes()),
            });
        }
        Ok(())
    }
}

impl ModuleIdentity {
    fn decode(raw: RawIdentity) -> Result<Self, Error> {
        let decode =
            |level: RawLevel<RawIsvsvn<u8>>| Ok((level.tcb.isvsvn, DOC.part(level, MODULE_STATUSES)?));
        let mut levels = Vec::new();
        for level in decode_all("tdxModuleIdentities.tcbLevels", raw.tcb_levels, decode)? {
            file(&mut levels, level, |known, new| known.0 >= new.0);
        }
        let signer = ModuleSigner::decode(&raw.mrsigner, &raw.attributes, &raw.attributes_mask)?;
        Ok(Self { id: raw.id, signer, levels })
    }
}

fn decode_all<R, T>(
    field: &'static str,
    raw: Vec<R>,
    decode: impl FnMut(R) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    if raw.len() > LEVELS_MAX {
        return Err(DOC.fault(DocumentFault::TooMany { field, count: raw.len(), max: LEVELS_MAX }));
    }
    raw.into_iter().map(decode).collect()
}

fn components(field: &'static str, raw: &[RawComponent]) -> Result<[u8; 16], Error> {
    let svns: Vec<u8> = raw.iter().map(|component| component.svn).collect();
    svns.try_into()
        .map_err(|_| DOC.fault(DocumentFault::ComponentCount { field, count: raw.len(), expected: 16 }))
}

/// A stranger's text, short enough to print.
pub(super) fn bounded(text: &str) -> String {
    text.chars().take(64).collect()
}

#[derive(Debug)]
struct RawTcbInfo {
    id: String,
    version: u32,
    issue_date: String,
    next_update: String,
    fmspc: String,
    pce_id: String,
    tcb_type: u32,
    tcb_evaluation_data_number: u32,
    tdx_module: RawModule,
    tdx_module_identities: Option<Vec<RawIdentity>>,
    tcb_levels: Vec<RawLevel<RawTcb>>,
}

json_record!(open RawTcbInfo {
    id,
    version,
    issue_date as "issueDate",
    next_update as "nextUpdate",
    fmspc,
    pce_id as "pceId",
    tcb_type as "tcbType",
    tcb_evaluation_data_number as "tcbEvaluationDataNumber",
    tdx_module as "tdxModule",
    tdx_module_identities as "tdxModuleIdentities",
    tcb_levels as "tcbLevels",
});

#[derive(Debug)]
struct RawModule {
    mrsigner: String,
    attributes: String,
    attributes_mask: String,
}

json_record!(open RawModule { mrsigner, attributes, attributes_mask as "attributesMask" });

#[derive(Debug)]
struct RawIdentity {
    id: String,
    mrsigner: String,
    attributes: String,
    attributes_mask: String,
    tcb_levels: Vec<RawLevel<RawIsvsvn<u8>>>,
}

json_record!(open RawIdentity {
    id,
    mrsigner,
    attributes,
    attributes_mask as "attributesMask",
    tcb_levels as "tcbLevels",
});

#[derive(Debug)]
struct RawTcb {
    sgx: Vec<RawComponent>,
    pcesvn: u16,
    tdx: Vec<RawComponent>,
}

json_record!(open RawTcb { sgx as "sgxtcbcomponents", pcesvn, tdx as "tdxtcbcomponents" });

#[derive(Debug)]
struct RawComponent {
    svn: u8,
}

json_record!(open RawComponent { svn });

#[cfg(test)]
mod tests;
