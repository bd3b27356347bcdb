//! The Authenticode hash of a PE image, as the firmware measures the kernel.
//!
//! Everything but the checksum, the entry that points to signatures, and the signatures themselves.
//! Specification: Windows Authenticode Portable Executable Signature Format 1.0, "Calculating the PE
//! Image Hash"; edk2's `OvmfPkg/Tcg/TdTcg2Dxe/MeasureBootPeCoff.c`, whose order and arithmetic are
//! followed: what follows the sections is found by their summed lengths, not by an offset.

use crate::bytes::{size_at, slice, u16_at, u32_at};
use crate::sha::Sha384;
use crate::{Digest384, Error};

const PE_SIGNATURE: u32 = u32::from_le_bytes(*b"PE\0\0");
/// Signature and file header before the optional header.
const FILE_HEADER_LEN: usize = 24;
const SECTION_HEADER_LEN: usize = 40;
/// The loader's limit (edk2's PeCoffLoaderGetPeHeader refuses more).
const SECTIONS_MAX: usize = 96;
/// The data directory's entry for signatures, counted from 0.
const CERTIFICATE_TABLE: usize = 4;
/// IMAGE_SUBSYSTEM_EFI_APPLICATION: what is measured into RTMR1 as a boot application.
const EFI_APPLICATION: u16 = 10;

/// The Authenticode hash of an EFI program with SHA-384.
///
/// # Errors
/// [`Error::Kernel`] when `image` is no EFI program, or its headers reach beyond it.
pub fn authenticode_sha384(image: &[u8]) -> Result<Digest384, Error> {
    let mut hash = Sha384::new();
    hashed_parts(image)?.into_iter().for_each(|part| hash.update(part));
    Ok(hash.finish())
}

/// The parts of the image that are hashed, in order.
pub(crate) fn hashed_parts(image: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let fault = |position, field| Error::Kernel { position, field };
    if slice(image, 0, 2) != Some(b"MZ") {
        return Err(fault(0, "no DOS header"));
    }
    let pe = size_at(image, 0x3c).ok_or_else(|| fault(0x3c, "truncated"))?;
    let at = |offset: usize| pe.saturating_add(offset);
    if u32_at(image, pe) != Some(PE_SIGNATURE) {
        return Err(fault(pe, "no PE signature"));
    }
    let sections = u16_at(image, at(6)).map(usize::from).ok_or_else(|| fault(at(6), "truncated"))?;
    if sections > SECTIONS_MAX {
        return Err(fault(at(6), "too many sections"));
    }
    let optional_len = u16_at(image, at(20)).map(usize::from).ok_or_else(|| fault(at(20), "truncated"))?;
    let optional = at(FILE_HEADER_LEN);
    let in_optional = |offset: usize| optional.saturating_add(offset);
    // Where the number of directory entries stands: PE32 and PE32+.
    let directories = match u16_at(image, optional) {
        Some(0x10b) => in_optional(92),
        Some(0x20b) => in_optional(108),
        _ => return Err(fault(optional, "neither PE32 nor PE32+")),
    };
    if u16_at(image, in_optional(68)) != Some(EFI_APPLICATION) {
        return Err(fault(in_optional(68), "not of subsystem EFI application"));
    }
    let headers_len = size_at(image, in_optional(60)).ok_or_else(|| fault(in_optional(60), "truncated"))?;
    let directory_count = size_at(image, directories).ok_or_else(|| fault(directories, "truncated"))?;
    let checksum = in_optional(64);
    let part = |from: usize, to: usize, field| image.get(from..to).ok_or_else(|| fault(from, field));
    let mut parts = vec![part(0, checksum, "checksum beyond the image")?];
    let after_checksum = checksum.saturating_add(4);
    let mut signatures_len = 0;
    if directory_count > CERTIFICATE_TABLE {
        let entry = directories.saturating_add(4).saturating_add(8 * CERTIFICATE_TABLE);
        signatures_len = size_at(image, entry.saturating_add(4)).ok_or_else(|| fault(entry, "truncated"))?;
        parts.push(part(after_checksum, entry, "data directory beyond the image")?);
        parts.push(part(entry.saturating_add(8), headers_len, "length of the headers")?);
    } else {
        parts.push(part(after_checksum, headers_len, "length of the headers")?);
    }
    let table = in_optional(optional_len);
    let (contents, sum) = section_contents(image, table, sections)?;
    parts.extend(contents);
    let hashed = headers_len.saturating_add(sum);
    let end = image.len().checked_sub(signatures_len).filter(|end| *end >= hashed.min(image.len()));
    match end {
        Some(end) if end > hashed => parts.push(part(hashed, end, "data after the sections")?),
        Some(_) => {}
        None => return Err(fault(image.len(), "signatures longer than what follows the sections")),
    }
    Ok(parts)
}

/// The contents of the sections in order of their place in the file, and their summed length.
fn section_contents(image: &[u8], table: usize, count: usize) -> Result<(Vec<&[u8]>, usize), Error> {
    let fault = |position, field| Error::Kernel { position, field };
    let len = count.saturating_mul(SECTION_HEADER_LEN);
    let headers = slice(image, table, len).ok_or_else(|| fault(table, "section table beyond the image"))?;
    let mut places: Vec<(usize, usize)> = headers
        .chunks_exact(SECTION_HEADER_LEN)
        .filter_map(|header| size_at(header, 20).zip(size_at(header, 16)))
        .filter(|(_, len)| *len > 0)
        .collect();
    // A stable sort by offset alone, as the firmware's insertion sort.
    places.sort_by_key(|(offset, _)| *offset);
    let mut contents = Vec::with_capacity(places.len());
    let mut sum = 0_usize;
    for (offset, len) in places {
        contents.push(slice(image, offset, len).ok_or_else(|| fault(offset, "section beyond the image"))?);
        sum = sum.saturating_add(len);
    }
    Ok((contents, sum))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use ring::digest::{Context, SHA256};

    use super::*;
    use crate::{prepared, sha384};

    /// A PE32+ image: headers of 512 bytes, two sections out of order in the table, then `tail`, of
    /// which the last `signatures` bytes are signatures.
    pub(crate) fn image(tail: &[u8], signatures: u32) -> Vec<u8> {
        let mut image = vec![0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ");
        put(0x3c, &0x40_u32.to_le_bytes());
        put(0x40, b"PE\0\0");
        put(0x46, &2_u16.to_le_bytes());
        put(0x54, &240_u16.to_le_bytes());
        put(0x58, &0x20b_u16.to_le_bytes());
        put(0x58 + 60, &512_u32.to_le_bytes());
        put(0x58 + 64, &0xdead_beef_u32.to_le_bytes());
        put(0x58 + 68, &10_u16.to_le_bytes());
        put(0x58 + 108, &16_u32.to_le_bytes());
        put(0x58 + 112 + 32, &1024_u32.to_le_bytes());
        put(0x58 + 112 + 36, &signatures.to_le_bytes());
        for (index, (len, offset)) in [(256_u32, 768_u32), (256, 512)].into_iter().enumerate() {
            let at = 0x58 + 240 + 40 * index;
            put(at + 16, &len.to_le_bytes());
            put(at + 20, &offset.to_le_bytes());
        }
        image.extend([1; 256]);
        image.extend([2; 256]);
        image.extend(tail);
        image
    }

    #[test]
    fn checksum_and_signatures_do_not_count_and_everything_else_does() {
        let plain = image(b"", 0);
        let reference = authenticode_sha384(&plain).unwrap();
        let mut expected = plain[..0x98].to_vec();
        expected.extend(&plain[0x9c..0x58 + 144]);
        expected.extend(&plain[0x58 + 152..]);
        assert_eq!(reference, sha384(&expected));
        let mut other_checksum = plain.clone();
        other_checksum[0x98] ^= 1;
        assert_eq!(authenticode_sha384(&other_checksum).unwrap(), reference);
        assert_eq!(authenticode_sha384(&image(&[9; 64], 64)).unwrap(), reference);
        assert_ne!(authenticode_sha384(&image(&[9; 64], 56)).unwrap(), reference);
        for at in [0x41 + 4, 0x58 + 200, 511, 512, 1023] {
            let mut changed = plain.clone();
            changed[at] ^= 1;
            // A changed header may make the image unreadable, but never leaves its hash as it was.
            assert_ne!(authenticode_sha384(&changed).ok(), Some(reference), "byte {at}");
        }
    }

    #[test]
    fn what_is_no_efi_program_is_refused() {
        let good = image(b"", 0);
        let changed = |at: usize, bytes: &[u8]| {
            let mut image = good.clone();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            match authenticode_sha384(&image).unwrap_err() {
                Error::Kernel { field, .. } => field,
                other => panic!("{other}"),
            }
        };
        assert_eq!(changed(0, b"ZM"), "no DOS header");
        assert_eq!(changed(0x3c, &u32::MAX.to_le_bytes()), "no PE signature");
        assert_eq!(changed(0x46, &97_u16.to_le_bytes()), "too many sections");
        assert_eq!(changed(0x58, &[0; 2]), "neither PE32 nor PE32+");
        assert_eq!(changed(0x58 + 68, &[11, 0]), "not of subsystem EFI application");
        assert_eq!(changed(0x58 + 60, &u32::MAX.to_le_bytes()), "length of the headers");
        assert_eq!(changed(0x58 + 60, &[0; 4]), "length of the headers");
        assert_eq!(changed(0x54, &u16::MAX.to_le_bytes()), "section table beyond the image");
        assert_eq!(changed(0x58 + 240 + 16, &u32::MAX.to_le_bytes()), "section beyond the image");
        assert_eq!(
            changed(0x58 + 112 + 36, &1_u32.to_le_bytes()),
            "signatures longer than what follows the sections"
        );
    }

    /// The signature on a real program holds the hash of exactly these parts, with SHA-256.
    #[test]
    fn debians_signature_holds_the_hash_of_the_same_parts() {
        let Some(folder) = prepared("VOUCHSAFE_OVMF", "debians_signature_holds_the_hash") else { return };
        let image = std::fs::read(PathBuf::from(folder).join("fwupdx64.efi.signed")).unwrap();
        let mut hash = Context::new(&SHA256);
        hashed_parts(&image).unwrap().into_iter().for_each(|part| hash.update(part));
        let hash = hash.finish();
        let signature = &image[61_840..];
        assert!(signature.windows(32).any(|window| window == hash.as_ref()));
        assert!(!image[..61_840].windows(32).any(|window| window == hash.as_ref()));
    }

    proptest! {
        #[test]
        fn no_image_makes_the_reader_panic(
            changes in prop::collection::vec((0..1024_usize, any::<u32>()), 1..6),
            len in 0..1100_usize,
        ) {
            let mut bytes = image(&[7; 76], 8);
            for (at, value) in changes {
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            bytes.truncate(len);
            if let Ok(parts) = hashed_parts(&bytes) {
                prop_assert!(parts.len() <= SECTIONS_MAX + 4);
            }
        }
    }
}
