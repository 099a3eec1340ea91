package ptx

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the assembler (13.5) said of a kernel that spills, and of one that does not.
const said = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'spills' for 'sm_120'
ptxas info    : Function properties for spills
    24 bytes stack frame, 16 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compile time = 694.555 ms
ptxas info    : Compiling entry function 'add' for 'sm_120'
ptxas info    : Function properties for add
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 19 registers, used 0 barriers
ptxas info    : Compile time = 4.439 ms
`

func TestUsesAreRead(t *testing.T) {
	all, err := uses(said)
	if err != nil || len(all) != 2 || all["spills"] != (Use{128, 24, 56, 0, 1024}) || all["add"] != (Use{Registers: 19}) {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := uses(strings.Replace(said, "Used 19", "Uses 19", 1)); err == nil {
		t.Error("a kernel without registers is believed")
	}
	rows := []Row{{File: "f", Kernel: "spills", Uses: []Use{all["add"], all["spills"]}}, {File: "f", Kernel: "add", Uses: []Use{all["add"]}}}
	const line = "f.cu: spills on sm_86: 24 bytes of local memory, 56 bytes of spills in the code"
	if told, bad := Spills(rows); len(told) != 1 || told[0] != line || bad != 0 {
		t.Errorf("%q, %d", told, bad)
	}
	rows[0].Uses[1].Again = 3
	if told, bad := Spills(rows); len(told) != 1 || told[0] != line+", 3 loads and stores of it IN A LOOP" || bad != 1 {
		t.Errorf("%q, %d", told, bad)
	}
}

// The occupancy calculator of NVIDIA's tools gives the same for these.
func TestWarpsOfAMultiprocessor(t *testing.T) {
	for _, c := range []struct {
		arch        string
		use         Use
		threads     int
		warps, room int
	}{
		{"sm_90", Use{Registers: 32}, 256, 64, 228<<10/8 - 1024},
		{"sm_90", Use{Registers: 33}, 256, 48, 228<<10/6 - 1024}, // 40 are given
		{"sm_80", Use{Registers: 128}, 256, 16, 164<<10/2 - 1024},
		{"sm_90", Use{Registers: 255}, 256, 8, 227 << 10},
		{"sm_86", Use{Registers: 32, Shared: 48 << 10}, 128, 8, 100<<10/2 - 1024 - 48<<10},
		{"sm_89", Use{Registers: 16}, 32, 24, 100<<10/24 - 1024}, // blocks
		{"sm_90", Use{Registers: 255}, 1024, 0, 0},               // does not run
	} {
		a := Arches[slices.IndexFunc(Arches, func(a Arch) bool { return a.Name == c.arch })]
		if warps, room := a.Warps(c.use, c.threads); warps != c.warps || room != c.room {
			t.Errorf("%s %+v %d: %d warps, room for %d; want %d, %d", c.arch, c.use, c.threads, warps, room, c.warps, c.room)
		}
	}
}

// Machine code in the disassembler's form, with a loop in a loop and a smaller one beside it.
const code = `
//--------------------- .text.f --------------------------
	.section	.text.f,"ax",@progbits
f:
.text.f:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_0:
        /*0008*/                   STL [R1], R4 ;
        /*0010*/                   LDG.E.64 R2, desc[UR4][R2.64] ;
.L_x_1:
        /*0020*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R7], desc[UR4][R8.64] ;
        /*0040*/              @!P1 HMMA.16816.F32.BF16 R84, R48, R112, R84 ;
        /*0050*/                   LDSM.16.M88.4 R4, [R9] ;
        /*0060*/               @P0 MUFU.EX2 R4, R5 ;
        /*0070*/                   FFMA R4, R5, R6, R7 ;
        /*0080*/                   LDG.E.U8 R4, desc[UR4][R2.64] ;
        /*0090*/               @P3 BRA P2, ` + "`(.L_x_1)" + ` ;
        /*00a0*/               @P2 BRA ` + "`(.L_x_0)" + ` ;
.L_x_2:
        /*00b0*/                   FFMA R4, R5, R6, R7 ;
        /*00c0*/               @P2 BRA ` + "`(.L_x_2)" + ` ;
        /*00c8*/                   LDL.64 R4, [R1] ;
        /*00d0*/                   EXIT ;
.L_x_3:
        /*00e0*/                   BRA ` + "`(.L_x_3)" + `;
.text.straight:
        /*0000*/                   EXIT ;
.L_x_4:
        /*0010*/                   BRA ` + "`(.L_x_4)" + `;
`

func TestInnerLoopIsFound(t *testing.T) {
	loops, local := Loops(code)
	if local["f"] != 1 || local["straight"] != 0 { // the store is in the outer loop, the load behind it
		t.Errorf("local memory in loops: %v", local)
	}
	if got, want := loops["f"], (Loop{Instructions: 8, Matrix: 1, Fused: 1, Special: 1, Bytes: 33, Shared: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := loops["straight"]; got != (Loop{}) {
		t.Errorf("a kernel without loops: %+v", got)
	}
}

func TestTableIsReplaced(t *testing.T) {
	doc := []byte("# GPUs\n<!-- make ptxas: of PTX  -->\nold\n<!-- end -->\nrest\n")
	fresh, err := Replace(doc, "abc", "| a |\n")
	if err != nil || string(fresh) != "# GPUs\n<!-- make ptxas: of PTX abc -->\n| a |\n<!-- end -->\nrest\n" || Marked(fresh) != "abc" {
		t.Errorf("%q, %v", fresh, err)
	}
	if _, err := Replace([]byte("# GPUs\n"), "abc", ""); err == nil || Marked([]byte("# GPUs\n")) != "" {
		t.Error("a document without a place for it")
	}
}

// docs/gpu.md is of the PTX that is committed.
func TestDocumentsTableIsOfThisPTX(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(folder, "..", "..", "docs", "gpu.md"))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := Digest(filepath.Join(folder, "ptx"))
	if err != nil {
		t.Fatal(err)
	}
	if Marked(doc) != digest {
		t.Errorf("the table of docs/gpu.md is of other PTX (%s) than there is (%s): run make ptxas", Marked(doc), digest)
	}
	for name, text := range committed(t) {
		for _, kernel := range Entries(text) {
			if !strings.Contains(string(doc), "| "+kernel+" |") {
				t.Errorf("docs/gpu.md has no row for %s of %s.cu", kernel, name)
			}
		}
	}
}

func TestToolsAreMissed(t *testing.T) {
	if _, err := Find(t.TempDir()); err == nil {
		t.Error("tools were found in an empty folder")
	}
	if _, err := exec.LookPath("ptxas"); err == nil {
		t.Log("a toolkit is installed; it is not used")
	}
}

// What lanes read of a matrix more than once comes from memory once.
func TestBytesOfAChunkAreCountedOnce(t *testing.T) {
	for kernel, want := range map[string]struct{ matrix, bytes int }{
		"matmul_few_q4_fast": {64, 4 * 34}, "experts_down_few_q4_exact": {192, 4 * 34}, "matmul_pair_q8_fast": {32, 130}, "matmul_few_f8_exact": {96, 128}, "matmul_few_bf16_fast": {16, 128},
		"matmul_beside_f8_fast": {32, 128},
		"matmul_many_q4_small":  {16, 999}, "attention_decode_64": {4, 999},
	} {
		if got := once(kernel, Loop{Matrix: want.matrix, Bytes: 999}); got.Bytes != want.bytes {
			t.Errorf("%s reads %d bytes a lane, want %d", kernel, got.Bytes, want.bytes)
		}
	}
}
