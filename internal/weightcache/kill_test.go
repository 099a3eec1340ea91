package weightcache

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// makerFolder has a process of this test make the file of killWish in a folder, and tell each thing that it does.
const makerFolder = "WEIGHTCACHE_TEST_MAKER"

func killWish() Wish { return wish(3000, 50_000, 1, 20_000, 4096) }

func TestMain(m *testing.M) {
	if dir := os.Getenv(makerFolder); dir != "" {
		if err := maker(Folder{Path: dir}, killWish()); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// maker says a line before each step, and waits until it was heard: so can be killed anywhere.
func maker(d Folder, w Wish) error {
	heard := bufio.NewReader(os.Stdin)
	say := func(what string) { fmt.Println(what); heard.ReadByte() }
	say("open")
	x, err := d.Open(context.Background(), w, nobody)
	if err != nil {
		return err
	}
	data := make([]byte, x.Size)
	if _, err := x.f.ReadAt(data, 0); err != nil {
		return err
	}
	for i, b := range contents(w) {
		if x.Made(i) && x.Compare(i, data) {
			say("has " + strconv.Itoa(i))
			continue
		}
		for from := 0; from < len(b); from += 10_000 {
			say("write " + strconv.Itoa(i))
			n := copy(data[x.At[i]+int64(from):], b[from:min(len(b), from+10_000)])
			if _, err := x.f.WriteAt(b[from:from+n], x.At[i]+int64(from)); err != nil {
				return err
			}
		}
		say("note " + strconv.Itoa(i))
		if err := x.Note(i, data); err != nil {
			return err
		}
		say("noted " + strconv.Itoa(i))
	}
	say("seal")
	if err := x.Seal(); err != nil {
		return err
	}
	say("sealed")
	return nil
}

// TestKilledAnywhere kills makers one after the other, each some steps further: none loses more than the module it was at, and the file that comes of
// it is whole.
func TestKilledAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 3))
	for range 3 {
		d, noted := folder(t), []int{}
		for life := 0; ; life++ {
			steps := runMaker(t, d, 2+rng.IntN(6)+life)
			var has []int
			for _, s := range steps {
				what, n, _ := strings.Cut(s, " ")
				i, _ := strconv.Atoi(n)
				switch what {
				case "failed":
					t.Fatal(s)
				case "has":
					has = append(has, i)
				case "write":
					if slices.Contains(noted, i) {
						t.Fatalf("life %d: module %d was noted and is made again", life, i)
					}
				case "noted":
					noted = append(noted, i)
				}
			}
			if slices.Contains(steps, "sealed") {
				break
			}
			if len(has) > len(noted) {
				t.Errorf("life %d has %v, noted were %v", life, has, noted)
			}
		}
		x := opened(t, d, killWish())
		if !x.IsSealed() {
			t.Error("it is not finished")
		}
		holds(t, x, killWish())
		x.Close()
	}
}

// runMaker lets a process make so many steps and kills it, and says what it did.
func runMaker(t *testing.T, d Folder, steps int) (done []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), makerFolder+"="+d.Path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for len(done) < steps && lines.Scan() {
		done = append(done, lines.Text())
		if len(done) < steps {
			in.Write([]byte{1})
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	return done
}
