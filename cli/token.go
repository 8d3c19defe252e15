package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
)

// botToken finds a bot's Discord token: in a file, else in the environment. It
// is never in an error.
func (a *app) botToken(file string, vars ...string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("token file: %w", err)
		}
		token, err := cleanToken(string(b))
		if err != nil {
			return "", fmt.Errorf("token file %s: %w", file, err)
		}
		return token, nil
	}
	for _, name := range vars {
		if v, ok := a.o.LookupEnv(name); ok && strings.TrimSpace(v) != "" {
			token, err := cleanToken(v)
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			return token, nil
		}
	}
	return "", errNoToken
}

var errNoToken = errors.New("no bot token: set BOTNODE_TOKEN or DISCORD_TOKEN, or give --token-file")

// noTokenError is errNoToken in other words.
type noTokenError struct{ words string }

func (e noTokenError) Error() string { return e.words }

// Is implements what errors.Is asks.
func (noTokenError) Is(target error) bool { return target == errNoToken }

// cleanToken takes off what people copy along with a token.
func cleanToken(text string) (string, error) {
	token := strings.TrimSpace(text)
	token = strings.TrimSpace(strings.TrimPrefix(token, "Bot "))
	switch {
	case token == "":
		return "", errors.New("the token is empty")
	case strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "", errors.New("the token has a blank or control character in it")
	}
	return token, nil
}

// adminToken finds the admin API's token, "" for none.
func (a *app) adminToken() (string, error) {
	if v, ok := a.o.LookupEnv("BOTNODE_ADMIN_TOKEN"); ok && v != "" {
		return strings.TrimSpace(v), nil
	}
	path, ok := a.o.LookupEnv("BOTNODE_ADMIN_TOKEN_FILE")
	if !ok || path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("BOTNODE_ADMIN_TOKEN_FILE: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", usagef("BOTNODE_ADMIN_TOKEN_FILE: %s is empty", path)
	}
	return token, nil
}
