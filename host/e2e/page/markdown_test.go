package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// example is one of CommonMark's specification, as goldmark ships it.
type example struct {
	Markdown, HTML, Section string
	Example                 int
}

func specification(t *testing.T) (list []example) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yuin/goldmark").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "_test/spec.json"))
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || len(list) < 600 {
		t.Fatalf("%d examples, %v", len(list), err)
	}
	return list
}

// rendered is what the page makes of texts, as HTML.
func (b *tab) rendered(texts []string) []string {
	b.Helper()
	all, err := json.Marshal(texts)
	if err != nil {
		b.Fatal(err)
	}
	return eval[[]string](b, fmt.Sprintf(`import("/page/markdown.js").then(({ markdown }) => %s.map((text) => { const d = document.createElement("div"); d.append(...markdown(text)); return d.innerHTML; }))`, all))
}

// plain writes HTML so that two ways to say the same are equal, and what the page has around code, tables and links is left out.
func plain(t *testing.T, text string) string {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(text), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, n := range nodes {
		write(&b, n, false)
	}
	return strings.TrimSpace(b.String())
}

var blocks = []string{"p", "ul", "ol", "li", "blockquote", "pre", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "td", "th"}

func write(b *strings.Builder, n *html.Node, code bool) {
	if n.Type == html.TextNode {
		switch {
		case code && n.Parent.Parent.Parent != nil && n.Parent.Parent.Parent.Data == "figure": // of the page, without the last newline
			b.WriteString(n.Data)
		case code:
			b.WriteString(strings.TrimSuffix(n.Data, "\n"))
		default:
			text := strings.Join(strings.FieldsFunc(n.Data, func(r rune) bool { return strings.ContainsRune(" \t\n", r) }), " ")
			if text != "" && strings.ContainsAny(n.Data[:1], " \n") && n.PrevSibling != nil && !slices.Contains(blocks, n.PrevSibling.Data) && n.PrevSibling.Data != "br" {
				text = " " + text
			}
			if text != "" && strings.ContainsAny(n.Data[len(n.Data)-1:], " \n") && n.NextSibling != nil && !slices.Contains(blocks, n.NextSibling.Data) && n.NextSibling.Data != "br" {
				text += " "
			}
			if text == "" && n.PrevSibling != nil && n.NextSibling != nil && !slices.Contains(blocks, n.PrevSibling.Data) && !slices.Contains(blocks, n.NextSibling.Data) && n.PrevSibling.Data != "br" {
				text = " "
			}
			b.WriteString(text)
		}
		return
	}
	name := n.Data
	class := attribute(n, "class")
	switch {
	case name == "button", class == "code-bar":
		return
	case name == "figure", name == "div", name == "span" && class != "maths":
		name = ""
	case name == "img": // its words stand for it: nothing is fetched
		b.WriteString(attribute(n, "alt"))
		return
	case name == "a" && !isSafe(attribute(n, "href")):
		name = "" // no link: an address of the host itself is none that a model may lead to
	}
	if name != "" {
		b.WriteString("<" + name)
		for _, key := range []string{"href", "title", "start"} {
			v := attribute(n, key)
			if unescaped, err := url.PathUnescape(v); err == nil {
				v = unescaped // the browser escapes an address when it is followed
			}
			if v != "" {
				fmt.Fprintf(b, " %s=%q", key, v)
			}
		}
		b.WriteString(">")
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		write(b, c, code || name == "pre")
	}
	if name != "" && name != "br" && name != "hr" {
		b.WriteString("</" + name + ">")
	}
}

func isSafe(address string) bool {
	for _, scheme := range []string{"http://", "https://", "mailto:"} {
		if strings.HasPrefix(strings.ToLower(address), scheme) {
			return true
		}
	}
	return false
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// differs has the examples that the page reads otherwise, and why.
var differs = map[int]string{
	2: "a tab behind spaces", 5: "tabs in a list", 6: "tabs in a quotation", 7: "a tab behind a mark",
	25:  "names of characters that models do not write",
	93:  "an underline goes on with a quotation",
	238: "an indented line goes on with no paragraph of a quotation",
	312: "an item may be indented by four",
	496: "an address with brackets in brackets",
	518: "links in links, of which none leads anywhere here", 519: "the same", 520: "the same",
	541: "a definition over two lines",
	581: "a picture without words is its address",
	611: "an address is a link, as GitHub has it",
}

// Sections that are left out: HTML is text, and links stand where they are. So are examples that define a link elsewhere.
var leftOut = []string{"HTML blocks", "Raw HTML", "Link reference definitions"}

var definition = regexp.MustCompile(`(?m)^[ >]*\[[^\n]*\]:`)

func TestMarkdownIsReadAsCommonMarkHasIt(t *testing.T) {
	b := open(t, home)
	var list []example
	var texts []string
	for _, e := range specification(t) {
		if !slices.Contains(leftOut, e.Section) && !definition.MatchString(e.Markdown) && !strings.ContainsAny(e.Markdown, "<") {
			list, texts = append(list, e), append(texts, e.Markdown)
		}
	}
	if len(list) < 400 {
		t.Fatalf("only %d examples", len(list))
	}
	got, left := b.rendered(texts), maps.Clone(differs)
	for i, e := range list {
		why, known := differs[e.Example]
		delete(left, e.Example)
		if same := plain(t, got[i]) == plain(t, e.HTML); same == known {
			t.Errorf("%s, example %d: %q\n got  %s\n want %s\n%s", e.Section, e.Example, e.Markdown, plain(t, got[i]), plain(t, e.HTML), why)
		}
	}
	if len(left) > 0 {
		t.Errorf("examples that are not there: %v", left)
	}
}

// Whatever a model writes, there are no other elements and attributes than these, and links lead to the web alone. And a text that is shown as it
// grows ends as one that came at once.
func TestNothingThatAModelWritesBecomesMore(t *testing.T) {
	b := open(t, home)
	texts := []string{
		"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a]( javascript:alert(1))", "[a](&#106;avascript:alert(1))",
		"[a](data:text/html,<script>alert(1)</script>)", "![a](javascript:alert(1))", "![](http://example.com/a.png)", "<javascript:alert(1)>", "[a](//example.com)", "[a](/admin/stop/tiny)",
		"```\"><script>alert(1)</script>\n<b>\n```", "| <b> | [a](javascript:b) |\n|--|--|\n| <i> | `<u>` |", "<iframe srcdoc='a'>", "<svg onload=alert(1)>", "[a](https://example.com \"\\\"onclick=b\")",
		strings.Repeat("> ", 500) + "deep", strings.Repeat("- ", 500) + "deep", strings.Repeat("[", 5000) + "a" + strings.Repeat("](b)", 5000), strings.Repeat("*a_", 3000), strings.Repeat("`", 9999), strings.Repeat("|", 5000) + "\n" + strings.Repeat("|-", 5000),
	}
	for _, e := range specification(t) {
		texts = append(texts, e.Markdown)
	}
	all, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	wrong := eval[[]string](b, fmt.Sprintf(`import("/page/markdown.js").then(({ Markdown }) => {
		const elements = "p h1 h2 h3 h4 h5 h6 ul ol li blockquote hr br figure div pre code table thead tbody tr th td a em strong del span input button svg use".split(" ");
		const attributes = "class href target rel title tabindex role aria-label aria-hidden type disabled start".split(" ");
		const wrong = [];
		for (const text of %s) {
			const whole = new Markdown();
			whole.show(text);
			for (const e of whole.node.querySelectorAll("*")) {
				if (!elements.includes(e.localName)) wrong.push(e.localName + " of " + text);
				for (const a of e.attributes) if (!attributes.includes(a.name)) wrong.push(a.name + " of " + text);
				if (e.localName === "a" && !/^(https?|mailto):$/.test(e.protocol)) wrong.push(e.href + " of " + text);
			}
			const grown = new Markdown();
			for (let i = 0; i < Math.min(text.length, 400); i++) grown.show(text.slice(0, i));
			grown.show(text);
			if (grown.node.innerHTML !== whole.node.innerHTML) wrong.push("grown: " + text + grown.node.innerHTML);
		}
		return wrong.map((w) => w.slice(0, 200)).slice(0, 10);
	})`, all))
	if len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
}
