//! Time per verification, this repository's verifier beside `dcap-qvl` and `sev` in one run.

use criterion::{Criterion, criterion_group, criterion_main};
use vouchsafe_verifier_bench::cases;

fn verification(criterion: &mut Criterion) {
    let Some(cases) = cases() else {
        eprintln!("NOT RUN: the benchmark (no fixtures)");
        return;
    };
    for case in cases {
        assert!((case.ours)(), "{} is refused here", case.name);
        assert!((case.theirs)(), "{} is refused by {}", case.name, case.peer);
        let mut group = criterion.benchmark_group(case.name);
        group.bench_function("vouchsafe", |bencher| bencher.iter(&case.ours));
        group.bench_function(case.peer, |bencher| bencher.iter(&case.theirs));
        group.finish();
    }
}

criterion_group!(benches, verification);
criterion_main!(benches);
