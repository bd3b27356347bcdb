//! Every level gives the scalar path's bits, for any number of threads and tokens; and the scalar path
//! agrees with the tensor library's dequantisation.

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device};
use proptest::prelude::*;

use super::*;

/// Pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }

    /// Between -1 and 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.unit()).collect()
    }

    /// A tensor of arbitrary bits, with scales that are numbers.
    fn tensor(&mut self, storage: GgmlDType, blocks: usize) -> Vec<u8> {
        let scales: &[usize] = match storage {
            GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
            GgmlDType::Q6K => &[208],
            GgmlDType::Q3K => &[108],
            _ => &[0],
        };
        let mut bytes = Vec::new();
        for _ in 0..blocks {
            let mut block: Vec<u8> = (0..storage.type_size()).map(|_| (self.next() >> 33) as u8).collect();
            match storage {
                GgmlDType::F32 => block = self.unit().to_le_bytes().to_vec(),
                GgmlDType::F16 => block = half::f16::from_f32(self.unit()).to_le_bytes().to_vec(),
                GgmlDType::BF16 => block = half::bf16::from_f32(self.unit()).to_le_bytes().to_vec(),
                _ => {
                    for at in scales {
                        let scale = half::f16::from_f32(self.unit() / 64.0);
                        block[*at..][..2].copy_from_slice(&scale.to_le_bytes());
                    }
                }
            }
            bytes.extend(block);
        }
        bytes
    }
}

const STORAGES: [GgmlDType; 10] = [
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
    GgmlDType::Q8_0,
    GgmlDType::Q5_0,
    GgmlDType::Q4_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
    GgmlDType::Q3K,
];

fn matrix(random: &mut Random, storage: GgmlDType, rows: usize, columns: usize) -> (Matrix, Vec<u8>) {
    let bytes = random.tensor(storage, rows * columns / storage.block_size());
    let pool = Pool::new(2, scalar()).unwrap();
    (Matrix::pack(&pool, storage, rows, columns, &bytes).unwrap().unwrap(), bytes)
}

fn rows_of(values: &[f32], width: usize) -> Rows {
    let mut rows = Rows::default();
    rows.reset(values.len() / width, width).copy_from_slice(values);
    rows
}

fn product_of(pool: &Pool, matrix: &Matrix, values: &[f32]) -> Vec<u32> {
    let mut rows = rows_of(values, matrix.columns);
    let mut output = Rows::default();
    products(pool, &mut rows, [Product { matrix, output: &mut output }]);
    output.values().iter().map(|value| value.to_bits()).collect()
}

fn scalar() -> Level {
    Level::testable()[0]
}

#[test]
fn what_this_machine_has_is_found() {
    let names: Vec<_> = Level::testable().into_iter().map(Level::name).collect();
    println!("levels: {names:?}");
    assert_eq!((names[0], names[names.len() - 1]), ("scalar", "emulated avx512-vnni"));
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(names.contains(&"avx2"), is_x86_feature_detected!("avx2"));
        assert_eq!(names.contains(&"avx512-vnni"), is_x86_feature_detected!("avx512vnni"));
    }
}

#[test]
fn panels_hold_what_files_hold() {
    let mut random = Random(1);
    for storage in STORAGES {
        let (rows, columns) = (37, 512);
        let (matrix, bytes) = matrix(&mut random, storage, rows, columns);
        let expected = match storage {
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => {
                let dtype = match storage {
                    GgmlDType::F32 => DType::F32,
                    GgmlDType::F16 => DType::F16,
                    _ => DType::BF16,
                };
                candle_core::Tensor::from_raw_buffer(&bytes, dtype, &[rows, columns], &Device::Cpu)
                    .unwrap()
                    .to_dtype(DType::F32)
                    .unwrap()
            }
            _ => {
                let data = QStorage::from_data((&bytes).into(), &Device::Cpu, storage).unwrap();
                QTensor::new(data, (rows, columns)).unwrap().dequantize(&Device::Cpu).unwrap()
            }
        };
        for (index, expected) in expected.to_vec2::<f32>().unwrap().iter().enumerate() {
            let mut row = vec![0.0; columns];
            matrix.row(index, &mut row);
            for (ours, theirs) in row.iter().zip(expected) {
                assert!(
                    (ours - theirs).abs() <= 1e-6 * theirs.abs().max(1e-3),
                    "{storage:?} {ours} {theirs}"
                );
            }
        }
    }
}

#[test]
fn products_are_what_the_values_say() {
    let mut random = Random(2);
    let pool = Pool::single(Level::detect());
    for storage in STORAGES {
        let (rows, columns) = (33, 768);
        let (matrix, _) = matrix(&mut random, storage, rows, columns);
        let values = random.floats(3 * columns);
        let output = product_of(&pool, &matrix, &values);
        for (token, output) in output.chunks(rows).enumerate() {
            for (row, output) in output.iter().enumerate() {
                let mut weights = vec![0.0; columns];
                matrix.row(row, &mut weights);
                let terms = || {
                    weights
                        .iter()
                        .zip(&values[token * columns..])
                        .map(|(weight, value)| f64::from(*weight) * f64::from(*value))
                };
                let expected: f64 = terms().sum();
                // Quantising activations errs by at most 1/254 of a block's greatest, at random.
                let size = terms().map(|term| term * term).sum::<f64>().sqrt();
                let error = (f64::from(f32::from_bits(*output)) - expected).abs();
                assert!(error < 0.02 * size, "{storage:?} {error} of {size}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_level_thread_count_and_company_gives_the_same_bits(
        seed: u64,
        storage in prop::sample::select(&STORAGES[..]),
        rows in 1_usize..70,
        blocks in 1_usize..4,
        tokens in 1_usize..20,
        spread in -20.0_f32..20.0,
    ) {
        let mut random = Random(seed);
        let columns = match storage.block_size() {
            1 => blocks * 100 + 3,
            size => blocks * size,
        };
        let (matrix, _) = matrix(&mut random, storage, rows, columns);
        let scale = spread.exp2();
        let values: Vec<f32> = random.floats(tokens * columns).iter().map(|value| value * scale).collect();
        let expected = product_of(&Pool::single(scalar()), &matrix, &values);
        for level in Level::testable() {
            for threads in [1, 2, 5] {
                let pool = Pool::new(threads, level).unwrap();
                prop_assert_eq!(&product_of(&pool, &matrix, &values), &expected, "{} {}", level.name(), threads);
            }
            let alone: Vec<u32> = values
                .chunks(columns)
                .flat_map(|values| product_of(&Pool::single(level), &matrix, values))
                .collect();
            prop_assert_eq!(&alone, &expected, "one by one, {}", level.name());
        }
    }

    #[test]
    fn attention_is_the_same_on_every_level(
        seed: u64,
        sharing in 1_usize..10,
        width in (1_usize..40).prop_map(|half| 2 * half),
        last in 0_usize..100,
        window in 1_usize..120,
        full_precision: bool,
    ) {
        let mut random = Random(seed);
        let shape = KvShape { layers: 2, heads: 2, width, full_precision };
        let mut blocks: Vec<KvBlock> = Vec::new();
        // Beyond the last position lies what must not be seen.
        for position in 0..(last + 1).next_multiple_of(POSITIONS_PER_BLOCK) {
            if position % POSITIONS_PER_BLOCK == 0 {
                blocks.push(KvBlock::new(shape).unwrap());
            }
            let (key, value) = (random.floats(width), random.floats(width));
            let (key, value) =
                if position > last { (vec![f32::NAN; width], vec![f32::NAN; width]) } else { (key, value) };
            blocks.last_mut().unwrap().store(1, 1, position % POSITIONS_PER_BLOCK, &key, &value);
        }
        let queries = random.floats(sharing * width);
        let first = (last + 1).saturating_sub(window);
        let heads = Heads { blocks: &blocks, layer: 1, head: 1, first, last };
        let run = |level, queries: &[f32]| {
            let mut output = vec![0.0; queries.len()];
            attend(level, heads, queries, &mut output);
            prop_assert!(output.iter().all(|value| value.abs() <= 1.01), "an average of values: {output:?}");
            Ok(output.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
        };
        let expected = run(scalar(), &queries)?;
        for level in Level::testable() {
            prop_assert_eq!(&run(level, &queries)?, &expected, "{}", level.name());
            let mut alone = Vec::new();
            for query in queries.chunks(width) {
                alone.extend(run(level, query)?);
            }
            prop_assert_eq!(&alone, &expected, "head by head, {}", level.name());
        }
    }

    #[test]
    fn value_by_value_functions_are_the_same_on_every_level(seed: u64, count in 1_usize..100) {
        let mut random = Random(seed);
        let from: Vec<f32> = random.floats(2 * count).iter().map(|value| value * 30.0).collect();
        let weight = random.floats(2 * count);
        let run = |level: Level| {
            let mut all = Vec::new();
            let mut to = weight.clone();
            rms_norm(level, &from, &weight, 1e-5, &mut to);
            all.push(to.clone());
            for gate in [Gate::Silu, Gate::GeluTanh] {
                gated(level, gate, &from, &mut to);
                all.push(to.clone());
            }
            add(level, &from, &mut to);
            all.push(to.clone());
            add_scaled(level, 0.3, &from, &mut to);
            all.push(to.clone());
            rotate_pairs(level, &from, &weight, &mut to);
            all.push(to.clone());
            rotate_halves(level, &weight, &from, &mut to);
            all.push(to.clone());
            let mut total = 0.0;
            to.resize(to.len().next_multiple_of(LANES), f32::NEG_INFINITY);
            float::weigh(level, &mut to, &mut total);
            all.push(to);
            all.push(vec![total]);
            all.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let expected = run(scalar());
        for level in Level::testable() {
            prop_assert_eq!(&run(level), &expected, "{}", level.name());
        }
    }
}

#[test]
fn the_exponential_function_is_close() {
    let mut worst = 0.0_f64;
    for step in 0..=1_750_000 {
        let x = -87.0 + 1e-4 * step as f32;
        let exact = f64::from(x).exp();
        worst = worst.max((f64::from(float::exp(x)) - exact).abs() / exact);
    }
    println!("worst relative error: {worst:.2e}");
    assert!(worst < 2.0 * f64::from(f32::EPSILON));
    assert_eq!(float::exp(0.0), 1.0);
    assert_eq!(float::exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(float::exp(-88.0), 0.0);
    assert!(float::exp(1000.0).is_finite());
    assert!(float::exp(f32::NAN).is_nan());
}

#[test]
fn what_is_no_number_shows_in_every_result() {
    for level in Level::testable() {
        let pool = Pool::single(level);
        let mut random = Random(3);
        for storage in STORAGES {
            let (matrix, _) = matrix(&mut random, storage, 20, 256);
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = vec![0.5; 256];
                values[100] = wrong;
                let output = product_of(&pool, &matrix, &values);
                assert!(output.iter().all(|bits| !f32::from_bits(*bits).is_finite()), "{storage:?} {wrong}");
            }
        }
    }
}

#[test]
fn tiny_and_huge_activations() {
    let mut random = Random(4);
    let (matrix, _) = matrix(&mut random, GgmlDType::Q8_0, 16, 64);
    for (value, zero) in [(1e-38_f32, true), (1e-31, true), (1e-20, false), (1e30, false), (0.0, true)] {
        let expected = product_of(&Pool::single(scalar()), &matrix, &[value; 64]);
        assert_eq!(expected.iter().all(|bits| f32::from_bits(*bits) == 0.0), zero, "{value}");
        for level in Level::testable() {
            assert_eq!(product_of(&Pool::single(level), &matrix, &[value; 64]), expected);
        }
    }
}

#[test]
fn activations_round_to_nearest_and_ties_to_even() {
    let mut values = [0.0; 32];
    for (at, value) in [127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49].into_iter().enumerate() {
        values[at] = value;
    }
    let mut rows = rows_of(&values, 32);
    rows.quantize(&Pool::single(scalar()));
    let quants: Vec<i8> = rows.blocks(0)[0].quants[..2]
        .iter()
        .flat_map(|word| word.to_le_bytes().map(u8::cast_signed))
        .collect();
    assert_eq!(quants, [127, 0, 2, 2, 0, -2, -2, 0]);
    assert_eq!(rows.blocks(0)[0].sums, [127, 0]);
    assert_eq!(rows.blocks(0).len(), 2, "blocks come in pairs");
}

mod threads {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads, scalar()).unwrap();
            assert_eq!(pool.threads(), threads);
            for round in 0..200 {
                let session = (round % 3 == 0).then(|| pool.session());
                let counts: Vec<AtomicUsize> = (0..round).map(|_| AtomicUsize::new(0)).collect();
                pool.pieces(round, &|piece| {
                    counts[piece].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                drop(session);
            }
        }
    }

    #[test]
    fn chunks_cover_everything() {
        let pool = Pool::new(3, scalar()).unwrap();
        let _session = pool.session();
        for (length, size) in [(0, 4), (1, 4), (100, 7), (8, 100), (64, 1)] {
            let mut data = vec![0; length];
            pool.chunks(&mut data, size, |index, chunk| {
                for (at, value) in chunk.iter_mut().enumerate() {
                    *value = index * size + at + 1;
                }
            });
            assert_eq!(data, (1..=length).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(3, scalar()).unwrap();
        for culprit in [0, 5, 63] {
            let run = || pool.pieces(64, &|piece| assert!(piece != culprit, "a deliberate panic"));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
            let done = AtomicUsize::new(0);
            pool.pieces(64, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 64);
        }
    }
}
