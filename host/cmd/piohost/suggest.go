package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// nearest is the candidate that name most likely meant: the only one that begins or is spelled almost like it, else the only
// one it is a part of, else "".
func nearest(name string, candidates []string) string {
	if name == "" {
		return ""
	}
	spelling := &cobra.Command{}
	var around []string
	for _, c := range candidates {
		spelling.AddCommand(&cobra.Command{Use: c, Run: func(*cobra.Command, []string) {}}) // without Run it would count as help
		if strings.Contains(strings.ToLower(c), strings.ToLower(name)) {
			around = append(around, c)
		}
	}
	for slips := 1; slips <= 2; slips++ {
		spelling.SuggestionsMinimumDistance = slips
		if alike := spelling.SuggestionsFor(name); len(alike) == 1 {
			return alike[0]
		}
	}
	if len(around) == 1 {
		return around[0]
	}
	return ""
}
