// priority.go is what the priority of an entry means for the cores: a plugin is nicer to the system's scheduler than those
// of a higher priority. What it means for memory is in memory.go.
package schedule

import (
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// rankNiceness is how much nicer than the next higher priority a model is: where both want the same cores, it gets about a
// tenth. At mostNiceness a thirtieth is left, enough to answer health checks and to advance.
const (
	rankNiceness = 10
	mostNiceness = 15
)

// niceness of a model among the entries of c. The highest priority there is has none, so that entries which all say the same
// are as programs usually are, whatever they say.
func niceness(c *config.Config, priority int) int {
	var higher []int
	for _, m := range c.Models {
		if m.Priority > priority && !slices.Contains(higher, m.Priority) {
			higher = append(higher, m.Priority)
		}
	}
	return min(rankNiceness*len(higher), mostNiceness)
}

// rank gives the model's process l its place among the others.
func (m *model) rank(l *life) {
	n := niceness(m.host.Config(), m.entry.Priority)
	m.mu.Lock()
	was := l.nice
	l.nice = n
	m.mu.Unlock()
	if n == was {
		return
	}
	if err := l.Nice(n); err != nil {
		m.log.Info("the priority of the process stays as it was until the model is restarted", "error", err)
	}
}

// rerank gives the models that run their places after entries have come or gone.
func rerank(models []*model) {
	for _, m := range models {
		m.mu.Lock()
		l := m.life
		m.mu.Unlock()
		if l != nil {
			m.rank(l)
		}
	}
}
