package page

import _ "github.com/yuin/goldmark" // whose copy of CommonMark's specification is read
