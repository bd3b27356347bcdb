//! Rows about the report: its shape, and what it says against what its certificate says.

use vouchsafe_simulator::amd::{CpuId, Product, oid};
use vouchsafe_simulator::x509::Extension;

use super::{Row, milan, milan_vlek, row, turin};

/// The order of P-384, little-endian as in the report.
const ORDER: [u8; 48] = [
    0x73, 0x29, 0xc5, 0xcc, 0x6a, 0x19, 0xec, 0xec, 0x7a, 0xa7, 0xb0, 0x48, 0xb2, 0x0d, 0x1a, 0x58, 0xdf,
    0x2d, 0x37, 0xf4, 0x81, 0x4d, 0x63, 0xc7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];
/// Where R and S begin.
const R: usize = 0x2a0;
const S: usize = 0x2e8;

pub(crate) const SHAPE: &[Row] = &[
    row(3, "length 0", milan, |d| d.report_afterwards = Some(Vec::clear), "snp_report_length"),
    row(3, "length 1183", milan, |d| d.report_afterwards = Some(|r| r.truncate(1183)), "snp_report_length"),
    row(3, "length 1185", milan, |d| d.report_afterwards = Some(|r| r.push(0)), "snp_report_length"),
    row(3, "length 4096", milan, |d| d.report_afterwards = Some(|r| r.resize(4096, 0)), "snp_report_length"),
    row(4, "version 0", milan, |d| d.fields.version = 0, "snp_report_version"),
    row(4, "version 1", milan, |d| d.fields.version = 1, "snp_report_version"),
    row(4, "version 6", milan, |d| d.fields.version = 6, "snp_report_version"),
    row(4, "version 2³²−1", milan, |d| d.fields.version = u32::MAX, "snp_report_version"),
    row(
        1,
        "version 5's fields in a report of version 4",
        milan,
        |d| d.raw = vec![(0, 4), (0x1f8, 1)],
        "snp_report_reserved",
    ),
    row(
        1,
        "version 3's fields in a report of version 2",
        milan,
        |d| d.raw = vec![(0, 2), (0x188, 0x19)],
        "snp_report_reserved",
    ),
    row(1, "reserved byte at 04Ch", milan, |d| d.raw = vec![(0x4c, 1)], "snp_report_reserved"),
    row(1, "reserved byte at 18Bh", milan, |d| d.raw = vec![(0x18b, 1)], "snp_report_reserved"),
    row(1, "reserved byte at 19Fh", milan, |d| d.raw = vec![(0x19f, 1)], "snp_report_reserved"),
    row(1, "reserved byte at 1EBh", milan, |d| d.raw = vec![(0x1eb, 1)], "snp_report_reserved"),
    row(1, "reserved byte at 1EFh", milan, |d| d.raw = vec![(0x1ef, 1)], "snp_report_reserved"),
    row(1, "reserved byte at 208h", milan, |d| d.raw = vec![(0x208, 1)], "snp_report_reserved"),
    row(1, "reserved byte at 29Fh", milan, |d| d.raw = vec![(0x29f, 0x80)], "snp_report_reserved"),
    row(5, "signature algorithm 0", milan, |d| d.fields.signature_algo = 0, "snp_signature_algorithm"),
    row(5, "signature algorithm 2", milan, |d| d.fields.signature_algo = 2, "snp_signature_algorithm"),
    row(
        5,
        "R is zero",
        milan,
        |d| d.report_afterwards = Some(|r| r[R..R + 48].fill(0)),
        "snp_signature_range",
    ),
    row(
        5,
        "S is zero",
        milan,
        |d| d.report_afterwards = Some(|r| r[S..S + 48].fill(0)),
        "snp_signature_range",
    ),
    row(
        5,
        "R is the curve's order",
        milan,
        |d| d.report_afterwards = Some(|r| r[R..R + 48].copy_from_slice(&ORDER)),
        "snp_signature_range",
    ),
    row(
        5,
        "S is the curve's order",
        milan,
        |d| d.report_afterwards = Some(|r| r[S..S + 48].copy_from_slice(&ORDER)),
        "snp_signature_range",
    ),
    row(
        5,
        "R is 2³⁸⁴−1",
        milan,
        |d| d.report_afterwards = Some(|r| r[R..R + 48].fill(0xff)),
        "snp_signature_range",
    ),
    row(
        5,
        "S is 2³⁸⁴−1",
        milan,
        |d| d.report_afterwards = Some(|r| r[S..S + 48].fill(0xff)),
        "snp_signature_range",
    ),
    row(
        2,
        "first byte of R above its 48",
        milan,
        |d| d.report_afterwards = Some(|r| r[R + 48] = 1),
        "snp_signature_high_bytes",
    ),
    row(
        2,
        "last byte of R above its 48",
        milan,
        |d| d.report_afterwards = Some(|r| r[R + 71] = 1),
        "snp_signature_high_bytes",
    ),
    row(
        2,
        "first byte of S above its 48",
        milan,
        |d| d.report_afterwards = Some(|r| r[S + 48] = 1),
        "snp_signature_high_bytes",
    ),
    row(
        2,
        "last byte of S above its 48",
        milan,
        |d| d.report_afterwards = Some(|r| r[S + 71] = 1),
        "snp_signature_high_bytes",
    ),
    row(
        2,
        "first byte of the signature's padding",
        milan,
        |d| d.report_afterwards = Some(|r| r[0x330] = 1),
        "snp_signature_padding",
    ),
    row(
        2,
        "last byte of the signature's padding",
        milan,
        |d| d.report_afterwards = Some(|r| r[0x49f] = 1),
        "snp_signature_padding",
    ),
    row(8, "guest policy bit 17 clear", milan, |d| d.fields.policy &= !(1 << 17), "snp_guest_policy_bit17"),
    row(8, "guest policy bit 26 set", milan, |d| d.fields.policy |= 1 << 26, "snp_guest_policy_reserved"),
    row(8, "guest policy bit 63 set", milan, |d| d.fields.policy |= 1 << 63, "snp_guest_policy_reserved"),
    row(9, "VMPL 4", milan, |d| d.fields.vmpl = 4, "snp_vmpl_not_guest"),
    row(9, "VMPL ffffffffh: the hypervisor asked", milan, |d| d.fields.vmpl = u32::MAX, "snp_vmpl_not_guest"),
    row(1, "key info bit 5 set", milan, |d| d.fields.key_info |= 1 << 5, "snp_key_info_reserved"),
    row(1, "key info bit 31 set", milan, |d| d.fields.key_info |= 1 << 31, "snp_key_info_reserved"),
    row(0, "signing key 7: none", milan, |d| d.fields.key_info |= 7 << 2, "snp_report_unsigned"),
    row(0, "signing key 2", milan, |d| d.fields.key_info |= 2 << 2, "snp_signing_key_unknown"),
];

pub(crate) const AGAINST_THE_VEK: &[Row] = &[
    row(
        1,
        "a byte of REPORT_DATA changed",
        milan,
        |d| d.report_afterwards = Some(|r| r[0x50] ^= 1),
        "snp_report_signature_invalid",
    ),
    row(
        1,
        "a byte of MEASUREMENT changed",
        milan,
        |d| d.report_afterwards = Some(|r| r[0x90] ^= 1),
        "snp_report_signature_invalid",
    ),
    row(
        1,
        "a bit of R changed",
        milan,
        |d| d.report_afterwards = Some(|r| r[R] ^= 1),
        "snp_report_signature_invalid",
    ),
    row(
        1,
        "R and S exchanged",
        milan,
        |d| {
            d.report_afterwards = Some(|report| {
                let (r, s) = (report[R..S].to_vec(), report[S..0x330].to_vec());
                report[R..S].copy_from_slice(&s);
                report[S..0x330].copy_from_slice(&r);
            });
        },
        "snp_report_signature_invalid",
    ),
    row(
        1,
        "signed by another chip's key",
        milan,
        |d| d.vek_key = d.authority.vcek_key(&d.authority.chip_id(1), Product::Milan.typical_tcb()),
        "snp_report_signature_invalid",
    ),
    row(
        1,
        "signed by the same chip's key for another TCB",
        milan,
        |d| {
            let mut tcb = Product::Milan.typical_tcb();
            tcb.microcode -= 1;
            d.vek_key = d.authority.vcek_key(&d.authority.chip_id(0), tcb);
        },
        "snp_report_signature_invalid",
    ),
    row(
        11,
        "the certificate fits CURRENT_TCB, not REPORTED_TCB",
        milan,
        |d| {
            let mut tcb = Product::Milan.typical_tcb();
            tcb.snp -= 1;
            d.fields.reported_tcb = tcb.to_bytes(Product::Milan);
        },
        "snp_vek_tcb_is_current",
    ),
    row(
        13,
        "first byte of CHIP_ID is another chip's",
        milan,
        |d| d.fields.chip_id[0] ^= 1,
        "snp_hwid_mismatch",
    ),
    row(
        13,
        "last byte of CHIP_ID is another chip's",
        milan,
        |d| d.fields.chip_id[63] ^= 1,
        "snp_hwid_mismatch",
    ),
    row(
        13,
        "Turin: first byte of CHIP_ID is another chip's",
        turin,
        |d| d.fields.chip_id[0] ^= 1,
        "snp_hwid_mismatch",
    ),
    row(
        13,
        "Turin: eighth byte of CHIP_ID is another chip's",
        turin,
        |d| d.fields.chip_id[7] ^= 1,
        "snp_hwid_mismatch",
    ),
    row(
        13,
        "Turin: ninth byte of CHIP_ID is not zero",
        turin,
        |d| d.fields.chip_id[8] = 1,
        "snp_chip_id_tail",
    ),
    row(
        13,
        "Turin: last byte of CHIP_ID is not zero",
        turin,
        |d| d.fields.chip_id[63] = 1,
        "snp_chip_id_tail",
    ),
    row(24, "CHIP_ID is masked, a VCEK signs", milan, |d| d.fields.chip_id = [0; 64], "snp_chip_id_masked"),
    row(
        24,
        "CHIP_ID is masked, and the VCEK's hwID is zero too",
        milan,
        |d| {
            d.fields.chip_id = [0; 64];
            d.vek_mut().extension_mut(oid::HWID).unwrap().value = vec![0; 64];
        },
        "snp_chip_id_masked",
    ),
    row(
        24,
        "the chip key is masked, a VCEK signs",
        milan,
        |d| d.fields.key_info |= 1 << 1,
        "snp_chip_key_masked",
    ),
    row(
        15,
        "a VCEK's certificate, the report says VLEK",
        milan,
        |d| d.fields.key_info |= 1 << 2,
        "snp_vek_kind_mismatch",
    ),
    row(
        15,
        "a VLEK's certificate, the report says VCEK",
        milan_vlek,
        |d| d.fields.key_info = 0,
        "snp_vek_kind_mismatch",
    ),
    row(
        17,
        "CPUID of Genoa under Milan's chain",
        milan,
        |d| d.fields.cpu_id = Product::Genoa.cpu_id(),
        "snp_cpuid_product_mismatch",
    ),
    row(
        17,
        "CPUID of Milan under Turin's chain",
        turin,
        |d| d.fields.cpu_id = Product::Milan.cpu_id(),
        "snp_cpuid_product_mismatch",
    ),
    row(
        17,
        "CPUID of an unknown model",
        milan,
        |d| d.fields.cpu_id = CpuId { family: 0x19, model: 0x70, stepping: 0 },
        "snp_cpuid_product_mismatch",
    ),
    row(
        17,
        "CPUID of an unknown family",
        milan,
        |d| d.fields.cpu_id = CpuId { family: 0, model: 0, stepping: 0 },
        "snp_cpuid_product_mismatch",
    ),
    row(
        13,
        "the VEK's hwID is another chip's",
        milan,
        |d| {
            let hwid = Extension::new(oid::HWID, d.authority.chip_id(1).to_vec());
            *d.vek_mut().extension_mut(oid::HWID).unwrap() = hwid;
        },
        "snp_hwid_mismatch",
    ),
];
