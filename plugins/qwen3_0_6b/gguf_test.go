package main

import "testing"

func FuzzGGUF(f *testing.F) { plugin.FuzzFile(f) }
