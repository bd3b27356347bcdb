//! Well-formed images are read; each way of being malformed has its error; nothing panics.

use proptest::prelude::*;

use super::synthetic::{IMAGE_LEN, Image};
use super::variables::{GLOBAL, SECURITY_DATABASE};
use super::*;

fn tdvf_error(change: impl FnOnce(&mut Image)) -> Error {
    let mut image = Image::default();
    change(&mut image);
    let bytes = image.build();
    Tdvf::parse(&Firmware::parse(&bytes).unwrap()).unwrap_err()
}

fn sev_error(change: impl FnOnce(&mut Image)) -> Error {
    let mut image = Image::default();
    change(&mut image);
    let bytes = image.build();
    SevMetadata::parse(&Firmware::parse(&bytes).unwrap()).unwrap_err()
}

#[test]
fn a_well_formed_image_is_read() {
    let bytes = Image::default().build();
    let firmware = Firmware::parse(&bytes).unwrap();
    let tdvf = Tdvf::parse(&firmware).unwrap();
    assert_eq!(tdvf.sections().len(), 6);
    let cfv = tdvf.only(SectionKind::Cfv, "CFV").unwrap();
    assert_eq!((cfv.address, cfv.data), (0xffff_0000, &bytes[..0x8000]));
    assert_eq!(tdvf.only(SectionKind::TempMem, "x").unwrap_err().code(), "firmware_table_twice");
    assert_eq!(SevMetadata::parse(&firmware).unwrap().image(), bytes);
}

#[test]
fn each_malformed_image_has_its_error() {
    let good = Image::default().build();
    let parse_error = |bytes: &[u8]| Firmware::parse(bytes).unwrap_err().code();
    assert_eq!(parse_error(&[]), "firmware_not_pages");
    assert_eq!(parse_error(&good[1..]), "firmware_not_pages");
    assert_eq!(parse_error(&vec![0; FIRMWARE_BYTES_MAX + 4096]), "firmware_too_long");
    assert_eq!(parse_error(&[0; 4096]), "firmware_table");
    let changed = |position: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[position..position + value.len()].copy_from_slice(value);
        bytes
    };
    // The footer's length: shorter than itself, longer than the image, and cutting an entry in two.
    let footer = IMAGE_LEN - 50;
    assert_eq!(parse_error(&changed(footer, &17_u16.to_le_bytes())), "firmware_table");
    let short = 4096.min(IMAGE_LEN);
    assert_eq!(
        parse_error(&[&vec![0; short - 50][..], &[0xff, 0xff], &good[IMAGE_LEN - 48..]].concat()),
        "firmware_table"
    );
    assert_eq!(parse_error(&changed(footer, &20_u16.to_le_bytes())), "firmware_table_entry");
    // The last entry's length: too short for itself, and longer than the table.
    let last = footer - 18;
    assert_eq!(parse_error(&changed(last, &17_u16.to_le_bytes())), "firmware_table_entry");
    assert_eq!(parse_error(&changed(last, &0x4000_u16.to_le_bytes())), "firmware_table_entry");
    // One GUID twice: the hash table's entry (eight bytes of data, before four and a header) named as
    // the reset block's.
    let reset_guid = good[last + 2..last + 18].to_vec();
    let twice = changed(footer - 38, &reset_guid);
    let error = SevMetadata::parse(&Firmware::parse(&twice).unwrap()).unwrap_err();
    assert_eq!(error.code(), "firmware_table_twice");
}

#[test]
fn each_malformed_tdx_section_has_its_error() {
    let field = |error: Error| match error {
        Error::FirmwareSection { field, index, .. } => (index, field),
        other => panic!("{other}"),
    };
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].4 = 5)), (2, "type"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].5 = 2)), (2, "attributes"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].2 += 1)), (2, "memory address"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].3 = 0)), (2, "memory length"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].3 = 1)), (2, "memory length"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].3 = !0xfff)), (2, "memory length"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[2].1 = 4096)), (2, "data length"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[0].1 = 4096)), (0, "data length"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[0].0 = u32::MAX)), (0, "data offset"));
    assert_eq!(field(tdvf_error(|i| i.tdvf[0].0 = 0x8001)), (0, "data offset"));
    assert_eq!(tdvf_error(|i| i.tdvf[2].3 = 65 << 20).code(), "firmware_sections_too_long");
    assert_eq!(tdvf_error(|i| i.tdvf[3].2 = 0x80_a000).code(), "firmware_sections_overlap");
    assert_eq!(tdvf_error(|i| i.tdvf.clear()).code(), "firmware_field");
    assert_eq!(tdvf_error(|i| i.tdvf = vec![i.tdvf[0]; 33]).code(), "firmware_field");
}

#[test]
fn each_malformed_sev_section_has_its_error() {
    let field = |error: Error| match error {
        Error::FirmwareSection { field, .. } | Error::FirmwareField { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(sev_error(|i| i.sev[0].2 = 0x11)), "type");
    assert_eq!(field(sev_error(|i| i.sev[0].2 = 0x101)), "type");
    assert_eq!(field(sev_error(|i| i.sev[0].0 = 1)), "address");
    assert_eq!(field(sev_error(|i| i.sev[0].1 = 4095)), "length");
    assert_eq!(field(sev_error(|i| i.sev[0].1 = 0)), "length");
    assert_eq!(field(sev_error(|i| i.sev[4].1 = 0x2000)), "length");
    assert_eq!(field(sev_error(|i| i.hashes = 0x81_0fff)), "address");
    assert_eq!(field(sev_error(|i| i.hashes = u32::MAX)), "address");
    assert_eq!(field(sev_error(|i| i.sev.clear())), "number of sections");
    assert_eq!(sev_error(|i| i.hashes = 0).code(), "firmware_lacks");
    assert_eq!(sev_error(|i| i.sev.truncate(4)).code(), "firmware_lacks");
    assert_eq!(sev_error(|i| i.sev.push((0x81_0000, 0x1000, 0x10))).code(), "firmware_table_twice");
    assert_eq!(sev_error(|i| i.sev[0].1 = 0xffff_f000).code(), "firmware_sections_too_long");
}

#[test]
fn variables_are_read_as_the_firmware_reads_them() {
    let image = Image {
        variables: vec![
            ("PK", GLOBAL, b"replaced".to_vec(), 0x3e),
            ("db", SECURITY_DATABASE, b"deleted".to_vec(), 0x3d),
            ("PK", GLOBAL, b"new".to_vec(), 0x3f),
            ("KEK", GLOBAL, b"in transition".to_vec(), 0x3e),
            ("KEK", SECURITY_DATABASE, b"another vendor".to_vec(), 0x3f),
        ],
        ..Image::default()
    };
    let bytes = image.build();
    let store = VariableStore::parse(&bytes[..0x8000]).unwrap();
    assert_eq!(store.value("PK", GLOBAL), Some(&b"new"[..]));
    assert_eq!(store.value("KEK", GLOBAL), Some(&b"in transition"[..]));
    assert_eq!(store.value("db", SECURITY_DATABASE), None);
    assert_eq!(store.value("P", GLOBAL), None);
    assert!(store.secure_boot());
    assert!(!VariableStore::parse(&Image::default().build()[..0x8000]).unwrap().secure_boot());
    let mut beyond = bytes[..0x8000].to_vec();
    beyond[72 + 28 + 40..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(VariableStore::parse(&beyond).unwrap_err().code(), "variable_store");
    assert_eq!(VariableStore::parse(&[]).unwrap_err().code(), "variable_store");
}

proptest! {
    /// Any bytes before a valid footer, any field of the descriptors: an error or a result, no panic.
    #[test]
    fn no_image_makes_the_readers_panic(
        changes in prop::collection::vec((0..IMAGE_LEN, any::<u32>()), 1..8),
        near_end in prop::collection::vec((0_usize..0x1040, any::<u32>()), 0..8),
    ) {
        let mut bytes = Image::default().build();
        let places = changes.into_iter().chain(near_end.into_iter().map(|(at, v)| (IMAGE_LEN - 1 - at, v)));
        for (at, value) in places {
            let end = (at + 4).min(IMAGE_LEN);
            bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
        if let Ok(firmware) = Firmware::parse(&bytes) {
            if let Ok(tdvf) = Tdvf::parse(&firmware) {
                prop_assert!(tdvf.sections().iter().all(|s| s.data.is_empty() || s.data.len() as u64 == s.len));
            }
            let _ = SevMetadata::parse(&firmware);
        }
        let _ = VariableStore::parse(&bytes[..0x8000]);
    }
}
