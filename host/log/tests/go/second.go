// A second reader and writer of logs, over the Go team's own libraries for notes and tiled trees
// (golang.org/x/mod/sumdb). The tests run it on what this repository's log and witnesses wrote, and read
// what it writes.
//
//	second read FOLDER LOG_KEY [WITNESS_KEY ...]   verifies a published log, and prints what it saw
//	second write ORIGIN SIZE ROOT TIME             signs and cosigns a checkpoint with fresh keys
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	switch {
	case len(os.Args) >= 4 && os.Args[1] == "read":
		read(os.Args[2], os.Args[3], os.Args[4:])
	case len(os.Args) == 6 && os.Args[1] == "write":
		write(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	default:
		fmt.Fprintln(os.Stderr, "second read FOLDER LOG_KEY [WITNESS_KEY ...] | second write ORIGIN SIZE ROOT TIME")
		os.Exit(2)
	}
}

// A cosignature/v1 key (c2sp.org/tlog-cosignature): Ed25519 over the time and the checkpoint.
const cosignature = 4

type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newWitness(vkey string) (*witness, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("no verifier key: %q", vkey)
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != cosignature {
		return nil, fmt.Errorf("no cosignature/v1 key: %q", vkey)
	}
	if keyHash(parts[0], key) != uint32(hash) {
		return nil, fmt.Errorf("the key's hash is not its own: %q", vkey)
	}
	return &witness{parts[0], uint32(hash), key[1:]}, nil
}

func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:4])
}

func cosigned(time uint64, text []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...)
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(text, sig []byte) bool {
	return len(sig) == 72 && ed25519.Verify(w.key, cosigned(binary.BigEndian.Uint64(sig), text), sig[8:])
}

// The files of c2sp.org/tlog-tiles, whose paths leave out the height that x/mod's have.
type files string

func (f files) Height() int                     { return 8 }
func (f files) SaveTiles([]tlog.Tile, [][]byte) {}
func (f files) path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	return filepath.Join(string(f), strings.Replace(path, "tile/8/", "tile/", 1))
}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	read := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := os.ReadFile(f.path(tile))
		if err != nil {
			return nil, err
		}
		read[i] = data
	}
	return read, nil
}

func read(folder, logKey string, witnessKeys []string) {
	verifier, err := note.NewVerifier(logKey)
	check(err)
	verifiers := []note.Verifier{verifier}
	for _, vkey := range witnessKeys {
		witness, err := newWitness(vkey)
		check(err)
		verifiers = append(verifiers, witness)
	}
	message, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	check(err)
	opened, err := note.Open(message, note.VerifierList(verifiers...))
	check(err)
	if opened.Sigs[0].Name != verifier.Name() {
		check(fmt.Errorf("the log's own signature is not the first"))
	}
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("the origin is not the key's name"))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	bytes, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	var root tlog.Hash
	copy(root[:], bytes)
	tree := tlog.Tree{N: size, Hash: root}

	// The reader holds every tile that it reads against the root.
	reader := tlog.TileHashReader(tree, files(folder))
	computed, err := tlog.TreeHash(size, reader)
	check(err)
	if computed != root {
		check(fmt.Errorf("the tree's hash is not the root"))
	}
	leaves := readLeaves(files(folder), size)
	for index, leaf := range leaves {
		// Every hash that is built from a leaf is read somewhere; proofs for some of them.
		if index%997 != 0 && int64(index) != size-1 {
			continue
		}
		proof, err := tlog.ProveRecord(size, int64(index), reader)
		check(err)
		check(tlog.CheckRecord(proof, size, root, int64(index), tlog.RecordHash(leaf)))
	}
	for _, older := range []int64{1, 255, 256, 257, size / 2, size - 1} {
		if older < 1 || older >= size {
			continue
		}
		hash, err := tlog.TreeHash(older, reader)
		check(err)
		proof, err := tlog.ProveTree(size, older, reader)
		check(err)
		check(tlog.CheckTree(proof, size, root, older, hash))
	}
	fmt.Printf("size=%d root=%s leaves=%d signatures=%d unknown=%d\n",
		size, root, len(leaves), len(opened.Sigs), len(opened.UnverifiedSigs))
}

// All leaves, each with two bytes of length before it.
func readLeaves(from files, size int64) [][]byte {
	var leaves [][]byte
	for first := int64(0); first < size; first += 256 {
		tile := tlog.Tile{H: 8, L: -1, N: first / 256, W: 256}
		if size-first < 256 {
			tile.W = int(size - first)
		}
		data, err := os.ReadFile(from.path(tile))
		check(err)
		for n := 0; n < tile.W; n++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				check(fmt.Errorf("a bundle ends within leaf %d", len(leaves)))
			}
			length := int(binary.BigEndian.Uint16(data))
			leaves = append(leaves, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) != 0 {
			check(fmt.Errorf("a bundle goes on behind its last leaf"))
		}
	}
	return leaves
}

type signer struct {
	name string
	hash uint32
	sign func([]byte) ([]byte, error)
}

func (s *signer) Name() string                     { return s.name }
func (s *signer) KeyHash() uint32                  { return s.hash }
func (s *signer) Sign(text []byte) ([]byte, error) { return s.sign(text) }

func write(origin, size, root, at string) {
	secret, logKey, err := note.GenerateKey(rand.Reader, origin)
	check(err)
	log, err := note.NewSigner(secret)
	check(err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	time, err := strconv.ParseUint(at, 10, 64)
	check(err)
	const name = "witness.example/go"
	key := append([]byte{cosignature}, public...)
	sign := func(text []byte) ([]byte, error) {
		var stamp [8]byte
		binary.BigEndian.PutUint64(stamp[:], time)
		return append(stamp[:], ed25519.Sign(private, cosigned(time, text))...), nil
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%s\n%s\n", origin, size, root)},
		log, &signer{name, keyHash(name, key), sign})
	check(err)
	fmt.Printf("%s\n%s+%08x+%s\n%s", logKey, name, keyHash(name, key), base64.StdEncoding.EncodeToString(key), signed)
}
