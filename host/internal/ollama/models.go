// models.go tells what models there are, and makes vectors with them.
package ollama

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// version is Ollama's whose API this is: clients ask for it to know what they may send.
const version = "0.13.0"

// forever is when a model is unloaded that stays. Clients read it as a date, and the years of some have four digits.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)

// API has the endpoints that are no answers of a model.
type API struct {
	*answer.Service
	Errors
}

func (a *API) names() Names { return a.Knows }

// Version answers /api/version.
func (a *API) Version(w http.ResponseWriter, _ *http.Request) {
	answer.WriteJSON(w, http.StatusOK, map[string]string{"version": version})
}

// instead is what somebody does here who would do otherwise with Ollama.
var instead = map[string]string{
	"/api/copy":   "; another name of a model is one of its aliases there",
	"/api/create": "; an entry there is of a folder or a GGUF file, and has no modelfile",
	"/api/pull":   ", and may let clients pull with admin = true under [server]",
	"/api/delete": ", and may let clients delete with admin = true under [server]",
}

// Unbuilt answers what would make, fetch or take away models.
func (a *API) Unbuilt(w http.ResponseWriter, r *http.Request) {
	a.Refuse(w, problem.New(http.StatusBadRequest, "", "not_supported",
		fmt.Sprintf("this host does not do %s: its models stand in models.toml, which its operator changes%s", body.Clip(r.URL.Path), instead[r.URL.Path])))
}

type details struct {
	Parent       string   `json:"parent_model"`
	Format       string   `json:"format"`
	Family       string   `json:"family"`
	Families     []string `json:"families"`
	Parameters   string   `json:"parameter_size"`
	Quantization string   `json:"quantization_level"`
}

// listed is a model as /api/tags and /api/ps have it.
type listed struct {
	Name       string  `json:"name"`
	Model      string  `json:"model"`
	ModifiedAt string  `json:"modified_at,omitempty"`
	Size       int64   `json:"size"` // bytes
	Digest     string  `json:"digest"`
	Details    details `json:"details"`

	ExpiresAt string `json:"expires_at,omitempty"`
	VRAM      *int64 `json:"size_vram,omitempty"` // bytes that lie not on the cpu
	Context   int    `json:"context_length,omitempty"`
}

func newListed(s schedule.Status) listed {
	l := listed{Name: s.ID, Model: s.ID, Digest: digest(s), Details: newDetails(s)}
	for _, m := range s.Table.Modules {
		l.Size += m.WeightBytes
	}
	return l
}

func newDetails(s schedule.Status) details {
	return details{Family: s.Description.Name, Families: []string{s.Description.Name}, Parameters: short(s.Table.Parameters)}
}

// digest tells checkpoints apart as far as the plugin does.
func digest(s schedule.Status) string {
	sum := sha256.Sum256([]byte(s.ID + "\n" + s.Table.Weights))
	return hex.EncodeToString(sum[:])
}

// short is a number of parameters in thousands, millions or billions.
func short(n int64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if float64(n) >= unit.of {
			return fmt.Sprintf("%.1f%s", float64(n)/unit.of, unit.name)
		}
	}
	return fmt.Sprint(n)
}

// Tags answers /api/tags: every model of models.toml, loaded or not.
func (a *API) Tags(w http.ResponseWriter, _ *http.Request) {
	list := []listed{}
	for _, s := range a.Backend.Models() {
		l := newListed(s)
		l.ModifiedAt = s.Since.UTC().Format(time.RFC3339)
		list = append(list, l)
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{"models": list})
}

// Running answers /api/ps: the models that are in memory, with what they hold.
func (a *API) Running(w http.ResponseWriter, _ *http.Request) {
	list := []listed{}
	for _, s := range a.Backend.Models() {
		if s.State != schedule.StateReady {
			continue
		}
		l := newListed(s)
		l.ExpiresAt, l.Context, l.VRAM = forever, s.Table.Context, new(int64)
		if !s.Until.IsZero() {
			l.ExpiresAt = s.Until.UTC().Format(time.RFC3339)
		}
		if used := s.Report.Devices; len(used) > 0 {
			l.Size = 0
			for _, d := range used {
				if l.Size += d.Used; d.Name != "cpu" {
					*l.VRAM += d.Used
				}
			}
		}
		list = append(list, l)
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{"models": list})
}

var showFields = fields{
	"model":   readModel,
	"name":    readModel, // as it was
	"verbose": nil,
}

// Show answers /api/show.
func (a *API) Show(w http.ResponseWriter, r *http.Request) {
	a.Plain(w, r, "ollama-show-", a, func(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
		req, err := a.read(w, r, h, showFields)
		if err != nil {
			return nil, err
		}
		s, err := a.Find(a.names().of(req.Model))
		if err != nil {
			return nil, err
		}
		t.Model = s.ID
		family := s.Description.Name
		return map[string]any{
			"modelfile": "", "parameters": "", "template": "", "details": newDetails(s), "modified_at": s.Since.UTC().Format(time.RFC3339),
			"model_info": map[string]any{
				"general.architecture": family, "general.parameter_count": s.Table.Parameters, family + ".context_length": s.Table.Context,
			},
			"capabilities": a.capabilities(r.Context(), s),
		}, nil
	})
}

// capabilities are what Ollama's clients ask for before they offer it. The template says what it shows: it is asked, of a model that is there.
func (a *API) capabilities(ctx context.Context, s schedule.Status) []string {
	list := []string{"completion"}
	for _, c := range s.Description.Capabilities {
		if c == sdk.CapabilityEmbed {
			list = append(list, "embedding")
		}
	}
	if s.State != schedule.StateReady {
		return list
	}
	hello := func(content string) sdk.Chat {
		return sdk.Chat{Messages: json.RawMessage(`[{"role":"user","content":` + content + `}]`)}
	}
	tool, seeing, thinking := hello(`"a"`), hello(`[{"type":"image"}]`), hello(`"a"`)
	tool.Tools = json.RawMessage(`[{"type":"function","function":{"name":"name_of_a_tool","description":"","parameters":{"type":"object","properties":{}}}}]`)
	seeing.Images = [][]byte{{}}
	thinking.Kwargs = json.RawMessage(`{"` + answer.EnableThinking + `":true}`)
	if words, err := a.Backend.Render(ctx, s.ID, tool); err == nil && strings.Contains(words, "name_of_a_tool") {
		list = append(list, "tools")
	}
	if _, err := a.Backend.Render(ctx, s.ID, seeing); err == nil {
		list = append(list, "vision")
	}
	if _, err := a.Backend.Render(ctx, s.ID, thinking); err == nil {
		list = append(list, "thinking")
	}
	return list
}

// read takes a body by a table.
func (a *API) read(w http.ResponseWriter, r *http.Request, h *answer.Held, table fields) (*request, error) {
	members, err := a.Members(w, r, h)
	if err != nil {
		return nil, err
	}
	return parse(members, a.Ignored(r.URL.Path), table)
}

const maxInputs = 2048

var embedFields = fields{
	"model": readModel,
	"input": func(r *request, v json.RawMessage) error {
		if s, err := body.Text(v); err == nil {
			r.inputs = []answer.Prompt{{Text: s}}
			return nil
		}
		if v[0] != '[' {
			return body.Wrong(v, "a text or a list of texts")
		}
		r.inputs = []answer.Prompt{}
		for at := range body.Elements(v, 0) {
			s, err := body.Text(v[at.From:at.To])
			if err != nil || len(r.inputs) == maxInputs {
				return body.Wrong(v, fmt.Sprintf("a text, or a list of at most %d texts", maxInputs))
			}
			r.inputs = append(r.inputs, answer.Prompt{Text: s})
		}
		return nil
	},
	"dimensions": body.Unbuilt[request]("0"),
	"truncate":   nil,         // what is too long is refused
	"options":    readOptions, // which change no vector
	"keep_alive": readKeep,
}

// embeddingFields are of the endpoint that went before.
var embeddingFields = fields{
	"model": readModel,
	"prompt": func(r *request, v json.RawMessage) error {
		s, err := body.Text(v)
		r.inputs = []answer.Prompt{{Text: s}}
		return err
	},
	"options":    readOptions, // which change no vector
	"keep_alive": readKeep,
}

// Vectors answers /api/embed.
func (a *API) Vectors(w http.ResponseWriter, r *http.Request) {
	a.Plain(w, r, "ollama-embd-", a, func(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
		req, vectors, err := a.vectors(w, r, h, t, embedFields, "input")
		if err != nil {
			return nil, err
		}
		return map[string]any{
			"model": req.Model, "embeddings": vectors, "prompt_eval_count": t.Usage.Prompt, "total_duration": t.Took().Nanoseconds(), "load_duration": 0,
		}, nil
	})
}

// Vector answers /api/embeddings, of one text.
func (a *API) Vector(w http.ResponseWriter, r *http.Request) {
	a.Plain(w, r, "ollama-embd-", a, func(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
		_, vectors, err := a.vectors(w, r, h, t, embeddingFields, "prompt")
		if err != nil {
			return nil, err
		}
		return map[string]any{"embedding": vectors[0]}, nil
	})
}

// vectors are those of the inputs that a body has in a field.
func (a *API) vectors(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally, table fields, field string) (*request, [][]float32, error) {
	req, err := a.read(w, r, h, table)
	if err != nil {
		return nil, nil, err
	}
	model := a.names().of(req.Model)
	t.Model = a.IDOf(model)
	if req.inputs == nil {
		return nil, nil, problem.Invalid(field, "%s is missing; expected a text", field)
	}
	for i, p := range req.inputs {
		if p.Text == "" {
			return nil, nil, problem.Invalid(field, "%s has an empty text at place %d; there is nothing to embed", field, i)
		}
	}
	list := [][]float32{}
	t.Usage.Prompt, err = a.Embed(a.Keeping(r.Context(), model, req.Keep), h, model, req.inputs, func(v []float32) { list = append(list, v) })
	if err != nil {
		return nil, nil, a.Failure(err, field, model)
	}
	return req, list, nil
}
