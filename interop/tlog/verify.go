// Verifies a registry's transparency log with the packages by which go verifies sum.golang.org: the signed note, that an entry is in the
// log, and that the log continues an older checkpoint. What is read of a checkpoint is read here, since tlog.ParseTree knows one origin
// alone.
//
// verify URL VKEY ORIGIN INDEX OLDER reads the entry from standard input. OLDER is a file with a checkpoint that was kept.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Hashes of a tile, as a power of two.
const height = 8

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 5 {
		return errors.New("verify URL VKEY ORIGIN INDEX OLDER")
	}
	url, vkey, origin, older := arguments[0], arguments[1], arguments[2], arguments[4]
	index, err := strconv.ParseInt(arguments[3], 10, 64)
	if err != nil {
		return err
	}
	entry, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	signed, err := get(url + "/log/checkpoint")
	if err != nil {
		return err
	}
	tree, err := opened(signed, verifier, origin)
	if err != nil {
		return err
	}
	kept, err := os.ReadFile(older)
	if err != nil {
		return err
	}
	before, err := opened(kept, verifier, origin)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, tiles(url))
	record, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(record, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return fmt.Errorf("the entry is not in the log: %w", err)
	}
	proof, err := tlog.ProveTree(tree.N, before.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
		return fmt.Errorf("the log does not continue the older one: %w", err)
	}
	fmt.Printf("entry %d of %d, which continue %d\n", index, tree.N, before.N)
	return nil
}

// The tree of a checkpoint that the key has signed.
func opened(signed []byte, verifier note.Verifier, origin string) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", origin)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, errors.New("not a root")
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// The tiles below this address, none of which is kept.
type tiles string

func (url tiles) Height() int { return height }

func (url tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		// Go has the height in the path, and C2SP has not.
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		hashes, err := get(string(url) + "/log/" + path)
		if err != nil {
			return nil, err
		}
		read = append(read, hashes)
	}
	return read, nil
}

func (url tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 1<<20))
}
