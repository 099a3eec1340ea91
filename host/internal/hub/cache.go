// cache.go is what the cache has of models, whoever has fetched them.
package hub

import "strings"

const folderPrefix = "models--"

// folderName is a repository's in the cache.
func folderName(repo string) string { return folderPrefix + strings.ReplaceAll(repo, "/", "--") }
