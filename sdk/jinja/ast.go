package jinja

// ast.go has the nodes that parser.go makes; eval.go and exec.go say what they do.

// expr is an expression.
type expr interface {
	eval(r *run, s *scope) (Value, error)
}

type (
	constant  struct{ value Value }
	name      struct{ id string }
	listExpr  struct{ items []expr }
	tupleExpr struct{ items []expr }
	dictExpr  struct{ keys, values []expr }
	attribute struct {
		of   expr
		name string
	}
	subscript struct{ of, index expr }
	slice     struct{ start, stop, step expr } // each may be nil
	call      struct {
		fn   expr
		args callArgs
		line int
	}
	filter struct {
		of   expr // nil in a {% filter %} block, where the text is given
		name string
		fn   builtin
		args callArgs
	}
	test struct {
		of   expr
		name string
		fn   builtin
		args callArgs
	}
	not      struct{ x expr }
	negative struct{ x expr }
	positive struct{ x expr }
	binary   struct {
		op   string
		a, b expr
	}
	and        struct{ a, b expr }
	or         struct{ a, b expr }
	comparison struct {
		first expr
		ops   []string
		rest  []expr
	}
	concat struct{ parts []expr }
	cond   struct{ test, yes, no expr } // no may be nil
)

// callArgs are the arguments as written: f(pos..., kw..., *star, **starstar).
type callArgs struct {
	pos            []expr
	kwNames        []string
	kwValues       []expr
	star, starstar expr
}

// stmt is a statement. exec writes to the run's output.
type stmt interface {
	exec(r *run, s *scope) (signal, error)
}

// signal says how a statement ended.
type signal uint8

const (
	proceed signal = iota
	breakLoop
	continueLoop
)

type (
	text   struct{ s string }
	output struct {
		x    expr
		line int
	}
	ifStmt struct {
		tests  []expr
		bodies [][]stmt
		other  []stmt
		line   int
	}
	forStmt struct {
		target    target
		in        expr
		filter    expr // nil if there is none
		body      []stmt
		other     []stmt
		recursive bool
		line      int
	}
	setStmt struct {
		target target
		value  expr
		line   int
	}
	setBlock struct {
		target target
		filter expr // a chain that ends in a filter of nothing, or nil
		body   []stmt
		line   int
	}
	macroStmt struct {
		name string
		def  *macroDef
	}
	callStmt struct {
		call   *call
		caller *macroDef
		line   int
	}
	filterStmt struct {
		filter expr
		body   []stmt
		line   int
	}
	withStmt struct {
		targets []target
		values  []expr
		body    []stmt
		line    int
	}
	blockStmt  struct{ body []stmt } // {% block %} and {% generation %}: a scope of its own
	loopSignal struct{ signal signal }
)

// macroDef is a macro without the scope it was defined in.
type macroDef struct {
	name     string
	params   []string
	defaults []expr // of the last params
	body     []stmt
	// what the body names of these decides which arguments it takes
	usesVarargs, usesKwargs, usesCaller bool
}

// target is where a value is stored: a name, an attribute of a namespace, or several of them.
type target struct {
	name  string
	attr  string   // of the namespace name, if not empty
	parts []target // for a tuple; then name and attr are empty
}

func (t *target) has(name string) bool {
	for i := range t.parts {
		if t.parts[i].has(name) {
			return true
		}
	}
	return t.name == name
}
