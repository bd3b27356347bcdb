//! Hostile containers.

use ring::digest::{SHA256, digest};

use super::testing::GgufWriter;
use super::*;
use crate::LoadError;

fn header(bytes: &[u8]) -> Result<Header, LoadError> {
    let mut source = bytes;
    let mut progress = |_| {};
    Header::read(&mut DigestingReader::new(&mut source, bytes.len() as u64, &mut progress))
}

fn tensors(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, LoadError> {
    let mut source = bytes;
    let mut progress = |_| {};
    let mut reader = DigestingReader::new(&mut source, bytes.len() as u64, &mut progress);
    let header = Header::read(&mut reader)?;
    let mut tensors = TensorReader::new(&mut reader, header.tensors, header.data_offset)?;
    let mut all = Vec::new();
    while let Some((info, bytes)) = tensors.next_tensor()? {
        all.push((info.name, bytes));
    }
    assert_eq!(reader.finish()?, sha256(bytes));
    Ok(all)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn sample() -> GgufWriter {
    GgufWriter::default()
        .string("general.architecture", "llama")
        .strings("tokenizer.ggml.tokens", &["a", "b"])
        .f32("llama.rope.freq_base", 1e4)
        .bool("tokenizer.ggml.add_bos_token", true)
        .string("tokenizer.chat_template", "{{ messages }}")
        .tensor("one", &[4, 2], 0, vec![1; 32])
        .tensor("two", &[32], 8, vec![2; 34])
        .tensor("three", &[2], 1, vec![3; 4])
}

#[test]
fn reads_what_was_written() {
    let bytes = sample().build();
    let header = header(&bytes).unwrap();
    assert_eq!(header.metadata.string("general.architecture").unwrap(), "llama");
    assert_eq!(header.metadata.optional_f32("llama.rope.freq_base").unwrap(), Some(1e4));
    assert_eq!(header.metadata.optional_strings("tokenizer.ggml.tokens").unwrap().unwrap(), ["a", "b"]);
    assert_eq!(header.tensors[0].shape, [2, 4]);
    let names: Vec<String> = tensors(&bytes).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["one", "two", "three"]);
    assert_eq!(tensors(&bytes).unwrap()[1].1, [2; 34]);
}

#[test]
fn digests_are_of_the_entries_bytes_in_file_order() {
    let writer = sample();
    let header = header(&writer.build()).unwrap();
    let entries =
        [writer.entry("tokenizer.ggml.tokens"), writer.entry("tokenizer.ggml.add_bos_token")].concat();
    assert_eq!(header.tokenizer_sha256, sha256(&entries));
    assert_eq!(header.chat_template_sha256, Some(sha256(&writer.entry("tokenizer.chat_template"))));
    let without = super::tests::header(&writer.without("tokenizer.chat_template").build()).unwrap();
    assert_eq!(without.chat_template_sha256, None);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = sample().build();
    // The last tensor ends before the padding.
    for length in 0..bytes.len() - 28 {
        let error = tensors(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, LoadError::Truncated { .. } | LoadError::NotGguf { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn no_byte_makes_it_panic_or_allocate_beyond_the_file() {
    let bytes = sample().build();
    for position in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[position] = value;
            let _ = tensors(&changed);
        }
    }
}

#[test]
fn hostile_counts_and_lengths() {
    let bytes = sample().build();
    let with = |offset: usize, value: &[u8]| {
        let mut changed = bytes.clone();
        changed[offset..offset + value.len()].copy_from_slice(value);
        tensors(&changed).unwrap_err().code()
    };
    assert_eq!(with(0, b"GGML"), "not-gguf");
    assert_eq!(with(4, &1_u32.to_le_bytes()), "unsupported-version");
    // A big-endian file.
    assert_eq!(with(4, &3_u32.to_be_bytes()), "unsupported-version");
    assert_eq!(with(8, &u64::MAX.to_le_bytes()), "too-large");
    // More tensors than there are: the data is taken for a directory.
    assert_eq!(with(8, &65_536_u64.to_le_bytes()), "too-large");
    assert_eq!(with(16, &u64::MAX.to_le_bytes()), "too-large");
    assert_eq!(with(24, &u64::MAX.to_le_bytes()), "too-large");
    // The first value: its type, then its length.
    let value = 24 + 8 + "general.architecture".len();
    assert_eq!(with(value, &13_u32.to_le_bytes()), "malformed");
    assert_eq!(with(value + 4, &u64::MAX.to_le_bytes()), "truncated");
    assert_eq!(with(value + 12, b"\xff"), "malformed");
}

#[test]
fn hostile_values() {
    let code = |kind: u32, value: &[u8]| {
        header(&GgufWriter::default().raw("key", kind, value).build()).unwrap_err().code()
    };
    let array = |kind: u32, count: u64| [kind.to_le_bytes().to_vec(), count.to_le_bytes().to_vec()].concat();
    assert_eq!(code(7, &[2]), "malformed");
    assert_eq!(code(9, &array(4, u64::MAX)), "too-large");
    assert_eq!(code(9, &array(0, 1 << 40)), "truncated");
    assert_eq!(code(9, &array(8, 1 << 60)), "truncated");
    assert_eq!(code(9, &array(99, 1)), "malformed");
    let mut nested = Vec::new();
    for _ in 0..4 {
        nested.extend(array(9, 1));
    }
    nested.extend(array(0, 0));
    assert_eq!(code(9, &nested), "malformed");
    // Arrays of arrays as such are read past.
    let shallow = [array(9, 1), array(4, 1), vec![1, 0, 0, 0]].concat();
    header(&GgufWriter::default().raw("key", 9, &shallow).build()).unwrap();
    let alignment = GgufWriter::default().u32("general.alignment", 33).build();
    assert_eq!(header(&alignment).unwrap_err().code(), "metadata-value");
}

#[test]
fn hostile_directories() {
    let code = |writer: GgufWriter| tensors(&writer.build()).unwrap_err().code();
    let tensor = |dimensions: &[u64], kind| GgufWriter::default().tensor("t", dimensions, kind, vec![0; 64]);
    assert_eq!(code(tensor(&[], 0)), "malformed");
    assert_eq!(code(tensor(&[1; 5], 0)), "malformed");
    assert_eq!(code(tensor(&[0], 0)), "malformed");
    assert_eq!(code(tensor(&[1 << 40, 1 << 40], 0)), "malformed");
    assert_eq!(code(tensor(&[1 << 40], 0)), "truncated");
    assert_eq!(code(tensor(&[31], 8)), "malformed");
    for (kind, name) in [(16, "IQ2_XXS"), (4, "number 4"), (15, "Q8_K"), (u32::MAX, "number 4294967295")] {
        let error = tensors(&tensor(&[256], kind).build()).unwrap_err();
        assert!(
            matches!(&error, LoadError::UnsupportedQuantization { found, .. } if found == name),
            "{error}"
        );
    }
    // Both tensors begin at 0.
    let mut bytes = sample().build();
    let name = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[name + 3 + 4 + 8 + 4] = 0;
    assert_eq!(tensors(&bytes).unwrap_err().code(), "overlapping-tensor");
    bytes[name..name + 3].copy_from_slice(b"one");
    assert_eq!(tensors(&bytes).unwrap_err().code(), "duplicate-tensor");
}

#[test]
fn a_key_may_stand_once() {
    let mut bytes = GgufWriter::default().u32("key", 1).u32("kex", 1).build();
    let second = bytes.windows(3).position(|window| window == b"kex").unwrap();
    bytes[second + 2] = b'y';
    assert_eq!(header(&bytes).unwrap_err().code(), "duplicate-key");
}
