// benchpeer.go runs other engines: a llama-bench, of llama.cpp or of ik_llama.cpp, which differ in some flags and fields.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

const (
	maxPeerOutput = 4 << 20         // of a report, which has some kilobytes for each figure
	peerLastWords = 2000            // of what it said before it failed
	peerEnd       = 2 * time.Second // for what it has started to let go of its output
)

// peer is a program with a file that it loads.
type peer struct {
	program string
	flags   []string // further words of the user's
	model   string
	name    string
	build   string // as it tells; "" before

	depths  bool // it takes -d: a context before prompts and answers
	behind  bool // it takes -gp: answers behind a prompt
	samples map[*cell][]float64
}

// findPeers looks for the programs and the files, and asks each program what it can.
func findPeers(ctx context.Context, f benchFlags) ([]*peer, error) {
	var peers []*peer
	for _, words := range f.peers {
		program, flags, err := peerProgram(words)
		if err != nil {
			return nil, &codeError{exitUsage, err}
		}
		help, err := runPeer(ctx, program, "--help")
		if err != nil {
			return nil, err
		}
		for _, file := range f.peerModels {
			file = config.Expand(file)
			if info, err := os.Stat(file); err != nil || info.IsDir() {
				return nil, &codeError{exitUsage, fmt.Errorf("--peer-model %s: there is no such file", file)}
			}
			p := &peer{program: program, flags: flags, model: file, samples: map[*cell][]float64{}}
			p.depths, p.behind = bytes.Contains(help, []byte("--n-depth")), bytes.Contains(help, []byte("-gp "))
			p.name = fmt.Sprintf("%c: %s", 'A'+len(peers)%26, filepath.Base(file))
			peers = append(peers, p)
		}
	}
	return peers, nil
}

// peerProgram takes the words of a --peer apart. A path with spaces in it is one where there is such a file.
func peerProgram(words string) (program string, flags []string, err error) {
	program = config.Expand(strings.TrimSpace(words))
	if _, err := os.Stat(program); err != nil {
		fields := strings.Fields(words)
		if len(fields) == 0 {
			return "", nil, errors.New("--peer is empty; expected a llama-bench")
		}
		program, flags = config.Expand(fields[0]), fields[1:]
	}
	found, err := exec.LookPath(program)
	if err != nil {
		return "", nil, fmt.Errorf("--peer %s: there is no such program", program)
	}
	return found, flags, nil
}

func (p *peer) command() string { return strings.Join(append([]string{p.program}, p.flags...), " ") }

// can says whether the program has such a figure: none has several streams.
func (p *peer) can(c *cell) bool {
	return c.streams == 1 && (c.depth == 0 || p.depths || p.behind && !c.prefill)
}

// measure takes one sample of each cell that the program has.
func (p *peer) measure(ctx context.Context, cells []*cell, threads int) error {
	args, any := p.arguments(cells, threads)
	if !any {
		return nil
	}
	out, err := runPeer(ctx, p.program, args...)
	if err != nil {
		return err
	}
	reports, err := readReports(out)
	if err != nil {
		return fmt.Errorf("%s: %w", p.program, err)
	}
	for _, c := range cells {
		if !p.can(c) {
			continue
		}
		rate, build := found(reports, c)
		if rate <= 0 {
			return fmt.Errorf("%s reports no %s", p.program, c)
		}
		p.build, p.samples[c] = build, append(p.samples[c], rate)
	}
	return nil
}

// arguments ask for each cell once. Lists are crossed by the program, as cells are.
func (p *peer) arguments(cells []*cell, threads int) (args []string, any bool) {
	prompts, answers, depths := []string{}, []string{}, []string{}
	var behind []string
	for _, c := range cells {
		if !p.can(c) {
			continue
		}
		any = true
		tokens, depth := strconv.Itoa(c.tokens), strconv.Itoa(c.depth)
		switch {
		case c.depth > 0 && !p.depths:
			behind = append(behind, "-gp", depth+","+tokens)
			continue
		case c.prefill:
			prompts = once(prompts, tokens)
		default:
			answers = once(answers, tokens)
		}
		depths = once(depths, depth)
	}
	args = []string{"-m", p.model, "-p", orZero(prompts), "-n", orZero(answers)}
	if p.depths {
		args = append(args, "-d", orZero(depths))
	}
	args = append(args, behind...)
	args = append(args, "-t", strconv.Itoa(threads), "-r", "1", "-o", "json")
	return append(args, p.flags...), any
}

func once(list []string, s string) []string {
	for _, other := range list {
		if other == s {
			return list
		}
	}
	return append(list, s)
}

func orZero(list []string) string {
	if len(list) == 0 {
		return "0"
	}
	return strings.Join(list, ",")
}

// runPeer runs a program to its end and returns what it printed.
func runPeer(ctx context.Context, program string, args ...string) ([]byte, error) {
	var out, said bounded
	out.most, said.most = maxPeerOutput, maxPeerOutput
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &said, peerEnd
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, said.end())
	case out.over:
		return nil, fmt.Errorf("%s printed more than %d bytes", program, out.most)
	}
	return out.kept.Bytes(), nil
}

// bounded keeps what is written up to most bytes, and takes the rest without keeping it.
type bounded struct {
	kept bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	fits := min(len(p), b.most-b.kept.Len())
	b.kept.Write(p[:fits])
	b.over = b.over || fits < len(p)
	return len(p), nil
}

func (b *bounded) end() string {
	text := strings.TrimSpace(b.kept.String())
	return text[max(0, len(text)-peerLastWords):]
}

// report is one figure of a llama-bench. llama.cpp tells the context before it as n_depth; ik_llama.cpp names the figure, and an answer
// behind a prompt has the context as n_prompt.
type report struct {
	Prompt  int     `json:"n_prompt"`
	Answer  int     `json:"n_gen"`
	Depth   int     `json:"n_depth"`
	Test    string  `json:"test"`
	Rate    float64 `json:"avg_ts"`
	Commit  string  `json:"build_commit"`
	Ordinal int     `json:"build_number"`
}

// maxBrackets bounds where the list is looked for.
const maxBrackets = 100

// readReports finds the list in what was printed: some builds write other lines before it.
func readReports(out []byte) ([]report, error) {
	failed := errors.New("no list of figures in JSON in what it printed; is it a llama-bench?")
	for range maxBrackets {
		at := bytes.IndexByte(out, '[')
		if at < 0 {
			break
		}
		var reports []report
		err := json.NewDecoder(bytes.NewReader(out[at:])).Decode(&reports)
		switch {
		case err == nil && len(reports) > 0:
			return reports, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			failed = errors.New("what it printed ends within its figures")
		}
		out = out[at+1:]
	}
	return nil, failed
}

// is says that the report is of this cell.
func (r report) is(c *cell) bool {
	prompt, answer, depth := r.Prompt, r.Answer, r.Depth
	if prompt > 0 && answer > 0 {
		if r.Test != fmt.Sprintf("tg%d@pp%d", answer, prompt) { // else the time of the prompt is in it
			return false
		}
		prompt, depth = 0, prompt
	}
	if c.prefill {
		return prompt == c.tokens && answer == 0 && depth == c.depth
	}
	return prompt == 0 && answer == c.tokens && depth == c.depth
}

func found(reports []report, c *cell) (rate float64, build string) {
	for _, r := range reports {
		if r.is(c) {
			return r.Rate, strings.TrimSpace(fmt.Sprintf("%d %s", r.Ordinal, r.Commit))
		}
	}
	return 0, ""
}
