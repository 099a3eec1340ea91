package hfconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Decode reads config.json into each of the given pointers, which may look at different keys of it. A wrong type is told as
// people say it.
func Decode(text []byte, into ...any) error {
	for _, part := range into {
		if err := decode(text, part); err != nil {
			return fmt.Errorf("config.json: %w", err)
		}
	}
	return nil
}

func decode(text []byte, into any) error {
	err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), into)
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("an object was expected, found %s", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %s was expected, found %s", wrong.Field, inWords(wrong.Type.Kind()), wrong.Value)
	case errors.As(err, &broken):
		return fmt.Errorf("is broken JSON at byte %d: %w", broken.Offset, err)
	}
	return err
}

func inWords(k reflect.Kind) string {
	switch k {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a " + k.String()
}
