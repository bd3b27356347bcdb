//! What the log serves, and how it refuses.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use vouchsafe_translog::build::TreeReader;
use vouchsafe_translog::{SignedCheckpoint, Tile};
use vouchsafe_verifier::crypto::Ring;

use crate::common::{AdmitAll, ORIGIN, Place, Running, config, leaf, request};

#[tokio::test]
async fn leaves_are_proved_and_served_as_static_files() {
    let place = Place::new();
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config(Vec::new(), 1)).await;
    let leaves: Vec<_> = (0..700).map(|n| leaf(n).bytes).collect();
    let slices: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    for chunk in slices.chunks(150) {
        running.settle(chunk).await.verify(place.key.public(), chunk);
    }
    let checkpoint = running.get("/checkpoint").await;
    assert_eq!(checkpoint.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(checkpoint.headers()["cache-control"], "public, max-age=1");
    let key = place.key.public().clone();
    let opened = SignedCheckpoint::open(checkpoint.body(), ORIGIN, &[key], &Ring).unwrap();
    assert_eq!(opened.checkpoint().size(), 700);

    let mut served = std::collections::HashMap::new();
    for tile in Tile::grown(0, 700) {
        let hashes = running.get(&format!("/{}", tile.path())).await;
        assert_eq!(hashes.status(), StatusCode::OK, "{}", tile.path());
        assert_eq!(hashes.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(hashes.headers()["content-type"], "application/octet-stream");
        assert_eq!(hashes.headers()["access-control-allow-origin"], "*");
        served.insert(tile, hashes.into_body().to_vec());
        if tile.level() == 0 {
            let entries = running.get(&format!("/{}", tile.entries_path())).await;
            let first = usize::try_from(tile.first_leaf()).unwrap();
            assert_eq!(tile.leaves(entries.body()).unwrap(), &slices[first..first + tile.width()]);
        }
    }
    let mut reader = TreeReader::new(700, |tile| served.get(&tile).cloned().ok_or(()), &Ring);
    assert_eq!(reader.root().unwrap(), *opened.checkpoint().root());
    // Partial tiles of earlier checkpoints are cut from the full one once it is there.
    let partial = running.get("/tile/entries/000.p/150").await;
    assert_eq!(partial.status(), StatusCode::OK);
    let hashes = running.get("/tile/0/000.p/150").await;
    assert_eq!(hashes.body().len(), 150 * 32);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_added_is_found_again_and_refusals_are_said_leaf_by_leaf() {
    let place = Place::with_leaves(0);
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config(Vec::new(), 1)).await;
    let first = running.settle(&[b"a", b"b"]).await.verify(place.key.public(), &[b"a", b"b"]);
    let again = running.settle(&[b"b", b"c", b"a", b"c"]).await;
    let again = again.verify(place.key.public(), &[b"b", b"c", b"a", b"c"]);
    assert_eq!((first, again), (vec![0, 1], vec![1, 2, 0, 2]));
    let mixed = running.settle(&[b"", b"d"]).await;
    assert_eq!(mixed.leaves[0].as_ref().unwrap_err(), "empty");
    assert_eq!(mixed.leaves[1].as_ref().unwrap().0, 3);
    let nothing = running.settle(&[]).await;
    assert!(nothing.leaves.is_empty());
    let metrics = running.metrics().await;
    assert!(metrics.contains("vouchsafe_log_leaves_total{result=\"new\"} 4\n"), "{metrics}");
    assert!(metrics.contains("vouchsafe_log_leaves_total{result=\"refused\"} 1\n"), "{metrics}");
    running.stop().await.unwrap();
    // A new process knows them as well.
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config(Vec::new(), 1)).await;
    let again = running.settle(&[b"c", b"a"]).await.verify(place.key.public(), &[b"c", b"a"]);
    assert_eq!(again, [2, 0]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn malformed_requests_are_refused_with_a_code() {
    let place = Place::new();
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config(Vec::new(), 1)).await;
    running.settle(&[b"a"]).await;
    let at = running.at.log;
    let cases: [(Method, &str, Vec<u8>, u16, &str); 10] = [
        (Method::POST, "/add", vec![0, 5, 1], 400, "bundle"),
        (Method::POST, "/add", vec![0; 2 * 5_000], 400, "bundle"),
        (Method::POST, "/add", vec![0; (1 << 20) + 1], 413, "too_large"),
        (Method::POST, "/blob", vec![0; (256 << 10) + 1], 413, "too_large"),
        (Method::GET, "/tile/0/001", Vec::new(), 404, "not_found"),
        (Method::GET, "/tile/0/000.p/256", Vec::new(), 404, "not_found"),
        (Method::GET, "/tile/../log.sqlite", Vec::new(), 404, "not_found"),
        (Method::GET, "/blob/00", Vec::new(), 404, "not_found"),
        (Method::GET, "/key", Vec::new(), 404, "not_found"),
        (Method::PUT, "/checkpoint", Vec::new(), 405, "method"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = request(at, method.clone(), path, body).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        assert_eq!(*answer.body(), format!("{{\"error\":\"{code}\"}}"), "{method} {path}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    let head = request(at, Method::HEAD, "/tile/0/000.p/1", Vec::new()).await;
    assert_eq!((head.headers()["content-length"].to_str().unwrap(), head.body().len()), ("32", 0));
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let blob = request(at, Method::POST, "/blob", b"abc".to_vec()).await;
    assert_eq!(*blob.body(), format!("{{\"sha256\":\"{sha256}\"}}"));
    // Nobody named it: it is held, not served.
    assert_eq!(running.get(&format!("/blob/{sha256}")).await.status(), StatusCode::NOT_FOUND);
    running.stop().await.unwrap();
}
